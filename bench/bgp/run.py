#!/usr/bin/python3
"""margay's speaker beside BIRD, FRR, GoBGP and OpenBGPD: the same bytes to each, on one machine, in turn.

    run.py [--load PATH] [--speakerd PATH] [--only NAME,...] [--quick] [CASE ...]

Each daemon runs in a network namespace of its own, without kernel routes; bgp-load plays its peers from another one.
The memory is that of all its processes, the most at any time, and what it had before the first route is taken off.
Prints a table of each case: routes a second, bytes a route, and how that compares with BIRD.
"""

import argparse
import json
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
DUT, GEN = "bgpbench-dut", "bgpbench-gen"
ADDRESS, FIRST_HOST, FIRST_AS = "10.99.0.1", 10, 65010

# name: senders, receivers, routes, routes per UPDATE, same prefixes from every sender
CASES = {
    "1M, 100 per UPDATE": (1, 1, 1000000, 100, False),
    "1M, one per UPDATE": (1, 1, 1000000, 1, False),
    "500 peers x 20 blocks": (500, 1, 10000, 4, False),
    "20 peers x 100k same": (20, 1, 100000, 100, True),
}
QUICK = {
    "100k, 100 per UPDATE": (1, 1, 100000, 100, False),
    "100k, one per UPDATE": (1, 1, 100000, 1, False),
}


def ns(name, *cmd, **kw):
    return subprocess.Popen(["ip", "netns", "exec", name, *cmd], **kw)


