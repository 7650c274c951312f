"""IPv6: one session a family as Calico has it, between ours, with Calico's bird6, and with BIRD and FRR as top-of-rack routers; blocks,
next hops of either scope, and pods' packets."""

import os
import pwd

import pytest

from deploy.lab import ns, wait
from deploy.lab.lab import LINK

from conftest import finish, make_lab, new_name
from ground import dual_stack_pod
from mixed import CalicoNode, join, link_local
from test_mixed_mesh import is_up, neighbor, paths

MANIFEST = """
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: pods}
spec: {cidr: 172.31.0.0/16, blockSize: 26, natOutgoing: false}
---
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: pods6}
spec: {cidr: "fd00:172::/64", blockSize: 122, natOutgoing: false}
---
"""
TOR6 = "fd61::1"
NETWORK6 = "2001:db8:99::/48"
SERVICE6 = "2001:db8:99::1"
PEER6 = f"""apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {{name: tor6}}
spec: {{peerIP: "{TOR6}", asNumber: 65001}}
---
"""


def address6(node):
    return f"fd61::{node.address.rsplit('.', 1)[1]}"


def block6(node):
    return next(b for b in node.ctl_json("node", "status")["blocks"] if ":" in b)


def routes6(where):
    return ns.ip(where, "-6", "route", "show")


def next_hop(where, prefix):
    """(gateway, device) of the one route to a prefix."""
    found = [(r.get("gateway"), r.get("dev")) for r in ns.ip_json(where, "-6", "route", "show", prefix)]
    return found[0] if len(found) == 1 else found


def gateways(where, prefix):
    """Gateways of all routes to a prefix."""
    return {h.get("gateway") for r in ns.ip_json(where, "-6", "route", "show", prefix) for h in r.get("nexthops", [r])}


