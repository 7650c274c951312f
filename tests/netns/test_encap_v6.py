"""IPv6 pools over VXLAN, beside IPv4 pools over it: devices, roads, the wire, MTUs, guards, NAT."""

import os
import re

import pytest

from deploy.lab import ns, wait
from deploy.lab.lab import LINK, SUBNET2
from deploy.lab.traffic import Flow

from conftest import finish, make_lab, new_name
from encap import capture, network, spec
from ground import dual_stack_pod

BACKEND = "legacy" if os.environ.get("MARGAY_KERNEL") == "uml" else "nft"
WORLD = "fd61::200"


def pool6(vxlan="Always", nat=False):
    return ("---\napiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {name: pods6}\nspec: {cidr: 'fd00:172::/64', blockSize: 122, "
            f"vxlanMode: {vxlan}, natOutgoing: {str(nat).lower()}}}\n")


def felix(**fields):
    return "---\napiVersion: projectcalico.org/v3\nkind: FelixConfiguration\nmetadata: {name: default}\nspec:\n" + \
           "".join(f"  {k}: {v}\n" for k, v in fields.items())


def address6(node):
    return f"fd6{node.address.split('.')[2][1]}::{node.address.rsplit('.', 1)[1]}"


@pytest.fixture(scope="module")
def site(request):
    name = new_name()
    lab = None
    try:
        lab = make_lab(name, nodes=2, split=1, start=False, manifest=network("vxlan-always") + pool6())
        tor = lab.ns("tor")
        ns.run(tor, "sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
        for link, address in ((LINK, "fd61::1"), ("eth2", "fd62::1")):
            ns.ip(tor, "-6", "addr", "add", f"{address}/64", "dev", link, "nodad")
        lab.join("world", "192.168.61.200")
        ns.ip(lab.ns("world"), "-6", "addr", "add", f"{WORLD}/64", "dev", LINK, "nodad")
        for node in lab.nodes:
            own = address6(node)
            ns.ip(node.ns, "-6", "addr", "add", f"{own}/64", "dev", LINK, "nodad")
            here, there = ("fd61", "fd62") if own.startswith("fd61") else ("fd62", "fd61")
            ns.ip(node.ns, "-6", "route", "add", f"{there}::/64", "via", f"{here}::1")
            node.start("--ip6", own, "--iptables-backend", BACKEND, wait_ready=False)
        for node in lab.nodes:
            node.wait_ready()
        lab.pods = [dual_stack_pod(node, f"pod{node.index}", "default") for node in lab.nodes]
        wait.until("pods reach each other in both families", lambda: all(
            lab.pods[0].ping(a, wait_s=1) for a in (lab.pods[1].ip, lab.pods[1].ip6)))
    except BaseException:
        if lab:
            finish(request, [lab])
        raise
    yield lab
    finish(request, [lab])


def mtu(where, link):
    return ns.ip_json(where, "link", "show", "dev", link)[0]["mtu"]


def rules6(node, table):
    return ns.out(node.ns, f"ip6tables-{BACKEND}-save", "-t", table)


def test_device_and_roads(site):
    first, second = site.nodes
    told = spec(second)
    [dev] = ns.ip_json(second.ns, "link", "show", "dev", "vxlan-v6.calico")
    data = dev["linkinfo"]["info_data"]
    assert (data["id"], data["port"], data["local6"]) == (4096, 4789, "fd62::12") and dev["mtu"] == 1430
    assert told["vxlanTunnelMACAddrV6"] == dev["address"] != told["vxlanTunnelMACAddr"]
    vtep = told["ipv6VXLANTunnelAddr"]
    assert f"inet6 {vtep}/128 scope global" in ns.ip(second.ns, "addr", "show", "dev", "vxlan-v6.calico")
    block = next(b for b in second.ctl_json("node", "status")["blocks"] if ":" in b)
    want = f"{block} via {vtep} dev vxlan-v6.calico proto 80"
    lines = ns.ip(first.ns, "-6", "route", "show").splitlines()
    assert any(line.startswith(want) and "mtu 1430" in line for line in lines), lines
    assert f"{dev['address']} dst fd62::12 self permanent" in ns.out(first.ns, "bridge", "fdb", "show", "dev", "vxlan-v6.calico")
    assert f"{vtep} lladdr {dev['address']} PERMANENT" in ns.ip(first.ns, "-6", "neigh", "show", "dev", "vxlan-v6.calico")


def test_on_the_wire(site):
    first, second = site.pods
    seen = capture(first.node, lambda: first.ping(second.ip6), 2, "ip6 and udp port 4789")
    assert re.search(rf"fd61::11\.\d+ > fd62::12\.4789: .*VXLAN, flags \[I\] \(0x08\), vni 4096.*{first.ip6} > {second.ip6}: .*ICMP6, echo request",
                     seen[0]), seen


def test_the_larger_overhead_is_the_pods_mtu(site):
    for pod in site.pods:
        assert mtu(pod.ns, "eth0") == mtu(pod.node.ns, pod.host_interface) == 1430
    site.apply(felix(vxlanMTUV6="1390"))
    for pod in site.pods:
        wait.until("it follows the setting", lambda p=pod: mtu(p.ns, "eth0") == mtu(p.node.ns, "vxlan-v6.calico") == 1390)
        assert mtu(pod.node.ns, "vxlan.calico") == 1450
    site.ctl("delete", "felixconfiguration", "default")
    for pod in site.pods:
        wait.until("and back", lambda p=pod: mtu(p.ns, "eth0") == mtu(p.node.ns, "vxlan-v6.calico") == 1430)


def test_large_packets_pass(site):
    first, second = site.pods
    wait.until("both ways", lambda: ns.run(first.ns, "ping", "-6", "-n", "-c", 2, "-W", 2, "-M", "do", "-s", 1430 - 48, second.ip6,
                                           check=False).returncode == 0)


def test_guard(site):
    for node, other in zip(site.nodes, reversed(site.nodes)):
        text = rules6(node, "filter")
        assert "--match-set cali60all-vxlan-net src" in text and "Drop IPv6 VXLAN packets from non-allowed hosts" in text
        assert f"\n{address6(other)}\n" in ns.out(node.ns, "ipset", "list", "cali60all-vxlan-net")
    # A stranger's packet meets the rule.
    node = site.nodes[0]
    drops = lambda: int(re.search(r"\[(\d+):\d+\] -A cali-INPUT .*Drop IPv6 VXLAN", ns.out(
        node.ns, f"ip6tables-{BACKEND}-save", "-c", "-t", "filter"))[1])
    before = drops()
    ns.run(site.ns("world"), "/usr/bin/python3", "-c", "import socket\ns = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)\n"
           f"s.sendto(b'\\x08' + bytes(60), ('{address6(node)}', 4789))")
    wait.until("it was dropped", lambda: drops() == before + 1)


def test_nat(site):
    first = site.pods[0]
    knock = lambda: ns.run(first.ns, "/usr/bin/python3", "-c", "import socket\ns = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)\n"
                           f"s.sendto(b'x', ('{WORLD}', 9999))")
    world = type("World", (), {"ns": site.ns("world")})
    heard = lambda: capture(world, knock, 1, "ip6 and udp dst port 9999")[0]
    ns.ip(site.ns("world"), "-6", "route", "replace", "fd00:172::/64", "via", address6(site.nodes[0]))
    assert f"{first.ip6}." in heard()
    site.apply(pool6(nat=True))
    for node in site.nodes:
        node.settle_policy()
    assert "fd61::11." in heard()
    ns.ip(site.nodes[0].ns, "-6", "addr", "add", "fd61::77/64", "dev", LINK, "nodad")
    site.apply(felix(natOutgoingAddress="'fd61::77'", natPortRange='"41000:41031"'))
    for node in site.nodes:
        node.settle_policy()
    line = heard()
    assert re.search(r"fd61::77\.410[0-3]\d > ", line), line
    assert "--to-source fd61::77" not in ns.out(site.nodes[0].ns, f"iptables-{BACKEND}-save", "-t", "nat")
    site.ctl("delete", "felixconfiguration", "default")
    site.apply(pool6())


def test_mode_changes_while_traffic_flows(site):
    """IPv4's tunnel stays what it is."""
    first, second = site.pods
    flow = Flow(first, second)
    for mode in ("CrossSubnet", "Always", "CrossSubnet"):
        site.apply(pool6(mode))
        wait.until("pods reach each other", lambda: first.ping(second.ip6, wait_s=1))
    said = flow.stop()
    assert not said["lost"] and not said["errors"], said
    assert SUBNET2 in second.node.address


def test_a_device_that_cannot_be_made(site):
    """The pool and the remedy are named, and its blocks are closed: their packets leave by no other way. IPv4 works on."""
    node, pods = site.nodes[0], site.pods
    far = wait.until("its block", lambda: ns.ip(node.ns, "-6", "route", "show", "dev", "vxlan-v6.calico", "proto", "80").split()[0])
    node.stop()
    ns.ip(node.ns, "link", "del", "vxlan-v6.calico")
    ns.ip(node.ns, "link", "add", "other0", "type", "vxlan", "id", "4096", "dstport", "4789", "dev", LINK, "local", address6(node))
    node.start("--ip6", address6(node), "--iptables-backend", BACKEND, wait_ready=False)
    words = "IPPool pods6 (fd00:172::/64) asks for VXLAN: cannot make vxlan-v6.calico: another interface has VNI 4096 on port 4789"
    wait.until("it is said", lambda: words in node.health_text())
    wait.until("its block is closed", lambda: f"blackhole {far}" in ns.ip(node.ns, "-6", "route", "show"))
    wait.until("IPv4 works", lambda: pods[0].ping(pods[1].ip, wait_s=1))
    ns.ip(node.ns, "link", "del", "other0")
    wait.until("IPv6 works again", lambda: pods[0].ping(pods[1].ip6, wait_s=1))