def sh(cmd, check=True):
    return subprocess.run(cmd, shell=True, check=check, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make_net(peers):
    drop_net()
    for name in (DUT, GEN):
        sh(f"ip netns add {name}; ip -n {name} link set lo up")
    sh(f"ip -n {DUT} link add bb0 type veth peer name bb1 netns {GEN}")
    sh(f"ip -n {DUT} addr add {ADDRESS}/16 dev bb0; ip -n {DUT} link set bb0 up; ip -n {GEN} link set bb1 up")
    batch = "".join(f"addr add {address(i)}/16 dev bb1\n" for i in range(peers))
    subprocess.run(["ip", "-n", GEN, "-batch", "-"], input=batch, text=True, check=True)


def drop_net():
    for name in (DUT, GEN):
        sh(f"ip netns del {name}", check=False)


def address(i):
    host = FIRST_HOST + i
    return f"10.99.{host >> 8}.{host & 255}"


def peers_of(n):
    return [(i, address(i), FIRST_AS + i) for i in range(n)]


class Daemon:
    """Configuration from `config`, started by `start`; `pids` are all of its processes."""

    def __init__(self, box):
        self.box = pathlib.Path(box)
        self.procs = []

    def run(self, *cmd):
        log = open(self.box / "log", "ab")
        p = ns(DUT, *cmd, stdout=log, stderr=log)
        self.procs.append(p)
        return p

    def pids(self):
        found, left = [], [p.pid for p in self.procs]
        while left:
            pid = left.pop()
            found.append(pid)
            try:
                for t in os.listdir(f"/proc/{pid}/task"):
                    left += [int(c) for c in pathlib.Path(f"/proc/{pid}/task/{t}/children").read_text().split()]
            except OSError:
                pass
        return found

    def stop(self):
        pids = self.pids()
        for pid in pids:
            try:
                os.kill(pid, signal.SIGTERM)
            except OSError:
                pass
        for p in self.procs:
            try:
                p.wait(10)
            except subprocess.TimeoutExpired:
                for pid in pids:
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except OSError:
                        pass
                p.wait()


class Margay(Daemon):
    def start(self, n):
        self.run(ARGS.speakerd, ADDRESS, str(n))


class Bird(Daemon):
    def start(self, n):
        text = f"router id {ADDRESS};\nprotocol device {{ }}\nprotocol direct {{ ipv4; }}\n"
        for i, addr, asn in peers_of(n):
            text += (f"protocol bgp p{i} {{ local {ADDRESS} as 64512; neighbor {addr} as {asn}; passive on; "
                     "ipv4 { import all; export all; }; }\n")
        (self.box / "bird.conf").write_text(text)
        self.run("bird", "-f", "-c", str(self.box / "bird.conf"), "-s", str(self.box / "bird.ctl"))


class Frr(Daemon):
    def start(self, n):
        text = ("router bgp 64512\n bgp router-id 10.99.0.1\n no bgp ebgp-requires-policy\n no bgp network import-check\n"
                " no bgp default ipv4-unicast\n")
        for i, addr, asn in peers_of(n):
            text += f" neighbor {addr} remote-as {asn}\n neighbor {addr} passive\n neighbor {addr} timers 80 240\n"
        text += " address-family ipv4 unicast\n"
        for i, addr, asn in peers_of(n):
            text += f"  neighbor {addr} activate\n"
        (self.box / "bgpd.conf").write_text(text)
        frr = pwd.getpwnam("frr")
        for p in (self.box, self.box / "bgpd.conf"):
            os.chown(p, frr.pw_uid, frr.pw_gid)
        os.chmod(self.box, 0o755)
        self.run("/usr/lib/frr/bgpd", "-Z", "-n", "-f", str(self.box / "bgpd.conf"), "-i", str(self.box / "pid"),
                 "--vty_socket", str(self.box), "-l", ADDRESS, "-P", "0")


class GoBgp(Daemon):
    def start(self, n):
        text = f'[global.config]\n  as = 64512\n  router-id = "{ADDRESS}"\n'
        for i, addr, asn in peers_of(n):
            text += (f'[[neighbors]]\n  [neighbors.config]\n    neighbor-address = "{addr}"\n    peer-as = {asn}\n'
                     "  [neighbors.transport.config]\n    passive-mode = true\n")
        (self.box / "gobgpd.toml").write_text(text)
        self.run("gobgpd", "-f", str(self.box / "gobgpd.toml"), "-l", "error", "--api-hosts", "127.0.0.1:50051",
                 "--pprof-disable")


class OpenBgpd(Daemon):
    def start(self, n):
        text = f"AS 64512\nrouter-id {ADDRESS}\nlisten on {ADDRESS}\nfib-update no\nsocket \"{self.box}/ctl\"\n"
        for i, addr, asn in peers_of(n):
            text += f"neighbor {addr} {{\n\tremote-as {asn}\n\tpassive\n\tholdtime 240\n}}\n"
        text += "allow from ebgp\nallow to ebgp\n"
        conf = self.box / "bgpd.conf"
        conf.write_text(text)
        conf.chmod(0o600)
        home = pathlib.Path(pwd.getpwnam("_openbgpd").pw_dir)
        home.mkdir(parents=True, exist_ok=True)
        self.run("/usr/sbin/bgpd", "-d", "-f", str(conf))


DAEMONS = {"margay": Margay, "BIRD": Bird, "FRR": Frr, "GoBGP": GoBgp, "OpenBGPD": OpenBgpd}


def memory(pids, what):
    total = 0
    for pid in pids:
        try:
            for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith(what):
                    total += int(line.split()[1])
        except OSError:
            pass
    return total


def wait_listening(daemon, seconds=60):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        out = subprocess.run(["ip", "netns", "exec", DUT, "ss", "-Hltn", "sport = :179"], capture_output=True, text=True)
        if out.stdout.strip():
            return
        if any(p.poll() is not None for p in daemon.procs):
            break
        time.sleep(0.1)
    raise RuntimeError("does not listen: " + (daemon.box / "log").read_text()[-300:])


def measure(name, case):
    senders, receivers, routes, per, same = case
    box = tempfile.mkdtemp(prefix="bgpbench-")
    daemon = DAEMONS[name](box)
    try:
        make_net(senders + receivers)
        daemon.start(senders + receivers)
        wait_listening(daemon)
        time.sleep(1)
        before = memory(daemon.pids(), "VmRSS:")
        load = ns(GEN, ARGS.load, ADDRESS, str(senders), str(receivers), str(routes), str(per),
                  "same" if same else "share", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        out, err = load.communicate(timeout=900)
        if load.returncode:
            raise RuntimeError(err.strip()[-200:] + " | " + (daemon.box / "log").read_text()[-200:])
        r = json.loads(out)
        paths = routes * (senders if same else 1)
        r["rate"] = paths / r["announce_s"]
        r["withdraw_rate"] = paths / r["withdraw_s"]
        r["bytes_a_route"] = (memory(daemon.pids(), "VmHWM:") - before) * 1024 / paths
        return r
    except (RuntimeError, subprocess.TimeoutExpired) as e:
        return {"error": str(e)}
    finally:
        daemon.stop()
        drop_net()
        shutil.rmtree(box, ignore_errors=True)


def table(title, results):
    bird = results.get("BIRD", {})
    print(f"\n{title}")
    print(f"{'':10} {'announce':>9} {'routes/s':>10} {'x BIRD':>7} {'withdraw/s':>11} {'x BIRD':>7} {'B/route':>8} {'x BIRD':>7}")
    for name, r in results.items():
        if "error" in r:
            print(f"{name:10} {r['error']}")
            continue
        ratio = [f"{r[k] / bird[k]:.2f}" if k in bird and bird[k] else "-" for k in ("rate", "withdraw_rate", "bytes_a_route")]
        print(f"{name:10} {r['announce_s']:8.3f}s {r['rate']:10.0f} {ratio[0]:>7} {r['withdraw_rate']:11.0f} {ratio[1]:>7} "
              f"{r['bytes_a_route']:8.0f} {ratio[2]:>7}", flush=True)


def main():
    global ARGS
    p = argparse.ArgumentParser()
    p.add_argument("--load", default=str(HERE / "../../build/bench/bench-bgp-load"))
    p.add_argument("--speakerd", default=str(HERE / "../../build/bench/bench-bgp-speakerd"))
    p.add_argument("--only", default=",".join(DAEMONS))
    p.add_argument("--quick", action="store_true")
    p.add_argument("cases", nargs="*")
    ARGS = p.parse_args()
    cases = QUICK if ARGS.quick else CASES
    for title, case in cases.items():
        if ARGS.cases and title not in ARGS.cases:
            continue
        table(title, {name: measure(name, case) for name in ARGS.only.split(",")})
    return 0


if __name__ == "__main__":
    sys.exit(main())
