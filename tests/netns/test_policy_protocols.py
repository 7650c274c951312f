"""Protocols, ports and tiers, packet by packet: what a rule says of them, and nothing else, comes to s."""

import socket

import pytest

from deploy.lab import ns, wait

from conftest import POOL
from ground import POOL6, Ground, calico, dual_stack_pod, ground_fixture, k8s, space, start
from probe import Server, UDPLITE, mistakes, reaches

TCP = (*range(80, 104), 200, 201)
MANY = [80, *range(1000, 1014), 95, 100]  # more than the fifteen that one match takes


def make(lab, backend):
    lab.up(nodes=1, tor=False)
    node = lab.nodes[0]
    lab.apply(POOL + POOL6 + "---\n" + space("x", ns="x"))
    start(lab, backend)  # the node itself has no IPv6, and forwards it for its pods all the same
    g = Ground(lab, backend)
    for name in ("a", "b", "s"):
        setattr(g, name, dual_stack_pod(node, name, "x", pod=name))
    g.servers = [Server(g.s, TCP, (80, 81), sctp=(80, 81), udplite=(80, 81), ip=(99, 100))]
    wait.until("pods reach each other", lambda: reaches(g.a, f"tcp:{g.s.ip}:80") and reaches(g.b, f"tcp:[{g.s.ip6}]:80"))
    return g


ground = ground_fixture(make, ["nft"])  # what differs between the two is in the other files


@pytest.fixture
def g(ground):
    ground.clean()
    return ground


def words(address, yes, no):
    """{target: reached}: "tcp:80" of the address, "icmp/8/5", "udp:80@5000"."""
    def target(word):
        proto, _, port = word.partition(":")
        return f"{proto}:{address}" + (f":{port}" if port else "")
    return {target(w): True for w in yes.split()} | {target(w): False for w in no.split()}


def four(g, yes, no=""):
    return words(g.s.ip, yes, no)


def six(g, yes, no=""):
    return words(f"[{g.s.ip6}]", yes, no)


def policy(*rules, name="gate", kind="NetworkPolicy", **more):
    namespace = "x" if kind.endswith("dNetworkPolicy") or kind == "NetworkPolicy" else None
    if "Global" in kind:
        namespace = None
    return calico(kind, name, {"selector": "pod == 's'", "types": ["Ingress"], "ingress": list(rules)} | more, namespace)


def allow(**rule):
    return {"action": "Allow", **rule}


def to_ports(*ports, protocol="TCP", **more):
    return allow(protocol=protocol, destination={"ports": list(ports)}, **more)


def test_icmp_by_type_and_code(g):
    g.apply(policy(allow(protocol="ICMP", icmp={"type": 8})))
    assert mistakes(g.a, four(g, "icmp icmp/8/5", "icmp/13 tcp:80") | six(g, "", "icmp")) == {}
    g.apply(policy(allow(protocol="ICMP", icmp={"type": 8, "code": 5})))
    assert mistakes(g.a, four(g, "icmp/8/5", "icmp icmp/8/4 icmp/13")) == {}
    g.apply(policy(allow(protocol="ICMP", notICMP={"type": 8})))
    assert mistakes(g.a, four(g, "icmp/13", "icmp icmp/8/5 tcp:80")) == {}
    # Not the pair: another type, or another code.
    g.apply(policy(allow(protocol="ICMP", notICMP={"type": 8, "code": 5})))
    assert mistakes(g.a, four(g, "icmp icmp/8/4 icmp/13", "icmp/8/5 tcp:80")) == {}
    g.apply(policy({"action": "Deny", "protocol": 1, "icmp": {"type": 8, "code": 0}}, allow()))
    assert mistakes(g.a, four(g, "icmp/8/5 icmp/13 tcp:80", "icmp") | six(g, "icmp")) == {}


def test_icmp_of_ipv6_by_type_and_code(g):
    g.apply(policy(allow(protocol="ICMPv6", icmp={"type": 128})))
    assert mistakes(g.a, six(g, "icmp icmp/128/5", "tcp:80") | four(g, "", "icmp")) == {}
    g.apply(policy(allow(protocol="ICMPv6", icmp={"type": 128, "code": 5})))
    assert mistakes(g.a, six(g, "icmp/128/5", "icmp icmp/128/4")) == {}
    g.apply(policy(allow(protocol=58, notICMP={"type": 128, "code": 5})))
    assert mistakes(g.a, six(g, "icmp icmp/128/4", "icmp/128/5 tcp:80")) == {}
    g.apply(policy(allow(protocol="ICMPv6", notICMP={"type": 128})))
    assert mistakes(g.a, six(g, "", "icmp icmp/128/5 tcp:80")) == {}


