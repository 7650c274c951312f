"""Roads to other nodes' pods, when things are not as they should be or change under them."""

import ipaddress
import json

import pytest

from deploy.lab import ns, wait
from deploy.lab.lab import LINK, SUBNET, SUBNET2

from encap import IPIP, MODES, blocks, capture, kind, network, pods, pool, road, settle, spec
from ground import reach_each_other

FELIX = """apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata:
  name: default
spec:
  programClusterRoutes: {felix}
"""
BGP = """apiVersion: projectcalico.org/v3
kind: BGPConfiguration
metadata:
  name: default
spec:
  asNumber: 64512
  nodeToNodeMeshEnabled: true
  programClusterRoutes: {bgp}
"""


def with_pods(lab):
    for node in lab.nodes:
        node.add_pod(f"pod{node.index}")
    return pods(lab)


def lines(node):
    return [line.strip() for line in node.routes().splitlines()]


def routes_of(node, block):
    return [line for line in lines(node) if block in line]


def test_vxlan_needs_no_bgp(labs):
    lab = labs(nodes=2, split=1, tor=False, start=False, manifest=pool("vxlan-always"))
    for node in lab.nodes:
        node.start("--bgp=false", wait_ready=False)
    for node in lab.nodes:
        node.wait_ready()
    first, second = with_pods(lab)
    settle(lab, "vxlan-always")
    reach_each_other(first, second)


@pytest.mark.parametrize("mode", [m for m in MODES if m.endswith("always")])
def test_a_live_node_that_is_deleted_has_a_tunnel_address_of_its_own_again(labs, mode):
    """`delete node` gives all of its addresses back. The agent lives on, and must not use what the next pod may get."""
    lab = labs(nodes=2, split=1, manifest=network(mode))
    with_pods(lab)
    settle(lab, mode)
    second = lab.nodes[1]
    lab.ctl("delete", "node", second.name)

    def address():
        said = spec(second) if second.name in lab.ctl("get", "node").stdout else {}
        return said.get("ipv4VXLANTunnelAddr") or said.get("bgp", {}).get("ipv4IPIPTunnelAddr")

    def is_its_own():
        if not address():
            return False
        said = json.loads(lab.ctl("ipam", "show", f"--ip={address()}", "-o", "json").stdout)
        return said["inUse"] and second.name in json.dumps(said) and "unnel" in json.dumps(said)
    wait.until(lambda: f"{address()} is allocated: {second.log()[-500:]}", is_its_own)
    device = "tunl0" if kind(mode) == "ipip" else "vxlan.calico"
    wait.until("the device has it", lambda: f"inet {address()}/32" in ns.ip(second.ns, "addr", "show", "dev", device))
    pod = second.add_pod("later")
    assert pod.ip != address()
    wait.until("pods reach each other", lambda: lab.nodes[0].pods["default.pod1"].ping(pod.ip))


@pytest.mark.parametrize("mode", MODES)
def test_node_removed_and_added_again(labs, mode):
    lab = labs(nodes=3, split=2, manifest=network(mode))
    first, second, third = with_pods(lab)
    settle(lab, mode)
    reach_each_other(first, second)
    node, [gone] = first.node, blocks(third.node)
    mac = spec(third.node).get("vxlanTunnelMACAddr", "no VXLAN, no MAC")
    third.node.stop()
    lab.ctl("delete", "node", third.node.name)
    if kind(mode) == "vxlan":
        wait.until("the peer is gone", lambda: mac not in ns.out(node.ns, "bridge", "fdb", "show", "dev", "vxlan.calico") and
                   mac not in ns.ip(node.ns, "neigh", "show", "dev", "vxlan.calico"))
    if mode != "none":  # BGP keeps what it was told for the time of a restart
        wait.until(lambda: f"nothing leaves to its block: {routes_of(node, gone)}",
                   lambda: not any(" dev " in line for line in routes_of(node, gone)))
    assert first.ping(second.ip)
    # With the Node went all that it held: its old pods are no more, new ones are.
    third.node.start()
    fresh = third.node.add_pod("fresh")
    settle(lab, mode)
    wait.until("the new pod is reached", lambda: first.ping(fresh.ip, wait_s=1) and fresh.ping(second.ip, wait_s=1))


