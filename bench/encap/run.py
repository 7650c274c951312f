#!/usr/bin/python3
"""Pod to pod between two nodes: margay's roads beside the same roads made by hand with `ip`.

    run.py [--rounds 7] [--seconds 0.5] [--modes none,vxlan]

Two nodes on one segment and a pod on each, five times: by hand, with the same devices, addresses, MTU and routes
and no packet filter; by hand with connection tracking, which every node has that runs kube-proxy or any NAT; by
agents that write no rules; by agents without policy, which write the guard of tunnels and NAT (with connection
tracking, therefore); by agents with policy (none is stored).
Rounds go from one to the next; printed are medians, and each as a share of the first. Sender and receiver share one
processor and are ahead of all else on it, so that what is measured is the work per packet.
Needs root; IPIP needs a kernel that has it (tests/uml/run.sh bench/encap/run.py --modes ipip).
"""

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests/netns"))
sys.dont_write_bytecode = True

from deploy.lab import ns, wait  # noqa: E402
from deploy.lab.lab import LINK, Lab  # noqa: E402

MTU = {"none": 1500, "vxlan": 1450, "ipip": 1480}
POOL = """apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {{name: pods}}
spec: {{cidr: 172.31.0.0/16, blockSize: 26, ipipMode: {ipip}, vxlanMode: {vxlan}}}
---
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {{name: default}}
spec: {{programClusterRoutes: Enabled}}
"""
WHO = {
    "by hand": lambda name, mode: by_hand(name, mode, False),
    "by hand, tracked": lambda name, mode: by_hand(name, mode, True),
    "margay, no rules": lambda name, mode: by_agents(name, mode, "--policy=false", "--network-rules=false"),
    "margay, no policy": lambda name, mode: by_agents(name, mode, "--policy=false"),
    "margay": lambda name, mode: by_agents(name, mode),
}
TESTS = [("TCP", "tcp", 0), ("UDP, 1400 bytes", "udp", 1400), ("UDP, 64 bytes", "udp", 64)]


class End:
    """A pod: where it is and what it is called."""

    def __init__(self, namespace, address):
        self.ns, self.ip = namespace, address


def by_agents(name, mode, *options):
    lab = Lab(name)
    lab.up(nodes=2, tor=False)
    lab.apply(POOL.format(ipip="Always" if mode == "ipip" else "Never", vxlan="Always" if mode == "vxlan" else "Never"))
    for node in lab.nodes:
        node.start("--bgp=false", *options)
    pods = [node.add_pod(f"pod{node.index}") for node in lab.nodes]
    wait.until("the pods reach each other", lambda: pods[0].ping(pods[1].ip, wait_s=1))
    for pod in pods:
        wait.until("the pod has its MTU",
                   lambda p=pod: ns.ip_json(p.ns, "link", "show", "dev", "eth0")[0]["mtu"] == MTU[mode])
    return lab, [End(p.ns, p.ip) for p in pods]


def tunnel(name, mode, own, other, i):
    """The device and the road to the other node's block; the address of its end for VXLAN."""
    device, mtu = {"none": (LINK, 0), "vxlan": ("vxlan.hand", 1450), "ipip": ("tunl0", 1480)}[mode]
    far, via = f"172.31.{2 - i}.0/26", other
    if mode == "vxlan":
        ns.ip(name, "link", "add", device, "address", f"66:00:00:00:00:0{i}", "mtu", mtu, "type", "vxlan", "id", 4096,
              "dstport", 4789, "dev", LINK, "local", own, "nolearning")
        via = f"172.31.{2 - i}.63"
        ns.run(name, "bridge", "fdb", "append", f"66:00:00:00:00:0{1 - i}", "dev", device, "dst", other)
        ns.ip(name, "neigh", "replace", via, "lladdr", f"66:00:00:00:00:0{1 - i}", "dev", device, "nud", "permanent")
    elif mode == "ipip":
        ns.ip(name, "link", "add", "hand0", "type", "ipip", "local", "127.0.0.1", "remote", "127.0.0.2")  # loads the module
        ns.ip(name, "link", "set", device, "mtu", mtu)
    if mode != "none":
        ns.ip(name, "addr", "add", f"172.31.{1 + i}.63/32", "dev", device)
        ns.ip(name, "link", "set", device, "up")
    ns.ip(name, "route", "add", far, "via", via, "dev", device, "onlink", *(["mtu", mtu] if mtu else []))