@pytest.mark.parametrize("protocol", ["UDPLite", 136])
def test_udp_lite(g, protocol):
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM, UDPLITE).close()
    except OSError as e:
        pytest.skip(f"the kernel has no UDP-Lite: {e}")
    # Linux 6.18 holds the checksum of forwarded UDP-Lite for wrong, and the packet for invalid.
    ns.run(g.node.ns, "sysctl", "-qw", "net.netfilter.nf_conntrack_checksum=0")
    g.apply(policy(allow(protocol=protocol)))
    assert mistakes(g.a, four(g, "udplite:80", "udp:80 tcp:80 icmp") | six(g, "udplite:80", "udp:80")) == {}
    g.apply(policy(allow(notProtocol=protocol)))
    assert mistakes(g.a, four(g, "udp:80 tcp:80 icmp", "udplite:80") | six(g, "udp:80", "udplite:80")) == {}


def test_sctp(g):
    """The probe writes its packets itself; the kernel's filter and its tracking are the real ones."""
    assert mistakes(g.a, four(g, "sctp:80 sctp:81") | six(g, "sctp:80")) == {}
    g.apply(k8s("web", "x", {"podSelector": {"matchLabels": {"pod": "s"}}, "ingress": [{"ports": [{"port": 80, "protocol": "SCTP"}]}]}))
    assert mistakes(g.a, four(g, "sctp:80", "sctp:81 tcp:80 udp:80 icmp") | six(g, "sctp:80", "sctp:81 tcp:80")) == {}
    g.apply(k8s("web", "x", {"podSelector": {"matchLabels": {"pod": "s"}}, "ingress": [{"ports": [{"protocol": "SCTP"}]}]}))
    assert mistakes(g.a, four(g, "sctp:80 sctp:81", "tcp:80 udp:80")) == {}
    g.clean()
    g.apply(policy(allow(protocol="SCTP", destination={"notPorts": [81]}, source={"ports": ["5000:5001"]})))
    assert mistakes(g.a, four(g, "sctp:80@5000", "sctp:81@5000 sctp:80@5002 tcp:80")) == {}


def test_protocols_by_name_number_and_negated(g):
    g.apply(policy(allow(protocol=99), allow(protocol="17")))
    assert mistakes(g.a, four(g, "ip/99 udp:80", "ip/100 tcp:80 icmp") | six(g, "ip/99 udp:80", "ip/100 tcp:80")) == {}
    g.forget_flows()  # what has no ports is one flow
    g.apply(policy(allow(notProtocol=99)))
    assert mistakes(g.a, four(g, "ip/100 tcp:80 icmp", "ip/99") | six(g, "ip/100 icmp", "ip/99")) == {}
    g.forget_flows()
    g.apply(policy(allow(notProtocol="TCP")))
    assert mistakes(g.a, four(g, "udp:80 icmp ip/99 sctp:80", "tcp:80")) == {}
    g.apply(policy(to_ports(80, protocol=6), to_ports(81, protocol=132)))
    assert mistakes(g.a, four(g, "tcp:80 sctp:81", "tcp:81 sctp:80 udp:80")) == {}
    g.forget_flows()
    g.apply(policy({"action": "Deny", "notProtocol": 6}, allow()))
    assert mistakes(g.a, four(g, "tcp:80", "udp:80 icmp ip/99")) == {}


def test_ranges_of_ports_and_their_negation(g):
    g.apply(policy(to_ports("80:82", 90)))
    assert mistakes(g.a, four(g, "tcp:80 tcp:81 tcp:82 tcp:90", "tcp:83 tcp:89 tcp:91 udp:80")) == {}
    g.apply(policy(allow(protocol="TCP", destination={"ports": ["80:90"], "notPorts": [81, "83:85"]})))
    assert mistakes(g.a, four(g, "tcp:80 tcp:82 tcp:86 tcp:90", "tcp:81 tcp:83 tcp:85 tcp:91")) == {}
    g.apply(policy(allow(protocol="TCP", source={"ports": ["5000:5003"], "notPorts": [5001]})))
    assert mistakes(g.a, four(g, "tcp:80@5000 tcp:81@5003", "tcp:80@5001 tcp:81@5001 tcp:80@5004")) == {}