@pytest.mark.parametrize("mode", MODES)
def test_node_address_changes_under_the_agents(labs, mode):
    """A new lease, and no agent is restarted: not the node's own, not the others'."""
    lab = labs(nodes=3, split=2, manifest=network(mode))
    first, second, third = with_pods(lab)
    settle(lab, mode)
    node, [block] = third.node, blocks(third.node)
    ns.ip(node.ns, "addr", "del", f"{SUBNET2}.13/24", "dev", LINK)
    ns.ip(node.ns, "addr", "add", f"{SUBNET2}.99/24", "dev", LINK)
    ns.ip(node.ns, "route", "replace", f"{SUBNET}.0/24", "via", f"{SUBNET2}.1")
    node.address = f"{SUBNET2}.99"
    if mode == "none":  # the router's configuration names the old address
        ns.ip(lab.ns("tor"), "route", "replace", block, "via", node.address)
    wait.until("the Node says it", lambda: spec(node)["bgp"]["ipv4Address"] == f"{SUBNET2}.99/24")
    settle(lab, mode)
    if kind(mode) == "vxlan":
        tunnel_has_moved(first.node, node)
    if mode != "none":
        name = "cali40all-vxlan-net" if kind(mode) == "vxlan" else "cali40all-hosts-net"
        held = lambda: ns.out(first.node.ns, "ipset", "list", name).splitlines()
        wait.until(lambda: f"the guard knows it: {held()}", lambda: f"{SUBNET2}.99" in held() and f"{SUBNET2}.13" not in held())
    wait.until("pods reach each other", lambda: first.ping(third.ip, wait_s=1) and third.ping(second.ip, wait_s=1))


def tunnel_has_moved(seen_by, node):
    """From .13 to .99: its own device, and the others' way to it. The routes name only what is inside."""
    fdb = lambda: ns.out(seen_by.ns, "bridge", "fdb", "show", "dev", "vxlan.calico")
    wait.until(fdb, lambda: f"dst {SUBNET2}.99 self permanent" in (now := fdb()) and f"{SUBNET2}.13" not in now)
    local = lambda: ns.ip_json(node.ns, "link", "show", "dev", "vxlan.calico")[0]["linkinfo"]["info_data"]["local"]
    wait.until(lambda: f"its own end: {local()}", lambda: local() == f"{SUBNET2}.99")


def test_mtu_changes_while_the_agent_is_away(labs):
    lab = labs(nodes=2, split=1, manifest=network("none"))
    first, _ = with_pods(lab)
    settle(lab, "none")
    first.node.kill()
    lab.apply(pool("vxlan-always"))
    first.node.start()
    for where, link in ((first.ns, "eth0"), (first.node.ns, first.host_interface)):
        wait.until(f"{link} in {where} has the new MTU",
                   lambda w=where, i=link: ns.ip_json(w, "link", "show", "dev", i)[0]["mtu"] == 1450)


def link_mtu(where, link):
    return ns.ip_json(where, "link", "show", "dev", link)[0]["mtu"]


def test_mtu_changes_again_before_pods_have_the_first(labs):
    lab = labs(nodes=1, tor=False, start=False, manifest=pool("vxlan-always"))
    [node] = lab.nodes
    node.start("--bgp=false")
    here = [node.add_pod(f"pod{i}") for i in range(6)]
    for mtu in (1400, 1300, 1450, 1350, 1500, 1380):
        ns.ip(node.ns, "link", "set", LINK, "mtu", mtu)
    both = lambda: [(link_mtu(p.ns, "eth0"), link_mtu(node.ns, p.host_interface)) for p in here]
    wait.until(lambda: f"both ends of every pod have 1330: {both()}", lambda: both() == [(1330, 1330)] * len(here))


