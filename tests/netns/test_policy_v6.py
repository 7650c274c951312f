"""Policy for IPv6, packet by packet: dual-stack pods a, b in x and c in y, a client outside, both families at once."""

import pytest

from deploy.lab import ns, wait
from deploy.lab.lab import LINK, SUBNET

from conftest import POOL
from ground import POOL6, Ground, Host, calico, dual_stack_pod, ground_fixture, k8s, space, start
from probe import Server, mistakes

NODE6, NEAR6 = "fd61::11", "fd61::1"
EVERYTHING = ("tcp:80", "udp:80", "icmp")


def make(lab, backend):
    lab.up(nodes=1, tor=True)
    node = lab.nodes[0]
    for host, address in ((node.ns, NODE6), (lab.ns("tor"), NEAR6)):
        ns.ip(host, "-6", "addr", "add", f"{address}/64", "dev", LINK, "nodad")
    ns.ip(lab.ns("tor"), "route", "add", "172.31.0.0/16", "via", node.address)
    ns.ip(lab.ns("tor"), "-6", "route", "add", "fd00:172::/64", "via", NODE6)
    lab.apply(POOL + POOL6 + "---\n" + space("x", ns="x") + "---\n" + space("y", ns="y"))
    start(lab, backend, "--ip6", NODE6)
    g = Ground(lab, backend)
    g.host, g.near = Host(node.ns, node.address, NODE6), Host(lab.ns("tor"), f"{SUBNET}.1", NEAR6)
    for where, name in (("x", "a"), ("x", "b"), ("y", "c")):
        setattr(g, name, dual_stack_pod(node, name, where, pod=name))
    g.servers = [Server(x) for x in (g.host, g.near, g.a, g.b, g.c)]
    wait.until("the outside reaches a pod", lambda: not mistakes(g.near, six(g.a, EVERYTHING) | six(g.c, EVERYTHING)))
    return g


ground = ground_fixture(make)


@pytest.fixture
def g(ground):
    ground.clean()
    return ground


def target(word, address):
    proto, _, port = word.partition(":")
    return f"{proto}:{address}" + (f":{port}" if port else "")


def six(host, yes=(), no=()):
    """{target: reached} of a host's IPv6 address."""
    return {target(w, f"[{host.ip6}]"): True for w in yes} | {target(w, f"[{host.ip6}]"): False for w in no}


def four(host, yes=(), no=()):
    return {target(w, host.ip): True for w in yes} | {target(w, host.ip): False for w in no}


def both(host, yes=(), no=()):
    return four(host, yes, no) | six(host, yes, no)


def forget_neighbours(g, *pods):
    """Nobody remembers where anybody is: the next packet asks."""
    for name in (g.host.ns, *(p.ns for p in pods)):
        ns.ip(name, "-6", "neigh", "flush", "all")
    for p in pods:
        ns.ip(g.host.ns, "-6", "neigh", "flush", "dev", p.host_interface)


def test_open_without_policy(g):
    for source in (g.a, g.b, g.c, g.near, g.host):
        for other in (g.a, g.c, g.near, g.host):
            if other is not source:
                assert mistakes(source, both(other, EVERYTHING)) == {}


def test_deny_all_denies_both_families_and_cuts_no_neighbour_discovery(g):
    g.apply(k8s("shut", "x", {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}))
    assert mistakes(g.c, both(g.a, [], EVERYTHING) | both(g.near, EVERYTHING)) == {}
    assert mistakes(g.a, both(g.b, [], EVERYTHING) | both(g.near, [], EVERYTHING) | both(g.host, [], EVERYTHING)) == {}
    assert mistakes(g.near, both(g.b, [], EVERYTHING) | both(g.c, EVERYTHING)) == {}
    forget_neighbours(g, g.a)
    assert mistakes(g.host, both(g.a, EVERYTHING)) == {}
    # The pod finds its router, although nothing it sends there comes any further.
    forget_neighbours(g, g.a)
    mistakes(g.a, six(g.near, ["tcp:80"]), 0.2)
    states = ns.ip_json(g.a.ns, "-6", "neigh", "show", "dev", "eth0")
    assert [s for s in states if s.get("lladdr") and "FAILED" not in s["state"]], states
    g.apply(k8s("out", "x", {"podSelector": {}, "policyTypes": ["Egress"], "egress": [
        {"ports": [{"port": 80}], "to": [{"ipBlock": {"cidr": "fd61::/64"}}]}]}))
    forget_neighbours(g, g.a)
    assert mistakes(g.a, six(g.near, ["tcp:80"], ["udp:80", "icmp"]) | four(g.near, [], ["tcp:80"]) |
                    six(g.host, ["tcp:80"], ["tcp:81"])) == {}