def test_more_ports_than_one_match_takes(g):
    """Lists of many matches are still ANDed with each other and with the rest of the rule."""
    g.apply(policy(to_ports(*MANY)))
    assert mistakes(g.a, four(g, "tcp:80 tcp:95 tcp:100", "tcp:81 tcp:96 udp:80")) == {}
    ranges = [f"{p}:{p + 1}" for p in range(2000, 2060, 3)]
    g.apply(policy(to_ports(*ranges, "98:99", *MANY)))
    assert mistakes(g.a, four(g, "tcp:98 tcp:99 tcp:80 tcp:100", "tcp:81 tcp:97 tcp:101")) == {}
    g.apply(policy(allow(protocol="TCP", source={"ports": [*range(3000, 3020), 5000]}, destination={"ports": MANY})))
    assert mistakes(g.a, four(g, "tcp:95@5000 tcp:80@3019", "tcp:96@5000 tcp:95@5001 tcp:100@5002")) == {}
    g.apply(policy(allow(protocol="TCP", destination={"notPorts": MANY}, source={"notPorts": [*range(3000, 3020), 5000]})))
    assert mistakes(g.a, four(g, "tcp:81@5001 tcp:96@5002", "tcp:80@5003 tcp:95@5004 tcp:81@5000 tcp:96@3019")) == {}
    # An earlier rule's blocks leave nothing behind for a later one's.
    g.apply(policy(to_ports(*MANY), allow(protocol="TCP", source={"ports": [*range(3000, 3020), 5000]},
                                          destination={"ports": [90, *range(4000, 4020)]})))
    assert mistakes(g.a, four(g, "tcp:95@6000 tcp:90@5000", "tcp:90@5001 tcp:91@5000 tcp:96@3001")) == {}


def test_end_port(g):
    ports = [{"port": 81, "endPort": 84}, {"port": 80, "endPort": 80, "protocol": "UDP"}, {"port": 100}]
    g.apply(k8s("web", "x", {"podSelector": {"matchLabels": {"pod": "s"}}, "ingress": [{"ports": ports}]}))
    assert mistakes(g.a, four(g, "tcp:81 tcp:84 tcp:100 udp:80", "tcp:80 tcp:85 tcp:99 tcp:101 udp:81") |
                    six(g, "tcp:81 tcp:84", "tcp:80 tcp:85")) == {}
    # A port without any number is every port of TCP.
    g.apply(k8s("web", "x", {"podSelector": {"matchLabels": {"pod": "s"}}, "ingress": [{"ports": [{}]}]}))
    assert mistakes(g.a, four(g, "tcp:80 tcp:101", "udp:80 icmp")) == {}


@pytest.fixture
def named(g):
    g.set_ports(g.s, ("web", "TCP", 80), ("web", "UDP", 81), ("alt", "TCP", 90))
    g.set_ports(g.a, ("from", "TCP", 5000), ("web", "TCP", 5005))
    yield g
    g.set_ports(g.s)
    g.set_ports(g.a)


def test_named_ports_of_both_sides(named):
    g = named
    g.apply(policy(to_ports("web")))
    assert mistakes(g.a, four(g, "tcp:80", "tcp:81 tcp:90 udp:81") | six(g, "tcp:80", "tcp:81")) == {}
    # Without a protocol, as declared: TCP 80, UDP 81.
    g.apply(policy(allow(destination={"ports": ["web"]})))
    assert mistakes(g.a, four(g, "tcp:80 udp:81", "tcp:81 udp:80 icmp")) == {}
    g.apply(policy(to_ports("web", "alt", 100, "85:86")))
    assert mistakes(g.a, four(g, "tcp:80 tcp:90 tcp:100 tcp:85 tcp:86", "tcp:81 tcp:87")) == {}
    g.apply(policy(allow(protocol="TCP", source={"ports": ["from", 5001]}, destination={"ports": ["web", 90]})))
    assert mistakes(g.a, four(g, "tcp:80@5000 tcp:90@5001", "tcp:90@5002 tcp:81@5000")) == {}
    assert mistakes(g.b, four(g, "tcp:90@5001", "tcp:80@5000")) == {}
    g.apply(policy(allow(protocol="TCP", destination={"notPorts": ["web", 91]}, source={"notPorts": ["from"]})))
    assert mistakes(g.a, four(g, "tcp:81 tcp:90", "tcp:80 tcp:91 tcp:81@5000")) == {}
    g.apply(policy(to_ports("nobody")))
    assert mistakes(g.a, four(g, "", "tcp:80 tcp:81 udp:80")) == {}