def test_a_pulled_cable_changes_no_mtu(labs):
    lab = labs(nodes=1, tor=False, start=False, manifest=pool("vxlan-always"))
    [node] = lab.nodes
    ns.ip(node.ns, "link", "set", LINK, "mtu", "9000")
    node.start("--bgp=false")
    wait.until("the device has its MTU", lambda: link_mtu(node.ns, "vxlan.calico") == 8950)
    ns.ip(lab.ns("fabric"), "link", "set", f"p-{node.name}", "down")
    wait.until("there is no carrier", lambda: "NO-CARRIER" in ns.ip(node.ns, "link", "show", "dev", LINK))
    late = node.add_pod("late")
    assert link_mtu(late.ns, "eth0") == 8950
    assert link_mtu(node.ns, "vxlan.calico") == 8950
    # Nor does a start meanwhile.
    node.kill()
    node.start("--bgp=false")
    later = node.add_pod("later")
    assert link_mtu(later.ns, "eth0") == link_mtu(late.ns, "eth0") == link_mtu(node.ns, "vxlan.calico") == 8950


def test_a_pattern_that_matches_nothing(labs):
    lab = labs(nodes=1, tor=False, start=False, manifest=pool("vxlan-always"))
    [node] = lab.nodes
    lab.apply("apiVersion: projectcalico.org/v3\nkind: FelixConfiguration\nmetadata: {name: default}\nspec: {mtuIfacePattern: ^nothing}\n")
    node.start("--bgp=false", wait_ready=False)
    words = 'mtuIfacePattern "^nothing" matches no interface; taking the interface of the node'
    wait.until("it is said", lambda: words in node.health_text())
    wait.until("the device has its MTU", lambda: link_mtu(node.ns, "vxlan.calico") == 1450)
    assert link_mtu(node.add_pod("pod").ns, "eth0") == 1450


def test_a_bridge_takes_the_address_over(labs):
    """Another interface holds it, and nothing else is different: not even the MTU, which a pattern takes from elsewhere."""
    lab = labs(nodes=3, split=2, manifest=network("vxlan-cross"))
    first, second, third = with_pods(lab)
    node = first.node
    ns.ip(node.ns, "link", "add", "keep0", "type", "veth", "peer", "name", "keep1")
    ns.ip(node.ns, "link", "set", "keep0", "up")
    ns.ip(node.ns, "link", "set", "keep1", "up")
    lab.apply("apiVersion: projectcalico.org/v3\nkind: FelixConfiguration\nmetadata: {name: default}\nspec: {mtuIfacePattern: ^keep0}\n")
    settle(lab, "vxlan-cross")
    ns.ip(node.ns, "link", "add", "br9", "type", "bridge")
    ns.ip(node.ns, "link", "set", "br9", "up")
    ns.ip(node.ns, "addr", "flush", "dev", LINK)
    ns.ip(node.ns, "link", "set", LINK, "master", "br9")
    ns.ip(node.ns, "addr", "add", f"{node.address}/24", "dev", "br9")
    ns.ip(node.ns, "route", "replace", f"{SUBNET2}.0/24", "via", f"{SUBNET}.1")
    [near] = blocks(second.node)
    wait.until(lambda: f"the neighbour's block goes by the bridge: {routes_of(node, near)}",
               lambda: any(f"via {second.node.address} dev br9" in line for line in routes_of(node, near)))
    wait.until("the tunnel as well",
               lambda: ns.ip_json(node.ns, "link", "show", "dev", "vxlan.calico")[0]["linkinfo"]["info_data"].get("link") == "br9")
    wait.until("pods reach each other", lambda: first.ping(second.ip, wait_s=1) and first.ping(third.ip, wait_s=1))