def test_kubernetes_peers_and_ports(g):
    g.apply(k8s("web", "x", {"podSelector": {"matchLabels": {"pod": "a"}}, "ingress": [
        {"from": [{"namespaceSelector": {"matchLabels": {"ns": "y"}}}], "ports": [{"port": 80}, {"port": 81, "protocol": "UDP"}]}]}))
    assert mistakes(g.c, both(g.a, ["tcp:80", "udp:81"], ["tcp:81", "udp:80", "icmp"])) == {}
    assert mistakes(g.b, both(g.a, [], EVERYTHING)) == {}
    assert mistakes(g.near, both(g.a, [], EVERYTHING) | both(g.b, EVERYTHING)) == {}


def test_ip_blocks_with_exceptions(g):
    six_block = {"ipBlock": {"cidr": "fd00:172::/64", "except": [f"{g.c.ip6}/128"]}}
    four_block = {"ipBlock": {"cidr": "172.31.0.0/16", "except": [f"{g.b.ip}/32"]}}
    g.apply(k8s("blocks", "x", {"podSelector": {"matchLabels": {"pod": "a"}}, "ingress": [{"from": [six_block, four_block]}]}))
    assert mistakes(g.c, four(g.a, EVERYTHING) | six(g.a, [], EVERYTHING)) == {}
    assert mistakes(g.b, four(g.a, [], EVERYTHING) | six(g.a, EVERYTHING)) == {}
    # What one peer leaves out, another may allow. Nothing outside is in either block.
    assert mistakes(g.near, both(g.a, [], EVERYTHING)) == {}
    everybody = {"ipBlock": {"cidr": "::/0", "except": [f"{g.near.ip6}/128"]}}
    g.apply(k8s("blocks", "x", {"podSelector": {"matchLabels": {"pod": "a"}}, "ingress": [{"from": [everybody]}]}))
    assert mistakes(g.c, four(g.a, [], EVERYTHING) | six(g.a, EVERYTHING)) == {}
    assert mistakes(g.near, both(g.a, [], EVERYTHING)) == {}


def test_network_sets_of_both_families(g):
    g.apply(calico("GlobalNetworkSet", "friends", {"nets": [f"{g.c.ip6}/128", f"{g.near.ip}/32"]}, labels={"role": "friend"}),
            calico("GlobalNetworkPolicy", "gate", {"selector": "pod == 'a'", "types": ["Ingress"], "ingress": [
                {"action": "Allow", "source": {"selector": "role == 'friend'"}}]}))
    assert mistakes(g.c, six(g.a, EVERYTHING) | four(g.a, [], EVERYTHING)) == {}
    assert mistakes(g.near, four(g.a, EVERYTHING) | six(g.a, [], EVERYTHING)) == {}
    # All addresses there are, which a set of the kernel holds as two halves; then less again.
    g.apply(calico("GlobalNetworkSet", "friends", {"nets": ["::/0", "fd61::1/128"]}, labels={"role": "friend"}))
    assert mistakes(g.near, six(g.a, EVERYTHING) | four(g.a, [], EVERYTHING)) == {}
    assert mistakes(g.c, six(g.a, EVERYTHING) | four(g.a, [], EVERYTHING)) == {}
    g.apply(calico("GlobalNetworkSet", "friends", {"nets": ["fd61::1/128"]}, labels={"role": "friend"}))
    assert mistakes(g.near, six(g.a, EVERYTHING)) == {}
    assert mistakes(g.c, both(g.a, [], EVERYTHING)) == {}


def test_a_network_set_of_a_namespace_and_its_negation(g):
    g.apply(calico("NetworkSet", "friends", {"nets": [f"{g.near.ip6}/128", f"{g.c.ip6}/128"]}, "x", {"role": "friend"}),
            calico("NetworkPolicy", "gate", {"selector": "pod == 'a'", "types": ["Ingress"], "ingress": [
                {"action": "Deny", "protocol": "TCP", "source": {"notSelector": "role == 'friend'", "namespaceSelector": "all()"}},
                {"action": "Allow", "source": {"selector": "role == 'friend'"}}]}, "x"))
    assert mistakes(g.near, six(g.a, EVERYTHING) | four(g.a, [], EVERYTHING)) == {}
    # The address of c is a friend's, and a pod's that is none.
    assert mistakes(g.c, six(g.a, ["udp:80", "icmp"], ["tcp:80"]) | four(g.a, [], EVERYTHING)) == {}
    assert mistakes(g.b, both(g.a, [], EVERYTHING)) == {}