FELIX = """-p tcp -m multiport --dports 80 -j MARK --set-mark {0}/{0}
-p tcp -m multiport --dports 90 -j MARK --set-mark {0}/{0}
-s {a} -j MARK --set-mark {1}/{1}
-s 198.51.100.1 -j MARK --set-mark {1}/{1}
-m mark --mark 0/{1} -j MARK --set-mark 0/{0}
-d 198.51.100.2 -j MARK --set-mark {1}/{1}
-d 198.51.100.3 -j MARK --set-mark {1}/{1}
-m mark --mark 0/{1} -j MARK --set-mark 0/{0}
-p tcp -m mark --mark {0}/{0} -j ACCEPT
-p tcp --dport 80 -j DROP"""


def test_rule_of_three_blocks(named):
    """Ports by number and name, two networks on each side. As Felix writes it, where one bit is not cleared between
    the blocks, the rule accepts what goes to another destination; ours does not."""
    g = named
    lines = FELIX.format("0x80000", "0x100000", a=g.a.ip).replace("0x80000", "0x1").replace("0x100000", "0x2").splitlines()
    for line in lines:
        ns.run(g.s.ns, g.tool, "-w", "-A", "INPUT", *line.split())
    try:
        assert mistakes(g.a, four(g, "tcp:80")) == {}
        assert mistakes(g.b, four(g, "", "tcp:80")) == {}
    finally:
        ns.run(g.s.ns, g.tool, "-w", "-F", "INPUT")

    def three(*targets):
        return policy(allow(protocol="TCP", source={"nets": [f"{g.a.ip}/32", "198.51.100.1/32"]},
                            destination={"ports": ["alt", 80], "nets": list(targets)}))
    g.apply(three("198.51.100.2/32", "198.51.100.3/32"))
    assert mistakes(g.a, four(g, "", "tcp:80 tcp:90 tcp:81")) == {}
    g.apply(three("198.51.100.2/32", f"{g.s.ip}/32"))
    assert mistakes(g.a, four(g, "tcp:80 tcp:90", "tcp:81")) == {}
    assert mistakes(g.b, four(g, "", "tcp:80 tcp:90")) == {}


def tier(name, order, action=None):
    return calico("Tier", name, {"order": order} | ({"defaultAction": action} if action else {}))


def test_tiers_pass_and_deny(g):
    g.apply(tier("first", 1), tier("second", 2, "Pass"),
            policy({"action": "Pass", "protocol": "TCP"}, allow(protocol="UDP"), name="a", tier="first"),
            policy({"action": "Deny", "protocol": "TCP", "destination": {"ports": [81]}}, name="b", tier="second"),
            policy(to_ports(80, 81), name="c"))
    # icmp ends in "first"; 81 is denied in "second", whose end passes; 82 ends in "default".
    assert mistakes(g.a, four(g, "tcp:80 udp:80", "tcp:81 tcp:82 icmp")) == {}
    g.apply(tier("second", 0.5, "Deny"))
    assert mistakes(g.a, four(g, "", "tcp:80 tcp:81 tcp:82 udp:80 icmp")) == {}
    # A tier that has no policy for this pod, or none of this direction, is none.
    g.apply(policy({"action": "Deny"}, name="b", tier="second", selector="pod == 'b'"))
    assert mistakes(g.a, four(g, "tcp:80 tcp:81 udp:80", "tcp:82 icmp")) == {}
    g.apply(calico("NetworkPolicy", "b", {"tier": "second", "selector": "pod == 's'", "types": ["Egress"], "egress": []}, "x"))
    assert mistakes(g.a, four(g, "tcp:80 tcp:81 udp:80", "tcp:82 icmp")) == {}
    assert not reaches(g.s, f"icmp:{g.a.ip}")


