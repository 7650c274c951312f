"""Roads to other nodes' pods: no encapsulation, VXLAN, IPIP, and from one to the other while traffic flows.

Two segments with the router between, two nodes on each. Modes with IPIP run where the kernel has ipip:
tests/run.sh runs this file a second time under tests/uml/run.sh, which has it.
"""

import itertools
import re
import subprocess

import pytest

from deploy.lab import ns, wait
from deploy.lab.lab import LINK
from deploy.lab.traffic import Flow
from deploy.lab.transfer import transfer

from conftest import finish, make_lab, new_name
from encap import IPIP, MODES, MTU, capture, change, kind, neighbours, pods, spec


@pytest.fixture(scope="module")
def grid(request):
    """node1, node2 | router | node3, node4, with a pod each, no encapsulation yet."""
    name = new_name()
    lab = None
    try:
        lab = make_lab(name, nodes=4, split=2)
        for node in lab.nodes:
            node.add_pod(f"pod{node.index}")
    except BaseException:
        if lab:
            finish(request, [lab])
        raise
    lab.mode = "none"
    yield lab
    finish(request, [lab])


@pytest.mark.parametrize("mode", MODES)
def test_every_pod_reaches_every_pod(grid, mode):
    change(grid, mode)
    for source, target in itertools.permutations(pods(grid), 2):
        out = wait.until(f"{source.name} reaches {target.name}", lambda s=source, t=target: ns.out(
            s.ns, "ping", "-n", "-c", "1", "-W", "2", t.ip))
        # Two nodes on the way, and the router only where nothing hides the packet from it.
        hops = 62 if neighbours(source.node, target.node) or mode != "none" else 61
        assert f"ttl={hops}" in out, (mode, source.node.name, target.node.name, out)


@pytest.mark.parametrize("mode", MODES)
def test_on_the_wire(grid, mode):
    change(grid, mode)
    first = pods(grid)[0]
    for target in pods(grid)[1], pods(grid)[2]:
        hidden = mode.endswith("always") or (mode.endswith("cross") and not neighbours(first.node, target.node))
        inner = f"{first.ip} > {target.ip}: ICMP echo request"
        pair = f"(host {first.node.address} and host {target.node.address} and (proto 4 or udp port 4789))"
        what = f"{pair} or (icmp and host {target.ip})"
        wait.until("they reach each other", lambda t=target: first.ping(t.ip))
        seen = capture(first.node, lambda t=target: first.ping(t.ip), 2, what)
        assert len(seen) == 2 and inner in seen[0], seen
        if not hidden:
            assert re.match(r"IP \(tos 0x0, ttl 63, .* proto ICMP ", seen[0]), seen[0]
        elif kind(mode) == "ipip":
            # The outer header has the TTL of the inner one, as the kernel's default is.
            assert re.match(rf"IP \(tos 0x0, ttl 63, .* proto IPIP \(4\), .*\) {first.node.address} > "
                            rf"{target.node.address}: IP \(tos 0x0, ttl 63, ", seen[0]), seen[0]
        else:
            assert re.match(rf"IP \(tos 0x0, ttl 64, .* proto UDP \(17\), .*\) {first.node.address}\.\d+ > "
                            rf"{target.node.address}\.4789: VXLAN, flags \[I\] \(0x08\), vni 4096 "
                            rf"IP \(tos 0x0, ttl 63, ", seen[0]), seen[0]


def test_devices(grid):
    change(grid, "vxlan-always")
    for node in grid.nodes:
        [dev] = ns.ip_json(node.ns, "link", "show", "dev", "vxlan.calico")
        data = dev["linkinfo"]["info_data"]
        assert (data["id"], data["port"], data["local"], data["link"]) == (4096, 4789, node.address, LINK)
        assert data["learning"] is False and dev["mtu"] == 1450
        told = spec(node)
        assert told["vxlanTunnelMACAddr"] == dev["address"] and dev["address"].startswith("66:")
        assert f"inet {told['ipv4VXLANTunnelAddr']}/32 scope global vxlan.calico" in ns.ip(node.ns, "addr")
        held = grid.ctl("ipam", "show", f"--ip={told['ipv4VXLANTunnelAddr']}").stdout
        assert f"vxlan-tunnel-addr-{node.name}" in held and "vxlanTunnelAddress" in held, held