def test_two_nodes_say_the_same_tunnel(labs):
    """The later one has it. When that one goes, the first has it again, though it said nothing new."""
    lab = labs(nodes=2, split=1, manifest=network("vxlan-always"))
    first, second = with_pods(lab)
    settle(lab, "vxlan-always")
    said, where = spec(second.node), first.node.ns
    fdb = lambda: ns.out(where, "bridge", "fdb", "show", "dev", "vxlan.calico")
    neigh = lambda: ns.ip(where, "neigh", "show", "dev", "vxlan.calico")
    ghost = ("apiVersion: projectcalico.org/v3\nkind: Node\nmetadata: {{name: {}}}\nspec:\n  bgp: {{ipv4Address: {}/24}}\n"
             "  ipv4VXLANTunnelAddr: {}\n  vxlanTunnelMACAddr: '{}'\n").format
    lab.apply(ghost("ghost1", f"{SUBNET2}.201", said["ipv4VXLANTunnelAddr"], "66:00:00:00:00:99") + "---\n" +
              ghost("ghost2", f"{SUBNET2}.202", "172.31.77.1", said["vxlanTunnelMACAddr"]))
    wait.until("the address is another's", lambda: f"{said['ipv4VXLANTunnelAddr']} lladdr 66:00:00:00:00:99" in neigh())
    wait.until("the MAC is another's", lambda: f"{said['vxlanTunnelMACAddr']} dst {SUBNET2}.202" in fdb())
    for name in ("ghost1", "ghost2"):
        lab.ctl("delete", "node", name)
    wait.until(lambda: f"both are the node's again: {fdb()} {neigh()}",
               lambda: f"{said['vxlanTunnelMACAddr']} dst {second.node.address}" in fdb() and
               f"{said['ipv4VXLANTunnelAddr']} lladdr {said['vxlanTunnelMACAddr']}" in neigh())
    wait.until("pods reach each other", lambda: first.ping(second.ip, wait_s=1))


def test_node_address_changes(labs):
    lab = labs(nodes=3, split=2, manifest=network("vxlan-cross"))
    first, second, third = with_pods(lab)
    settle(lab, "vxlan-cross")
    # From the far segment's .13 to .99, as after a new DHCP lease.
    node = third.node
    node.stop()
    ns.ip(node.ns, "addr", "del", f"{SUBNET2}.13/24", "dev", LINK)
    ns.ip(node.ns, "addr", "add", f"{SUBNET2}.99/24", "dev", LINK)
    ns.ip(node.ns, "route", "replace", f"{SUBNET}.0/24", "via", f"{SUBNET2}.1")
    node.address = f"{SUBNET2}.99"
    node.start()
    settle(lab, "vxlan-cross")
    tunnel_has_moved(first.node, node)
    wait.until("pods reach each other", lambda: first.ping(third.ip) and third.ping(second.ip))


def test_borrowed_addresses_have_roads_of_their_own(labs):
    """Blocks of four: the fourth pod of node2 lives in a block of node1."""
    small = pool("vxlan-always", cidr="172.31.0.0/29").replace("blockSize: 26", "blockSize: 30")
    lab = labs(nodes=2, split=1, manifest=small + "---\n" + BGP.format(bgp="EnabledNoEncapOnly"))
    first, second = lab.nodes
    one = first.add_pod("pod1")
    settle(lab, "vxlan-always")
    [own] = wait.until("its tunnel's address is in a block", lambda: blocks(second))
    two = [second.add_pod(f"many{i}") for i in range(4)]
    [guest] = [p for p in two if ipaddress.ip_address(p.ip) not in ipaddress.ip_network(own)]
    want = f"{guest.ip} {road('vxlan-always', first, second)}"
    wait.until(lambda: f"{want} in {lines(first)}", lambda: want in lines(first))
    for pod in two:
        reach_each_other(one, pod)
    guest.delete()
    wait.until("its route is gone", lambda: want not in lines(first))


def test_foreign_hands_are_repaired(labs):
    lab = labs(nodes=2, split=1, manifest=network("vxlan-always"))
    first, second = with_pods(lab)
    settle(lab, "vxlan-always")
    node, address = first.node, spec(first.node)["ipv4VXLANTunnelAddr"]
    for hand in (["ip", "link", "set", "vxlan.calico", "down"],
                 ["ip", "link", "del", "vxlan.calico"],
                 ["ip", "route", "flush", "dev", "vxlan.calico"],
                 ["ip", "neigh", "flush", "dev", "vxlan.calico", "nud", "permanent"],
                 ["ip", "addr", "flush", "dev", "vxlan.calico"],
                 ["ip", "link", "set", LINK, "down"]):
        # A flush may say that it cannot finish: what it takes comes back too fast.
        ns.run(node.ns, *hand, check="flush" not in hand)
        if hand[-1] == "down" and LINK in hand:
            ns.ip(node.ns, "link", "set", LINK, "up")
            ns.ip(node.ns, "route", "replace", f"{SUBNET2}.0/24", "via", f"{SUBNET}.1")
        wait.until(lambda: f"after {hand} the address is there: {ns.ip(node.ns, 'addr')}", lambda: f"inet {address}/32" in ns.ip(
            node.ns, "addr", "show", "dev", "vxlan.calico"))
        settle(lab, "vxlan-always")
        wait.until(f"after {hand} the pods reach each other", lambda: first.ping(second.ip, wait_s=1))