def by_hand(name, mode, tracked):
    lab = Lab(name)
    lab.up(nodes=2, tor=False)
    ends = []
    for i, node in enumerate(lab.nodes):
        pod, address = f"{lab.name}-pod{i}", f"172.31.{1 + i}.1"
        ns.add(pod)
        ns.ip(node.ns, "link", "add", "cali0", "mtu", MTU[mode], "type", "veth", "peer", "name", "eth0", "mtu", MTU[mode], "netns", pod)
        ns.ip(node.ns, "link", "set", "cali0", "address", "ee:ee:ee:ee:ee:ee", "up")
        ns.ip(pod, "addr", "add", f"{address}/32", "dev", "eth0")
        ns.ip(pod, "link", "set", "eth0", "up")
        ns.ip(pod, "route", "add", "169.254.1.1", "dev", "eth0", "scope", "link")
        ns.ip(pod, "route", "add", "default", "via", "169.254.1.1", "dev", "eth0")
        ns.ip(pod, "neigh", "replace", "169.254.1.1", "lladdr", "ee:ee:ee:ee:ee:ee", "dev", "eth0", "nud", "permanent")
        ns.ip(node.ns, "route", "add", address, "dev", "cali0", "scope", "link")
        ends.append(End(pod, address))
        tunnel(node.ns, mode, node.address, lab.nodes[1 - i].address, i)
        if tracked:
            rule = ["-t", "nat", "-A", "POSTROUTING", "-p", "254", "-j", "MASQUERADE"]
            if ns.run(node.ns, "iptables", *rule, check=False).returncode:  # user-mode-linux takes no nft rules
                ns.run(node.ns, "iptables-legacy", *rule)
    wait.until("the pods reach each other by hand",
               lambda: ns.run(ends[0].ns, "ping", "-n", "-q", "-c", 1, "-W", 1, ends[1].ip, check=False).returncode == 0)
    return lab, ends


def flow(tool, ends, proto, size, seconds):
    """Bits and packets a second that arrive."""
    first, second = ends
    ahead = lambda priority: ["taskset", "-c", "1", "chrt", "-f", str(priority)] if os.cpu_count() > 1 else []
    taker = subprocess.Popen([*ns.enter(second.ns), *ahead(11), tool, "take", proto, second.ip, "7300"], stdout=subprocess.PIPE, text=True)
    try:
        assert taker.stdout.readline() == "ready\n"
        ns.run(first.ns, *ahead(10), tool, "give", proto, second.ip, 7300, seconds, *([size] if size else []))
        data, packets, took = taker.communicate(timeout=60)[0].split()
    finally:
        taker.kill()
    return int(data) * 8 / float(took), int(packets) / float(took)


def contest(tool, mode, args):
    made = []
    try:
        for i, make in enumerate(WHO.values()):
            made.append(make(f"encap{i}", mode))
        for name, proto, size in TESTS:
            seen = [[] for _ in WHO]
            for i in range(args.rounds):
                for k in range(len(WHO)):
                    k = (k + i) % len(WHO)
                    bits, packets = flow(tool, made[k][1], proto, size, args.seconds)
                    seen[k].append(packets if size else bits)
            unit, scale = ("k packets/s", 1e3) if size else ("Gbit/s", 1e9)
            middle = [statistics.median(s) for s in seen]
            for who, m in zip(WHO, middle):
                print(f"  {mode:6} {name:16} {who:20} {m / scale:8.2f} {unit:12} {m / middle[0]:.3f}", flush=True)
    finally:
        for i in range(len(WHO)):
            Lab(f"encap{i}").down()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--seconds", type=float, default=0.5)
    p.add_argument("--modes", default="none,vxlan")
    args = p.parse_args()
    tool = Lab("encap0").build / "bench/bench-flow"
    print(f"{args.rounds} rounds of {args.seconds} s; what arrives, medians")
    for mode in args.modes.split(","):
        contest(tool, mode, args)


if __name__ == "__main__":
    main()