if IPIP:
    def test_tunl0(grid):
        change(grid, "ipip-always")
        for node in grid.nodes:
            addr = spec(node)["bgp"]["ipv4IPIPTunnelAddr"]
            assert f"inet {addr}/32 scope global tunl0" in ns.ip(node.ns, "addr")
            held = grid.ctl("ipam", "show", f"--ip={addr}").stdout
            assert f"ipip-tunnel-addr-{node.name}" in held and "ipipTunnelAddress" in held, held


@pytest.mark.parametrize("mode", MODES)
def test_transfers_never_stall(grid, mode):
    """Also between pods that were made when packets could be larger."""
    change(grid, mode)
    first, second, third, _ = pods(grid)
    for source, target in ((first, second), (first, third), (third, first)):
        wait.until("they reach each other", lambda s=source, t=target: s.ping(t.ip))
        transfer(source, target)


@pytest.mark.parametrize("mode", MODES)
def test_mtu_of_pods_follows(grid, mode):
    change(grid, mode)
    for pod in pods(grid):
        for where, link in ((pod.ns, "eth0"), (pod.node.ns, pod.host_interface)):
            wait.until(f"{link} in {where} has MTU {MTU[kind(mode)]}",
                       lambda w=where, i=link: ns.ip_json(w, "link", "show", "dev", i)[0]["mtu"] == MTU[kind(mode)])
    new = grid.nodes[0].add_pod("new")
    try:
        assert ns.ip_json(new.ns, "link", "show", "dev", "eth0")[0]["mtu"] == MTU[kind(mode)]
    finally:
        new.delete()


def round_trip(modes):
    """Every mode after every other: a walk over all ordered pairs."""
    todo = set(itertools.permutations(modes, 2))
    walk = [modes[0]]
    while todo:
        step = next(((a, b) for a, b in sorted(todo) if a == walk[-1]), None)
        if step is None:
            walk.append(sorted(todo)[0][0])
            todo.discard((walk[-2], walk[-1]))
        else:
            walk.append(step[1])
            todo.discard(step)
    return walk


def test_modes_change_while_traffic_flows(grid):
    first, second, third, _ = pods(grid)
    change(grid, MODES[0])
    for mode in round_trip(MODES)[1:]:
        before = grid.mode
        flows = [Flow(first, second, port=7001), Flow(first, third, port=7002)]
        change(grid, mode)
        lost = [f.stop() for f in flows]
        for what, said in zip(("neighbours", "over the router"), lost):
            assert len(said["lost"]) <= 1 and not said["errors"], (before, mode, what, said)


@pytest.mark.parametrize("mode", MODES)
def test_kill_9_and_a_new_start_change_nothing(grid, mode):
    change(grid, mode)
    first, _, third, _ = pods(grid)
    state = lambda: (ns.ip(first.node.ns, "link"), first.node.routes(), ns.ip(first.node.ns, "neigh", "show", "nud", "permanent"))
    before = state()
    flow = Flow(first, third)

    def again():
        first.node.kill()
        first.node.start()
    said = changes(grid, first.node, again)
    assert flow.stop()["lost"] == []
    assert state() == before
    assert [line for line in said if "proto 80" in line or "vxlan" in line or "tunl0" in line] == []


def changes(lab, node, action):
    """Lines of ip monitor about all that action does: marks of our own before and behind it have come through."""
    heard = lab.dir / "monitor"
    with open(heard, "w") as f:
        watch = subprocess.Popen([*ns.enter(node.ns), "ip", "monitor", "link", "route", "address"], stdout=f)

    def mark(address):
        for verb in ("add", "del"):
            ns.ip(node.ns, "route", verb, "blackhole", address)
        return address in heard.read_text()
    try:
        wait.until("the monitor listens", lambda: mark("192.0.2.1"))
        action()
        wait.until("it has told everything", lambda: mark("192.0.2.2"))
    finally:
        watch.kill()
        watch.wait()
    return heard.read_text().splitlines()
