"""What the tests of roads to other nodes share: modes, pools, and how a right road looks."""

import json
import subprocess

from deploy.lab import ns, wait
from deploy.lab.lab import LINK

from conftest import NETWORK, new_name


def kernel_has(kind):
    """Can this kernel make a device of this kind?"""
    name = f"{new_name()}-kind"
    ns.add(name)
    try:
        ns.run(None, "ip", "-n", name, "link", "add", "probe0", "type", kind, "local", "127.0.0.1", check=False)
        return "probe0" in ns.ip(name, "link")
    finally:
        ns.delete(name)


IPIP = kernel_has("ipip")
MODES = ["none", "vxlan-always", "vxlan-cross", *(["ipip-always", "ipip-cross"] if IPIP else [])]
WORDS = {"always": "Always", "cross": "CrossSubnet"}
MTU = {"none": 1500, "vxlan": 1450, "ipip": 1480}


def kind(mode):
    return mode.split("-")[0]


def pool(mode, name="pods", cidr="172.31.0.0/16"):
    """The quick start's pool in a mode."""
    modes = {"ipipMode": "Never", "vxlanMode": "Never"}
    if mode != "none":
        what, where = mode.split("-")
        modes[f"{what}Mode"] = WORDS[where]
    text = NETWORK.split("---\n")[0].replace("name: pods", f"name: {name}").replace("172.31.0.0/16", cidr)
    return text + "".join(f"  {k}: {v}\n" for k, v in modes.items())


def network(mode):
    """The quick start's network with its pool in a mode."""
    return "---\n".join([pool(mode), *NETWORK.split("---\n")[1:]])


def pods(lab):
    return [node.pods[f"default.pod{node.index}"] for node in lab.nodes]


def blocks(node):
    return node.ctl_json("node", "status")["blocks"]


def neighbours(a, b):
    return a.address.rsplit(".", 1)[0] == b.address.rsplit(".", 1)[0]


def spec(node):
    return json.loads(node.lab.ctl("get", "node", node.name, "-o", "json").stdout)["spec"]


def road(mode, source, target):
    """What the route of a block of target says on source, behind the block itself."""
    if mode == "none" and not neighbours(source, target):
        return f"via {source.address.rsplit('.', 1)[0]}.1 dev {LINK} proto 80 onlink"
    if mode == "none" or (mode.endswith("cross") and neighbours(source, target)):
        return f"via {target.address} dev {LINK} proto 80 onlink"
    if kind(mode) == "ipip":
        return f"via {target.address} dev tunl0 proto 80 onlink mtu 1480"
    return f"via {spec(target).get('ipv4VXLANTunnelAddr')} dev vxlan.calico proto 80 onlink mtu 1450"


def wrong_roads(lab, mode):
    """Routes that are not as the mode wants them."""
    out = []
    held = {node: blocks(node) for node in lab.nodes}
    out += [f"{node.name} has no block" for node in lab.nodes if not held[node]]
    for source in lab.nodes:
        lines = [line.strip() for line in source.routes().splitlines()]
        for target in lab.nodes:
            for block in held[target]:
                want = f"{block} {road(mode, source, target)}" if source is not target else f"blackhole {block} proto 80"
                if want not in lines:
                    out.append(f"{source.name}: no {want!r} in {[x for x in lines if block in x]}")
    return out


def settle(lab, mode, seconds=60):
    wait.until(lambda: f"routes of mode {mode}: {wrong_roads(lab, mode)[:4]}", lambda: not wrong_roads(lab, mode), seconds)


def change(lab, mode):
    lab.apply(pool(mode))
    lab.mode = mode
    settle(lab, mode)


def capture(node, action, count, what, interface=LINK, seconds=60):
    """The packets that action causes, each one line of tcpdump -v; count 0: what is seen until action returns."""
    words = [*ns.enter(node.ns), "tcpdump", "-l", "-n", "-v", "-t", "--immediate-mode", "-i", interface,
             *(["-c", str(count)] if count else []), what]
    p = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        while "listening on" not in (line := p.stderr.readline()):
            assert line, "tcpdump ended before it listened"
        action()
        if not count:
            p.terminate()
        out, _ = p.communicate(timeout=seconds)
    finally:
        p.kill()
    packets = []
    for line in filter(str.strip, out.splitlines()):
        # What VXLAN carries begins a line of its own.
        if line.startswith(("IP ", "IP6 ")) and not (packets and packets[-1].endswith("vni 4096")):
            packets.append(line)
        else:
            packets[-1] += " " + line.strip()
    return packets
