#!/usr/bin/python3
"""How long traffic is lost when a link is cut: BFD 3 x 50 ms, margay's agent beside BIRD with the same timers.

    failover.py [--cuts N] [--build DIR] [--only NAME,...]

A host with two ToR routers (BIRD) on a segment, both of which announce one network; the host sends a numbered UDP packet each
millisecond to it, and each router counts what reaches it. All packets of the router that the flow uses are dropped, both ways, without
a word to anybody; from the cut to the first packet at the other router is the figure. The path is then healed and the other one's
turn is next. The host's daemon is margayd, then BIRD. Both see the cut by BFD alone: the hold time is 240 s.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
sys.dont_write_bytecode = True

from deploy.lab import ns, wait  # noqa: E402
from deploy.lab.lab import LINK, Lab  # noqa: E402

TORS = {"tor": "192.168.61.1", "tor2": "192.168.61.2"}
NODE, TARGET, PORT = "192.168.61.11", "203.0.113.1", 7007

MANIFEST = """
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: pods}
spec: {cidr: 172.31.0.0/16}
""" + "".join(f"""---
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {{name: {name}, annotations: {{margay.io/bfd: "50ms*3"}}}}
spec: {{peerIP: {address}, asNumber: 65001}}
""" for name, address in TORS.items())

BFD = f'protocol bfd {{ interface "{LINK}" {{ interval 50 ms; multiplier 3; idle tx interval 300 ms; }}; }}\n'

# In the router: the monotonic time (the machine's, so comparable) of the first packet after each request on stdin.
SINK = f"""
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("{TARGET}", {PORT}))
s.settimeout(20)
print("ready", flush=True)
for line in sys.stdin:
    s.setblocking(False)
    try:
        while True: s.recv(64)
    except OSError: pass
    s.settimeout(float(line))
    try:
        s.recv(64)
        print(time.monotonic(), flush=True)
    except OSError:
        print("none", flush=True)
"""
SOURCE = f"""
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
print("ready", flush=True)
n = 0
while True:
    try: s.sendto(b"%d" % n, ("{TARGET}", {PORT}))
    except OSError: pass
    n += 1
    time.sleep(0.001)
"""
DROP = f"""table netdev cut {{ chain in {{ type filter hook ingress device {LINK} priority 0; policy drop; }}
}}
table inet cut {{ chain out {{ type filter hook output priority 0; policy accept; oifname {LINK} drop
}}
}}
"""


def python(namespace, code):
    p = subprocess.Popen([*ns.enter(namespace), sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert p.stdout.readline() == "ready\n"
    return p


def router(lab, host, address):
    d = lab.dir / host
    d.mkdir()
    (d / "bird.conf").write_text(f"""router id {address};
protocol device {{ }}
protocol direct {{ ipv4; }}
protocol static {{ ipv4; route 203.0.113.0/24 blackhole; }}
{BFD}
protocol bgp node {{ local {address} as 65001; neighbor {NODE} as 64512; direct; bfd on; connect delay time 1; connect retry time 1;
  error wait time 1, 1; ipv4 {{ import all; export where source = RTS_STATIC; next hop self; }}; }}
""")
    ns.ip(lab.ns(host), "addr", "add", f"{TARGET}/32", "dev", "lo")
    lab.spawn(host, lab.ns(host), "bird", "-f", "-c", d / "bird.conf", "-s", d / "ctl")


def start_margay(lab):
    lab.apply(MANIFEST)
    lab.nodes[0].start(wait_ready=False)


def start_bird(lab):
    d = lab.dir / "host"
    d.mkdir()
    peers = "".join(f"protocol bgp {name} {{ local {NODE} as 64512; neighbor {address} as 65001; direct; bfd on; "
                    "connect delay time 1; connect retry time 1; error wait time 1, 1; ipv4 { import all; export none; }; }\n"
                    for name, address in TORS.items())
    (d / "bird.conf").write_text(f"router id {NODE};\nprotocol device {{ }}\nprotocol direct {{ ipv4; }}\n"
                                 f"protocol kernel {{ merge paths on; ipv4 {{ export where proto != \"direct1\"; }}; }}\n{BFD}{peers}")
    lab.spawn("host", lab.nodes[0].ns, "bird", "-f", "-c", d / "bird.conf", "-s", d / "ctl")


def hops(lab):
    return sorted(h["gateway"] for r in ns.ip_json(lab.nodes[0].ns, "route", "show", "203.0.113.0/24")
                  for h in r.get("nexthops", [r]) if "gateway" in h)


def both_watched(lab):
    """Both paths are in use, and both routers say that BFD is up."""
    return hops(lab) == sorted(TORS.values()) and all(
        " Up " in ns.out(lab.ns(h), "birdc", "-s", lab.dir / h / "ctl", "show", "bfd", "sessions") for h in TORS)


def cut_once(lab, sinks):
    wait.until(lambda: f"both paths {hops(lab)}", lambda: both_watched(lab), 120)
    for s in sinks.values():
        s.stdin.write("0.5\n")
        s.stdin.flush()
    used = [h for h, s in sinks.items() if s.stdout.readline() != "none\n"]
    assert len(used) == 1, used
    other = next(h for h in TORS if h != used[0])
    sinks[other].stdin.write("20\n")
    sinks[other].stdin.flush()
    ns.run(lab.ns(used[0]), "nft", "-f", "-", input=DROP)
    at = time.monotonic()
    said = sinks[other].stdout.readline()
    ns.run(lab.ns(used[0]), "nft", "flush", "ruleset")
    return (float(said) - at) * 1000


def measure(name, build, cuts):
    lab = Lab("failov", build=build)
    children = []
    try:
        lab.up(nodes=1)
        lab.join("tor2", TORS["tor2"])
        for host, address in TORS.items():
            router(lab, host, address)
        (start_margay if name == "margay" else start_bird)(lab)
        sinks = {h: python(lab.ns(h), SINK) for h in TORS}
        children = [*sinks.values(), python(lab.nodes[0].ns, SOURCE)]
        return [cut_once(lab, sinks) for _ in range(cuts)]
    finally:
        for c in children:
            c.kill()
            c.wait()
        lab.down()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--cuts", type=int, default=10)
    p.add_argument("--build", default=str(ROOT / "build"))
    p.add_argument("--only", default="margay,BIRD")
    p.add_argument("--json", action="store_true")
    args = p.parse_args()
    got = {name: measure(name, args.build, args.cuts) for name in args.only.split(",")}
    if args.json:
        print(json.dumps(got))
        return 0
    print(f"bfd: link cut, 3 x 50 ms, to traffic on the other path; {args.cuts} cuts each; goal under 250 ms")
    for name, ms in got.items():
        print(f"{name:8} p50 {statistics.median(ms):6.0f} ms   max {max(ms):6.0f} ms   min {min(ms):6.0f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