def test_programming_is_a_pair_of_settings(labs):
    lab = labs(nodes=2, manifest=network("none"))
    first, second = with_pods(lab)
    settle(lab, "none")
    [block] = blocks(second.node)
    direct = f"{block} {road('none', first.node, second.node)}"
    # Neither half programs routes without encapsulation: there are none, and VXLAN works all the same.
    lab.apply(BGP.format(bgp="Disabled") + "---\n" + FELIX.format(felix="Disabled"))
    wait.until(lambda: f"no route for {block}: {lines(first.node)}", lambda: routes_of(first.node, block) == [])
    # The other half does.
    lab.apply(FELIX.format(felix="Enabled"))
    wait.until("the route from the affinity", lambda: routes_of(first.node, block) == [direct])
    lab.apply(BGP.format(bgp="Enabled") + "---\n" + FELIX.format(felix="Disabled"))
    wait.until("the route from BGP", lambda: routes_of(first.node, block) == [direct])
    lab.apply(BGP.format(bgp="Disabled") + "---\n" + pool("vxlan-always"))
    settle(lab, "vxlan-always")
    reach_each_other(first, second)


def test_a_node_that_has_not_told_its_tunnel(labs):
    """Its block is not sent in the open where nothing was before; a road that was there stays."""
    lab = labs(nodes=3, split=1, manifest=network("vxlan-always"))
    first, second, third = with_pods(lab)
    settle(lab, "vxlan-always")
    [block] = blocks(third.node)
    was = routes_of(first.node, block)
    third.node.stop()
    assert "ipv4VXLANTunnelAddr" in spec(third.node)
    lab.apply(f"apiVersion: projectcalico.org/v3\nkind: Node\nmetadata:\n  name: {third.node.name}\n"
              f"spec:\n  bgp:\n    ipv4Address: {third.node.address}/24\n")
    assert "ipv4VXLANTunnelAddr" not in spec(third.node)
    wait.until("it is said", lambda: "1 of them without a road" in first.node.ctl("node", "status").stdout)
    assert routes_of(first.node, block) == was
    second.node.stop()
    ns.ip(second.node.ns, "route", "del", block)
    second.node.start()
    wait.until(lambda: f"the block is closed: {routes_of(second.node, block)}",
               lambda: routes_of(second.node, block) == [f"blackhole {block} proto 80"])
    third.node.start()
    settle(lab, "vxlan-always")
    reach_each_other(first, third)
    reach_each_other(second, third)


if not IPIP:
    def test_a_kernel_without_ipip(labs):
        """The pool, the module and the remedy are named; nothing of the pool goes another way; the rest works."""
        plain = pool("none", "open", "172.30.0.0/16")
        lab = labs(nodes=2, start=False, manifest=network("ipip-always") + "---\n" + plain)
        for node in lab.nodes:
            node.start(wait_ready=False)
        lab.start_tor()
        first, second = lab.nodes
        words = ("IPPool pods (172.31.0.0/16) asks for IPIP: the kernel cannot make tunl0: it has no module ipip")
        for node in lab.nodes:
            wait.until(f"{node.name} says what is missing", lambda n=node: words in n.health_text())
            assert node.health() == 503 and "modprobe ipip" in node.health_text()
            said = node.ctl("node", "status").stdout
            assert words in said and "tunl0 no module" in said, said
        use = lambda name: {"type": "margay-ipam", "ipv4_pools": [name]}
        hidden = [n.add_pod(f"hidden{n.index}", network=n.network(ipam=use("pods"))) for n in lab.nodes]
        opened = [n.add_pod(f"open{n.index}", network=n.network(ipam=use("open"))) for n in lab.nodes]
        wait.until("pods of the other pool reach each other", lambda: opened[0].ping(opened[1].ip, wait_s=1))
        far = [b for b in blocks(second) if b.startswith("172.31.")]
        assert len(far) == 1, (blocks(second), [p.ip for p in hidden + opened])
        wait.until("the block is closed", lambda: routes_of(first, far[0]) == [f"blackhole {far[0]} proto 80"])
        # Not even by a default route.
        ns.ip(first.ns, "route", "add", "default", "via", f"{SUBNET}.1")
        seen = capture(first, lambda: hidden[0].ping(hidden[1].ip, wait_s=1), 0, f"ip and host {hidden[1].ip}")
        assert seen == []
        # Another mode is the other remedy.
        lab.apply(pool("vxlan-always"))
        for node in lab.nodes:
            node.wait_ready()
        wait.until("pods of the pool reach each other", lambda: hidden[0].ping(hidden[1].ip, wait_s=1))