def test_a_pass_at_the_last_tier_leads_to_the_profiles(g):
    g.apply(policy({"action": "Pass", "protocol": "TCP"}))
    assert mistakes(g.a, four(g, "tcp:80", "udp:80 icmp")) == {}


def test_tiers_of_kubernetes_cluster_policy(g):
    g.apply(policy({"action": "Deny", "protocol": "TCP", "destination": {"ports": [81]}}, name="admin",
                   kind="GlobalNetworkPolicy", tier="kube-admin"),
            policy({"action": "Deny", "protocol": "UDP"}, name="base", kind="GlobalNetworkPolicy", tier="kube-baseline"))
    # Neither isolates: what they leave unmatched is open.
    assert mistakes(g.a, four(g, "tcp:80 icmp", "tcp:81 udp:80")) == {}
    g.apply(k8s("web", "x", {"podSelector": {}, "ingress": [{"ports": [{"port": 80, "protocol": "UDP"}, {"port": 81}]}]}))
    # Whoever is isolated in "default" never comes to "kube-baseline".
    assert mistakes(g.a, four(g, "udp:80", "tcp:80 tcp:81 icmp")) == {}


def test_staged_policies_do_nothing(g):
    def chains():
        return [x for x in ns.out(g.node.ns, f"{g.tool}-save").splitlines() if not x.startswith(("#", ":"))]
    before = chains()
    g.apply(policy({"action": "Deny"}, name="a", kind="StagedNetworkPolicy"),
            policy({"action": "Deny"}, name="b", kind="StagedGlobalNetworkPolicy"))
    assert mistakes(g.a, four(g, "tcp:80 udp:80 icmp")) == {}
    assert chains() == before
    g.apply(policy(allow(protocol="TCP"), name="c"))
    assert mistakes(g.a, four(g, "tcp:80", "udp:80 icmp")) == {}


def test_log_writes_and_goes_on(g):
    g.apply(policy({"action": "Log", "protocol": "TCP"}, to_ports(80), {"action": "Log"}, {"action": "Deny"}))
    assert mistakes(g.a, four(g, "tcp:80", "tcp:81 icmp")) == {}
    chain = [x for x in ns.out(g.node.ns, f"{g.tool}-save", "-c", "-t", "filter").splitlines() if "-j LOG" in x]
    assert len(chain) == 2 and all('--log-prefix "calico-packet: "' in x and "--log-level 5" in x for x in chain), chain
    counts = [int(x[1:].split(":")[0]) for x in chain]
    assert counts[0] >= 2 and counts[1] >= 2, chain


def test_what_allow_and_deny_are(ground):
    """Deny may answer, allow may leave it to the host's own rules, which then come first."""
    g = ground
    g.clean()
    g.apply(policy(to_ports(80, 81)))
    own = ["FORWARD", "-p", "tcp", "--dport", "81", "-j", "DROP"]
    ns.run(g.node.ns, g.tool, "-w", "-A", *own)
    try:
        # Our jump is first, and what it accepts comes no further.
        assert mistakes(g.a, four(g, "tcp:80 tcp:81", "tcp:82 udp:80")) == {}
        g.node.stop()
        g.node.start("--policy", "--iptables-backend", g.backend, "--chain-insert-mode", "append",
                     "--iptables-filter-allow-action", "RETURN", "--iptables-mangle-allow-action", "RETURN",
                     "--iptables-filter-deny-action", "REJECT")
        g.settle()
        said = mistakes(g.a, four(g, "tcp:80 tcp:81 tcp:82 udp:80"))
        target = f"tcp:{g.s.ip}:%d"
        assert said == {target % 81: "no", target % 82: "refused", f"udp:{g.s.ip}:80": "refused"}
        hooks = [x for x in ns.out(g.node.ns, g.tool, "-S", "FORWARD").splitlines() if x.startswith("-A")]
        assert "--dport 81" in hooks[0] and "cali-FORWARD" in hooks[1], hooks
    finally:
        ns.run(g.node.ns, g.tool, "-w", "-D", *own)