def ingress(*rules):
    return calico("NetworkPolicy", "gate", {"selector": "pod == 'a'", "types": ["Ingress"], "ingress": list(rules)}, "x")


def test_networks_negated(g):
    g.apply(ingress({"action": "Allow", "source": {"notNets": [f"{g.c.ip6}/128", "fd99::/16"]}}))
    # Networks of one family say nothing of the other: the rule is none there.
    assert mistakes(g.b, six(g.a, EVERYTHING) | four(g.a, [], EVERYTHING)) == {}
    assert mistakes(g.c, both(g.a, [], EVERYTHING)) == {}
    assert mistakes(g.near, six(g.a, EVERYTHING)) == {}
    g.apply(ingress({"action": "Allow", "source": {"nets": ["fd00:172::/64", "fd61::/16"], "notNets": [f"{g.c.ip6}/128"]},
                     "destination": {"notNets": ["fd99::/16", "fd98::/16"], "nets": [f"{g.a.ip6}/128", "fd97::/16"]}}))
    assert mistakes(g.b, six(g.a, EVERYTHING) | four(g.a, [], EVERYTHING)) == {}
    assert mistakes(g.c, both(g.a, [], EVERYTHING)) == {}
    assert mistakes(g.near, six(g.a, EVERYTHING)) == {}


def test_rules_of_one_version(g):
    g.apply(ingress({"action": "Allow", "ipVersion": 6, "protocol": "TCP"}, {"action": "Allow", "ipVersion": 4, "protocol": "UDP"}))
    assert mistakes(g.c, six(g.a, ["tcp:80"], ["udp:80", "icmp"]) | four(g.a, ["udp:80"], ["tcp:80", "icmp"])) == {}
    g.apply(ingress({"action": "Allow", "protocol": "ICMPv6"}))
    assert mistakes(g.c, six(g.a, ["icmp"], ["tcp:80"]) | four(g.a, [], EVERYTHING)) == {}
    g.apply(ingress({"action": "Allow", "protocol": "ICMP"}))
    assert mistakes(g.c, four(g.a, ["icmp"], ["tcp:80"]) | six(g.a, [], EVERYTHING)) == {}
    g.apply(ingress({"action": "Allow", "protocol": 58}))
    assert mistakes(g.c, six(g.a, ["icmp"], ["tcp:80"]) | four(g.a, [], EVERYTHING)) == {}


def test_a_pod_cannot_send_from_anothers_address(g):
    chain = ["-w", "-t", "raw", "-nvxL", "cali-PREROUTING"]

    def dropped():
        rules = [x.split() for x in ns.out(g.host.ns, g.tool6, *chain).splitlines() if "rpfilter" in x]
        return sum(int(r[0]) for r in rules)
    before = dropped()
    ns.ip(g.a.ns, "-6", "addr", "add", f"{g.b.ip6}/128", "dev", "lo", "nodad")
    try:
        said = ns.run(g.a.ns, "ping", "-n", "-c", "2", "-i", "0.1", "-W", "1", "-I", g.b.ip6, g.near.ip6, check=False)
    finally:
        ns.ip(g.a.ns, "-6", "addr", "del", f"{g.b.ip6}/128", "dev", "lo")
    assert said.returncode and dropped() - before == 2, said.stdout


def test_a_host_endpoint_that_denies_all_leaves_failsafes_over_ipv6(g):
    """What finds the neighbour is needed by them, too."""
    g.apply(calico("HostEndpoint", "gate", {"node": "node1", "interfaceName": LINK}, labels={"role": "gate"}),
            calico("GlobalNetworkPolicy", "shut", {"selector": "role == 'gate'", "types": ["Ingress", "Egress"]}))
    server = [Server(g.host, (22, 2379), ()), Server(g.near, (2379,), (53,))]
    try:
        for _ in range(2):
            forget_neighbours(g)
            ns.ip(g.near.ns, "-6", "neigh", "flush", "all")
            assert mistakes(g.near, both(g.host, ["tcp:22", "tcp:2379"], EVERYTHING) | both(g.c, EVERYTHING)) == {}
            forget_neighbours(g)
            ns.ip(g.near.ns, "-6", "neigh", "flush", "all")
            assert mistakes(g.host, both(g.near, ["tcp:2379", "udp:53"], EVERYTHING) | both(g.c, EVERYTHING)) == {}
    finally:
        for s in server:
            s.stop()