@pytest.fixture(scope="module")
def dual(request):
    """Two nodes of ours and one of Calico's, each with both families, and an empty place for a router; a dual-stack pod everywhere."""
    lab = make_lab(new_name(), nodes=2, tor=True, start=False, manifest=MANIFEST)
    try:
        tor = lab.ns("tor")
        ns.run(tor, "sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
        ns.ip(tor, "-6", "addr", "add", f"{TOR6}/64", "dev", LINK, "nodad")
        ns.ip(tor, "-6", "addr", "add", f"{SERVICE6}/128", "dev", "lo")
        join(lab, "calico", 9)
        lab.four, lab.six = CalicoNode(lab, "calico", 9), CalicoNode(lab, "calico", 9, family=6)
        lab.apply(lab.four.node.replace("}}", f', ipv6Address: "{lab.six.address}/64"}}}}'))
        for node in lab.nodes:
            ns.ip(node.ns, "-6", "addr", "add", f"{address6(node)}/64", "dev", LINK, "nodad")
            node.start("--ip6", address6(node), wait_ready=False)
        lab.four.peers = {n.address: 64512 for n in lab.nodes}
        lab.six.peers = {address6(n): 64512 for n in lab.nodes}
        lab.four.start()
        lab.six.start()
        for node in lab.nodes:
            node.wait_ready()
        lab.ours = [dual_stack_pod(node, f"pod{node.index}", "default") for node in lab.nodes]
        lab.podc = lab.six.add_pod("podc", "ff90")
    except BaseException:
        finish(request, [lab])
        raise
    yield lab
    finish(request, [lab])


def test_one_session_for_each_family(dual):
    one, two = dual.nodes
    for node, other in ((one, two), (two, one)):
        for address, family in ((other.address, "ipv4-unicast"), (address6(other), "ipv6-unicast"), (dual.four.address, "ipv4-unicast"),
                                (dual.six.address, "ipv6-unicast")):
            wait.until(f"{node.name} with {address}", lambda n=node, a=address: is_up(n, a), 60)
            caps = node.ctl_json("bgp", "neighbors", address)["neighbors"][0]["capabilities"]
            assert caps["sent"]["multiprotocol"] == caps["received"]["multiprotocol"] == [family], (address, caps)
    wait.until("bird6 sees it so", lambda: dual.six.up() == set(dual.six.peers))


def test_blocks_of_both_families_and_pods_packets(dual):
    one, two = dual.nodes
    for node, other in ((one, two), (two, one)):
        wait.until(lambda n=node: routes6(n.ns), lambda n=node, o=other: next_hop(n.ns, block6(o)) == (address6(o), LINK))
        wait.until(lambda n=node: routes6(n.ns), lambda n=node: next_hop(n.ns, dual.six.block) == (dual.six.address, LINK))
        wait.until(lambda: dual.six.routes(), lambda n=node: f"{block6(n)} via {address6(n)} dev {LINK} proto bird" in dual.six.routes())
        assert f"blackhole {block6(node)}" in routes6(node.ns)
        [path] = paths(node, dual.six.block)
        assert path["localPref"] == 2147482623 and path["nextHop"] == dual.six.address
    a, b = dual.ours
    wait.until("ours reach each other over both", lambda: a.ping(b.ip) and a.ping(b.ip6) and b.ping(a.ip6))
    wait.until("Calico's pod reaches ours over IPv6", lambda: all(dual.podc.ping(p.ip6) and p.ping(dual.podc.ip) for p in dual.ours))
    assert dual.podc.ping(a.ip6, count=20)


def test_bird6_and_margay_are_killed(dual):
    """RFC 4724 for IPv6: the pods' packets do not notice; the other family's session does not either."""
    one, six = dual.nodes[0], dual.six
    a = dual.ours[0]

    def pings():
        return ns.run(a.ns, "ping", "-n", "-q", "-i", "0.02", "-c", "50", "-W", "2", dual.podc.ip, check=False).stdout
    wait.until("all is there", lambda: is_up(one, dual.four.address) and is_up(one, six.address) and address6(one) in six.up() and
               six.block in routes6(one.ns) and dual.podc.ping(a.ip6))
    since = neighbor(one, dual.four.address)["since"]
    six.kill()
    wait.until("its end is seen", lambda: not is_up(one, six.address))
    assert six.block in routes6(one.ns) and paths(one, six.block)[0]["stale"]
    assert " 0% packet loss" in pings()
    six.start()
    wait.until("back and fresh", lambda: is_up(one, six.address) and [p["stale"] for p in paths(one, six.block)] == [False], 60)
    assert neighbor(one, dual.four.address)["since"] == since
    one.kill()
    wait.until("bird6 has seen it", lambda: address6(one) not in six.up())
    assert f"{block6_kept(six, one)} via {address6(one)}" in six.routes()
    assert " 0% packet loss" in pings()
    one.start("--ip6", address6(one), wait_ready=False)
    wait.until("back", lambda: is_up(one, six.address) and is_up(one, dual.four.address), 60)
    assert " 0% packet loss" in pings()


def block6_kept(six, node):
    return next(line.split()[0] for line in six.routes().splitlines() if f"via {address6(node)} " in line)


def bird_tor(lab, how):
    d = lab.dir / "tor6"
    d.mkdir(exist_ok=True)
    peers = "".join(f"protocol bgp n{n.index} {{ local {TOR6} as 65001; neighbor {address6(n)} as 64512; {how}; graceful restart on; "
                    "connect delay time 1; connect retry time 2; error wait time 1, 3; "
                    "ipv6 { import all; export where source = RTS_STATIC; add paths on; }; }\n" for n in lab.nodes)
    (d / "bird.conf").write_text(f"router id 192.168.61.1;\nprotocol device {{ }}\nprotocol direct {{ ipv6; }}\n"
                                 f"protocol static {{ ipv6; route {NETWORK6} blackhole; }}\n"
                                 f"protocol kernel {{ ipv6 {{ export where source = RTS_BGP; }}; }}\n{peers}")
    return lab.spawn("tor6", lab.ns("tor"), "bird", "-f", "-c", d / "bird.conf", "-s", d / "ctl"), \
        lambda: ns.run(lab.ns("tor"), "birdc", "-r", "-s", d / "ctl", "show", "route", "all", check=False).stdout


def frr_tor(lab):
    d = lab.dir / "frr6"
    d.mkdir(exist_ok=True)
    peers = "".join(f" neighbor {address6(n)} remote-as 64512\n neighbor {address6(n)} timers connect 2\n" for n in lab.nodes)
    active = "".join(f"  neighbor {address6(n)} activate\n" for n in lab.nodes)
    (d / "bgpd.conf").write_text(f"""
router bgp 65001
 bgp router-id 192.168.61.1
 no bgp default ipv4-unicast
 no bgp ebgp-requires-policy
 no bgp network import-check
 bgp graceful-restart
{peers} address-family ipv6 unicast
  network {NETWORK6}
{active}""")
    (d / "empty.conf").touch()
    frr = pwd.getpwnam("frr")
    for p in (d, d / "bgpd.conf", d / "empty.conf"):
        os.chown(p, frr.pw_uid, frr.pw_gid)
    started = []
    for daemon, conf, more in (("zebra", "empty.conf", ["-s", "90000000"]), ("bgpd", "bgpd.conf", ["-l", TOR6])):
        started.append(lab.spawn(f"frr6-{daemon}", lab.ns("tor"), f"/usr/lib/frr/{daemon}", "-f", d / conf, "-i", d / f"{daemon}.pid",
                                 "-z", d / "zserv", "--vty_socket", d, "-P", "0", *more))
        wait.until(f"{daemon} is there", lambda x=daemon: (d / f"{x}.vty").exists())
    return started, lambda: ns.run(lab.ns("tor"), "vtysh", "--vty_socket", d, "-c", "show bgp ipv6 unicast json", check=False).stdout


def with_a_router(dual, said, hops):
    """Routes both ways with a router in AS 65001, by one of these next hops, and packets to what is behind it."""
    tor = dual.ns("tor")
    for node in dual.nodes:
        wait.until(f"{node.name} with the router", lambda n=node: is_up(n, TOR6), 60)
        wait.until(lambda n=node: routes6(n.ns), lambda n=node: next_hop(n.ns, NETWORK6) in hops)
        wait.until("the block at the router", lambda n=node: block6(n) in said())
        # every node tells every block to an eBGP peer with itself as next hop, as Calico does: the router goes through one of them
        own = {a for n in dual.nodes for a in (address6(n), link_local(n.ns, LINK))}
        wait.until(lambda: routes6(tor), lambda n=node: gateways(tor, block6(n)) and gateways(tor, block6(n)) <= own)
    for pod in dual.ours:
        # the routers take an IPv6 route away before they write the better one
        wait.until("the pod reaches what is behind the router, every time", lambda p=pod: p.ping(SERVICE6, count=20))


@pytest.mark.parametrize("how", ["multihop", "direct"])
def test_bird_as_top_of_rack(dual, how):
    """multihop: the global address alone is the next hop; direct: the link-local one beside it (RFC 2545)."""
    dual.apply(PEER6)
    process, said = bird_tor(dual, how)
    try:
        hops = [(TOR6, LINK), (link_local(dual.ns("tor"), LINK), LINK)]
        with_a_router(dual, said, hops if how == "direct" else hops[:1])
        if how == "direct":
            [path] = [p for p in paths(dual.nodes[0], NETWORK6) if p["peer"] == TOR6]
            assert path["nextHopLinkLocal"] == link_local(dual.ns("tor"), LINK), path
    finally:
        process.kill()
        process.wait()
        leave(dual)


def leave(lab):
    """Without a peer its network goes; what a killed router left in its kernel is ours to take away."""
    lab.ctl("delete", "bgppeer", "tor6")
    for what in ("bird", "bgp"):
        ns.run(lab.ns("tor"), "ip", "-6", "route", "flush", "proto", what, check=False)
    for node in lab.nodes:
        wait.until("its network is gone", lambda n=node: NETWORK6 not in routes6(n.ns))


def test_frr_as_top_of_rack(dual):
    dual.apply(PEER6)
    processes, said = frr_tor(dual)
    try:
        with_a_router(dual, said, [(TOR6, LINK), (link_local(dual.ns("tor"), LINK), LINK)])
    finally:
        for p in processes:
            p.kill()
            p.wait()
        leave(dual)
