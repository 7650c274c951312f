#!/usr/bin/python3
"""ADD and DEL through the real plugins, interleaved: margay against ptp+host-local and bridge+host-local.

    sudo bench/cni/run.py [--build build] [--rounds 60] [--pods 0,250]

Prints p50 and p90 of each, the ratios, and the agent's resident memory at 100 pods. Exit status 1 when a goal is
missed: ADD at most half of ptp's p50, DEL no slower than ptp's, 12 MB. Works in network namespaces named mbench-*.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
NODE = "mbench-node"
STOCK = Path("/usr/lib/cni")
GOAL_ADD, GOAL_DEL, GOAL_RSS_MB = 0.5, 1.0, 12.0
DEL_NOISE = 1.03  # of the kernel's link removal, which is nearly all of a DEL


def sh(*cmd, check=True):
    return subprocess.run([str(c) for c in cmd], check=check, text=True, capture_output=True)


def ip(*args, check=True):
    return sh("ip", *args, check=check)


class Bench:
    def __init__(self, build, rounds, policy=True, env=None):
        """env: more of it for the agent."""
        self.policy, self.env = policy, env or {}
        self.build, self.rounds = Path(build).resolve(), rounds
        self.dir = Path(tempfile.mkdtemp(prefix="mbench-"))
        self.spaces, self.agent, self.timer = [], None, None

    # ---- a node ----

    def up(self):
        for d in ("run", "state", "hostlocal"):
            (self.dir / d).mkdir()
        self.space(NODE)
        ip("-n", NODE, "link", "add", "eth0", "type", "veth", "peer", "name", "wire")
        ip("-n", NODE, "addr", "add", "192.168.61.11/24", "dev", "eth0")
        for dev in ("lo", "wire", "eth0"):
            ip("-n", NODE, "link", "set", dev, "up")
        ip("-n", NODE, "route", "add", "default", "via", "192.168.61.1")
        self.start_agent()
        binary = self.dir / "cnitime"
        sh("cc", "-O2", "-D_GNU_SOURCE", "-o", binary, HERE / "cnitime.c")
        self.timer = subprocess.Popen(
            ["ip", "netns", "exec", NODE, str(binary), str(self.dir / "out")], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, env=os.environ | {"CNI_PATH": f"{self.build}/cni-plugin:{STOCK}"})
        self.configs()
        self.wait_ready()

    def start_agent(self):
        with open(self.dir / "agent.log", "a") as log:
            self.agent = subprocess.Popen(
                ["ip", "netns", "exec", NODE, str(self.build / "agent/margayd"), "-c", "/dev/null", "--node", "bench",
                 "--datastore", f"sqlite:{self.dir}/margay.db", "--run-dir", str(self.dir / "run"),
                 "--state-dir", str(self.dir / "state"), f"--policy={'true' if self.policy else 'false'}"],
                env=os.environ | {"CALICO_IPV4POOL_CIDR": "172.31.0.0/16"} | self.env, stdout=log, stderr=log)

    def space(self, name):
        ip("netns", "del", name, check=False)
        ip("netns", "add", name)
        self.spaces.append(name)

    def configs(self):
        host_local = {"type": "host-local", "dataDir": str(self.dir / "hostlocal")}
        conf = {
            "margay": {"type": "margay", "agent_socket": str(self.dir / "run/cni.sock"),
                       "state_dir": str(self.dir / "state"), "ipam": {"type": "margay-ipam"}},
            "ptp": {"type": "ptp", "ipMasq": False, "ipam": host_local | {
                "ranges": [[{"subnet": "10.77.0.0/20"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
            "bridge": {"type": "bridge", "bridge": "mbr0", "isGateway": True, "ipMasq": False,
                       "ipam": host_local | {"ranges": [[{"subnet": "10.78.0.0/20"}]],
                                             "routes": [{"dst": "0.0.0.0/0"}]}},
        }
        conf["margay-status"] = conf["margay"].copy()
        for name, c in conf.items():
            c |= {"cniVersion": "1.1.0" if name == "margay-status" else "1.0.0", "name": f"bench-{name}"}
            (self.dir / f"{name}.json").write_text(json.dumps(c))

    def wait_ready(self):
        until = time.monotonic() + 15
        while time.monotonic() < until:
            if self.agent.poll() is not None:
                break
            if (self.dir / "run/cni.sock").exists() and self.call("margay-status", "STATUS", "x", NODE, "x") is not None:
                return
            time.sleep(0.05)
        sys.exit("the agent did not get ready:\n" + (self.dir / "agent.log").read_text()[-2000:])

    def down(self):
        for p in (self.timer, self.agent):
            if p:
                p.terminate()
                p.wait()
        for name in self.spaces:
            ip("netns", "del", name, check=False)
        shutil.rmtree(self.dir)

    # ---- calls ----

    def call(self, plugin, verb, container, space, pod):
        """Microseconds, or None when the plugin failed."""
        binary = self.build / "cni-plugin/margay" if plugin.startswith("margay") else STOCK / plugin
        args = f"IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={pod}"
        self.timer.stdin.write("\t".join([str(binary), verb, container, f"/run/netns/{space}", "eth0", args,
                                          str(self.dir / f"{plugin}.json")]) + "\n")
        self.timer.stdin.flush()
        us, status = self.timer.stdout.readline().split()
        return int(us) if status == "0" else None

    def must(self, *args):
        us = self.call(*args)
        if us is None:
            sys.exit(f"{args} failed: {(self.dir / 'out').read_text()}\n"
                     + (self.dir / "agent.log").read_text()[-2000:])
        return us

    def fill(self, have, want, plugin="margay"):
        for i in range(have, want):
            self.space(f"mbench-f{i}")
            self.must(plugin, "ADD", f"fill{i}", f"mbench-f{i}", f"fill{i}")

    def measure(self, plugins):
        times = {(p, v): [] for p in plugins for v in ("ADD", "DEL")}
        for i in range(self.rounds + 2):
            for p in plugins[i % len(plugins):] + plugins[:i % len(plugins)]:
                space, container = f"mbench-{p}", f"{p}{i}x{os.getpid()}"
                for verb in ("ADD", "DEL"):
                    us = self.must(p, verb, container, space, f"{p}-{i}")
                    if i >= 2:  # the first ones make the bridge, the block, the directory
                        times[p, verb].append(us)
        return times

    def rss_mb(self):
        # Popen's child is `ip netns exec`, which has become the agent by exec.
        for line in Path(f"/proc/{self.agent.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        sys.exit("the agent has gone")


def quantile(values, q):
    return sorted(values)[min(len(values) - 1, int(len(values) * q))]


def report(times, plugins, pods):
    print(f"\n{pods} pods on the node    p50 ms   p90 ms   of ptp")
    missed = []
    for verb in ("ADD", "DEL"):
        base = quantile(times["ptp", verb], 0.5)
        for p in plugins:
            p50, p90 = (quantile(times[p, verb], q) for q in (0.5, 0.9))
            print(f"  {verb} {p:16s}{p50 / 1000:10.2f}{p90 / 1000:9.2f}{p50 / base:9.2f}")
        ratio = quantile(times["margay", verb], 0.5) / base
        goal = GOAL_ADD if verb == "ADD" else GOAL_DEL * DEL_NOISE
        if ratio > goal:
            missed.append(f"{verb} at {pods} pods: {ratio:.2f} of ptp, goal {goal:.2f}")
    return missed


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--build", default=ROOT / "build")
    ap.add_argument("--rounds", type=int, default=60)
    ap.add_argument("--pods", default="0,250")
    ap.add_argument("--no-policy", action="store_true", help="as the other plugins, which have none")
    opt = ap.parse_args()
    plugins = ["margay", "ptp", "bridge"]
    bench, missed, have, rss = Bench(opt.build, opt.rounds, not opt.no_policy), [], 0, None
    try:
        bench.up()
        for p in plugins:
            bench.space(f"mbench-{p}")
        for pods in sorted(int(n) for n in opt.pods.split(",")):
            if have < 100 <= pods:
                bench.fill(have, 100)
                have, rss = 100, bench.rss_mb()
            bench.fill(have, pods)
            have = pods
            missed += report(bench.measure(plugins), plugins, pods)
        if rss is not None:
            print(f"\nagent at 100 pods: {rss:.1f} MB resident (goal {GOAL_RSS_MB:.0f}); now {bench.rss_mb():.1f} MB")
            if rss > GOAL_RSS_MB:
                missed.append(f"resident memory {rss:.1f} MB")
    finally:
        bench.down()
    for m in missed:
        print("MISSED:", m)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