if IPIP:
    def test_ecmp_keeps_the_tunnel_on_both_paths(labs):
        """Two routers announce one prefix of an IPIP pool: each path is tunnelled, and each carries."""
        lab = labs(nodes=1, split=1, manifest=network("ipip-always"))
        [node] = lab.nodes
        pod = node.add_pod("pod1")
        anycast = "172.31.255.0/26"
        for i in (1, 2):
            host, address = f"r{i}", f"{SUBNET2}.{50 + i}"
            lab.join(host, address, "br1")
            where = lab.ns(host)
            ns.ip(where, "route", "add", f"{SUBNET}.0/24", "via", f"{SUBNET2}.1")
            ns.ip(where, "link", "set", "tunl0", "up")
            ns.ip(where, "addr", "add", "172.31.255.1/32", "dev", "tunl0")
            ns.run(where, "sysctl", "-qw", "net.ipv4.conf.tunl0.rp_filter=0", "net.ipv4.conf.all.rp_filter=0")
            ns.ip(where, "route", "add", "172.31.0.0/16", "via", node.address, "dev", "tunl0", "onlink")
            conf = lab.dir / f"{host}.conf"
            conf.write_text(f"router id {address};\nprotocol device {{ }}\nprotocol static {{ ipv4; route {anycast} blackhole; }}\n"
                            f"protocol bgp n {{ local {address} as 64512; neighbor {node.address} as 64512; multihop 4; "
                            f"ipv4 {{ import none; export all; next hop self; }}; }}\n")
            lab.spawn(host, where, "bird", "-f", "-c", conf, "-s", lab.dir / f"{host}.ctl")
            lab.apply(f"apiVersion: projectcalico.org/v3\nkind: BGPPeer\nmetadata:\n  name: {host}\nspec:\n"
                      f"  peerIP: {address}\n  asNumber: 64512\n")
        # They are no nodes: their tunnel packets are let in because they are named.
        lab.apply("apiVersion: projectcalico.org/v3\nkind: FelixConfiguration\nmetadata: {name: default}\n"
                  f"spec: {{externalNodesList: [{SUBNET2}.51, {SUBNET2}.52]}}\n")
        hops = [f"nexthop via {SUBNET2}.{50 + i} dev tunl0 weight 1 onlink" for i in (1, 2)]
        shown = lambda: [line.strip() for line in ns.ip(node.ns, "route", "show", anycast).splitlines()]
        wait.until(lambda: f"both paths through tunl0: {shown()}",
                   lambda: shown()[:1] == [f"{anycast} proto 80 metric 2147483547 mtu 1480"] and sorted(shown()[1:]) == hops)
        ns.run(node.ns, "sysctl", "-qw", "net.ipv4.fib_multipath_hash_policy=1")
        seen = lambda i: ns.ip_json(lab.ns(f"r{i}"), "-s", "link", "show", "dev", "tunl0")[0]["stats64"]["rx"]["packets"]
        before = [seen(1), seen(2)]
        script = ("import socket\nfor p in range(20000, 20064):\n"
                  " s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', p)); s.sendto(b'x', ('172.31.255.1', p))")
        ns.run(pod.ns, "/usr/bin/python3", "-c", script)
        wait.until(lambda: f"packets on both paths: {before} {[seen(1), seen(2)]}",
                   lambda: seen(1) - before[0] > 5 and seen(2) - before[1] > 5)
        wait.until("it answers", lambda: pod.ping("172.31.255.1"))
