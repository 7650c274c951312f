"""Host endpoints, packet by packet: what a node's own interfaces let in, out and through.

    near 192.168.61.1 --- eth1 [node1] eth2 --- 192.168.62.1 far
                               pod
"""

import re

import pytest

from deploy.lab import ns, wait
from deploy.lab.lab import LINK, SUBNET, SUBNET2

from conftest import POOL
from ground import Ground, Host, calico, ground_fixture, k8s, start
from probe import Server, mistakes

TCP = (22, 80, 81, 82, 179, 2379)
UDP = (53, 67, 68, 80)
POD_LABELS = {"margay": {"labels": {"app": "web"}}}


def make(lab, backend):
    lab.up(nodes=1, tor=True)
    node = lab.nodes[0]
    ns.add(lab.ns("far"))
    ns.ip(node.ns, "link", "add", "eth2", "type", "veth", "peer", "name", LINK, "netns", lab.ns("far"))
    for host, link, address in [(node.ns, "eth2", f"{SUBNET2}.11"), (lab.ns("far"), LINK, f"{SUBNET2}.1")]:
        ns.ip(host, "addr", "add", f"{address}/24", "dev", link)
        ns.ip(host, "link", "set", link, "up")
    ns.ip(lab.ns("far"), "route", "add", "default", "via", f"{SUBNET2}.11")
    for net in (f"{SUBNET2}.0/24", "172.31.0.0/16"):
        ns.ip(lab.ns("tor"), "route", "add", net, "via", node.address)
    lab.apply(POOL)
    start(lab, backend)
    g = Ground(lab, backend)
    g.near, g.far = Host(lab.ns("tor"), f"{SUBNET}.1"), Host(lab.ns("far"), f"{SUBNET2}.1")
    g.host = Host(node.ns, node.address)
    g.pod = node.add_pod("web", network=node.network(args=POD_LABELS))
    g.servers = [Server(x, TCP, UDP) for x in (g.near, g.far, g.host, g.pod)]
    wait.until("the outside reaches the pod", lambda: not mistakes(g.near, {f"tcp:{g.pod.ip}:80": True}))
    return g


ground = ground_fixture(make)


@pytest.fixture
def g(ground):
    ground.clean()
    return ground


def hep(name="gate", interface=LINK, labels=None, **spec):
    return calico("HostEndpoint", name, {"node": "node1"} | ({"interfaceName": interface} if interface else {}) | spec,
                  labels=labels or {"role": "gate"})


def gnp(name, spec, **more):
    return calico("GlobalNetworkPolicy", name, {"selector": "role == 'gate'"} | spec | more)


def tcp(action, *ports, **more):
    return {"action": action, "protocol": "TCP", "destination": {"ports": list(ports)}, **more}


def to(host, yes=(), no=()):
    """{target: reached} with words such as "tcp:80", "icmp"."""
    def target(word):
        proto, _, port = word.partition(":")
        return f"{proto}:{host.ip}" + (f":{port}" if port else "")
    return {target(w): True for w in yes} | {target(w): False for w in no}


def test_without_host_endpoints_the_host_is_open(g):
    everything = ["tcp:80", "udp:80", "icmp"]
    assert mistakes(g.near, to(g.host, everything) | to(g.far, everything) | to(g.pod, everything)) == {}
    assert mistakes(g.host, to(g.near, everything) | to(g.pod, everything)) == {}


def test_named_interface_without_policy_leaves_only_failsafes_and_removal_opens(g):
    g.apply(hep())
    safe_in, safe_out = ["tcp:22", "tcp:179", "tcp:2379", "udp:68"], ["tcp:2379", "udp:53", "udp:67"]
    assert mistakes(g.near, to(g.host, safe_in, ["tcp:80", "udp:80", "udp:53", "icmp"])) == {}
    assert mistakes(g.host, to(g.near, safe_out, ["tcp:80", "tcp:22", "udp:68", "icmp"])) == {}
    # Other interfaces, what is forwarded, and our own pods have nothing to do with it.
    assert mistakes(g.far, to(g.host, ["tcp:80", "icmp"]) | to(g.near, ["tcp:80", "icmp"]) | to(g.pod, ["tcp:80"])) == {}
    assert mistakes(g.near, to(g.far, ["tcp:80", "udp:80"]) | to(g.pod, ["tcp:80", "icmp"])) == {}
    assert mistakes(g.host, to(g.pod, ["tcp:80", "icmp"]) | to(g.far, ["tcp:80"])) == {}
    assert mistakes(g.pod, to(g.host, ["tcp:80", "icmp"]) | to(g.near, ["tcp:80"])) == {}
    g.delete("hostendpoint", "gate")
    assert mistakes(g.near, to(g.host, ["tcp:80", "udp:80", "icmp"])) == {}
    assert "cali-fh-eth1" not in ns.out(g.host.ns, f"{g.tool}-save")


def test_failsafes_hold_against_a_policy_that_denies_all(g):
    g.apply(hep(), gnp("shut", {"order": 1, "types": ["Ingress", "Egress"], "ingress": [{"action": "Deny"}],
                                "egress": [{"action": "Deny"}]}))
    assert mistakes(g.near, to(g.host, ["tcp:22", "tcp:179", "tcp:2379"], ["tcp:80", "icmp"])) == {}
    assert mistakes(g.host, to(g.near, ["tcp:2379", "udp:53"], ["tcp:80", "icmp"])) == {}


def test_policies_in_order_across_tiers(g):
    g.apply(calico("Tier", "early", {"order": 5}), hep(),
            gnp("a", {"tier": "early", "order": 2, "types": ["Ingress"], "ingress": [
                tcp("Deny", 81), {"action": "Pass", "protocol": "TCP"}]}),
            gnp("b", {"tier": "early", "order": 1, "types": ["Ingress"], "ingress": [
                {"action": "Allow", "protocol": "UDP", "source": {"nets": [f"{g.near.ip}/32"]}}]}),
            gnp("c", {"types": ["Ingress"], "ingress": [tcp("Allow", 81, 82)]}))
    # icmp ends at the end of "early", 80 at the end of "default".
    assert mistakes(g.near, to(g.host, ["udp:80", "tcp:82"], ["tcp:81", "tcp:80", "icmp"])) == {}
    g.apply(gnp("a", {"tier": "early", "order": 2, "types": ["Ingress"], "ingress": [
        {"action": "Pass", "protocol": "TCP"}, tcp("Deny", 81)]}))
    assert mistakes(g.near, to(g.host, ["tcp:81", "tcp:82"], ["tcp:80", "icmp"])) == {}


def test_every_interface(g):
    g.apply(hep(interface="*"))
    for client in (g.near, g.far):
        assert mistakes(client, to(g.host, ["tcp:22"], ["tcp:80", "icmp"])) == {}
        assert mistakes(g.host, to(client, ["tcp:2379"], ["tcp:80", "icmp"])) == {}
    assert mistakes(g.near, to(g.far, ["tcp:80", "icmp"]) | to(g.pod, ["tcp:80", "icmp"])) == {}
    # Normal policy of "*" is not for pods, on neither way.
    assert mistakes(g.host, to(g.pod, ["tcp:80", "icmp"])) == {}
    assert mistakes(g.pod, to(g.host, ["tcp:80", "icmp"]) | to(g.near, ["tcp:80"])) == {}
    # One of an interface's own stands before it.
    g.apply(hep("own", labels={"role": "own"}, profiles=["projectcalico-default-allow"]))
    assert mistakes(g.near, to(g.host, ["tcp:80", "icmp"])) == {}
    assert mistakes(g.far, to(g.host, ["tcp:22"], ["tcp:80", "icmp"])) == {}


def test_pre_dnat_of_every_interface_meets_pods_too(g):
    g.apply(hep(interface="*", profiles=["projectcalico-default-allow"]),
            gnp("gate", {"preDNAT": True, "applyOnForward": True, "types": ["Ingress"], "ingress": [tcp("Deny", 81)]}))
    assert mistakes(g.pod, to(g.host, ["tcp:80"], ["tcp:81"]) | to(g.near, ["tcp:80"], ["tcp:81"])) == {}
    assert mistakes(g.near, to(g.host, ["tcp:80"], ["tcp:81"]) | to(g.pod, ["tcp:80"], ["tcp:81"])) == {}
    assert mistakes(g.host, to(g.pod, ["tcp:81"])) == {}


def test_apply_on_forward(g):
    g.apply(hep(profiles=["projectcalico-default-allow"]),
            gnp("through", {"applyOnForward": True, "types": ["Ingress"], "ingress": [tcp("Allow", 80, 82), {
                "action": "Allow", "protocol": "UDP", "source": {"notNets": [f"{g.near.ip}/32"]}}]}))
    assert mistakes(g.near, to(g.far, ["tcp:80"], ["tcp:81", "udp:80", "icmp"]) |
                    to(g.pod, ["tcp:80"], ["tcp:81", "icmp"]) | to(g.host, ["tcp:80"], ["tcp:81", "icmp"])) == {}
    # The other direction has no policy: the rest of the host's rules decide, which is yes.
    assert mistakes(g.far, to(g.near, ["tcp:81", "icmp"])) == {}
    assert mistakes(g.pod, to(g.near, ["tcp:81", "icmp"])) == {}
    # A pod's own policy is asked as well.
    g.apply(k8s("web", "default", {"podSelector": {}, "ingress": [{"ports": [{"port": 81}, {"port": 82}]}]}))
    assert mistakes(g.near, to(g.pod, ["tcp:82"], ["tcp:80", "tcp:81"])) == {}
    g.apply(gnp("out", {"applyOnForward": True, "types": ["Egress"], "egress": [tcp("Deny", 81), {"action": "Allow"}]}))
    assert mistakes(g.far, to(g.near, ["tcp:80", "icmp"], ["tcp:81"])) == {}
    assert mistakes(g.pod, to(g.near, ["tcp:80", "icmp"], ["tcp:81"])) == {}


def test_apply_on_forward_of_every_interface_meets_pods_too(g):
    g.apply(hep(interface="*", profiles=["projectcalico-default-allow"]),
            gnp("through", {"applyOnForward": True, "types": ["Ingress", "Egress"], "ingress": [tcp("Deny", 81), {
                "action": "Allow"}], "egress": [tcp("Deny", 82), {"action": "Allow"}]}))
    for source, target in ((g.near, g.far), (g.near, g.pod), (g.pod, g.near)):
        assert mistakes(source, to(target, ["tcp:80", "icmp"], ["tcp:81", "tcp:82"])) == {}
    assert mistakes(g.host, to(g.pod, ["tcp:80", "tcp:81", "tcp:82"]) | to(g.near, ["tcp:81"], ["tcp:82"])) == {}


@pytest.fixture
def service(g):
    """8080 of the node is the pod's 80, and 8081 the node's own 81: the test's own rules, as kube-proxy's would be."""
    rules = [["PREROUTING", "-p", "tcp", "--dport", "8080", "-j", "DNAT", "--to-destination", f"{g.pod.ip}:80"],
             ["PREROUTING", "-p", "tcp", "--dport", "8081", "-j", "REDIRECT", "--to-ports", "81"],
             ["OUTPUT", "-p", "tcp", "-d", "10.96.0.1", "--dport", "80", "-j", "DNAT", "--to-destination", f"{g.near.ip}:81"],
             ["OUTPUT", "-p", "tcp", "-d", "10.96.0.2", "--dport", "80", "-j", "DNAT", "--to-destination", f"{g.pod.ip}:80"]]
    ns.ip(g.host.ns, "route", "replace", "10.96.0.0/24", "dev", LINK)
    for r in rules:
        ns.run(g.host.ns, g.tool, "-w", "-t", "nat", "-A", *r)
    yield g
    for r in rules:
        ns.run(g.host.ns, g.tool, "-w", "-t", "nat", "-D", *r)
    ns.ip(g.host.ns, "route", "del", "10.96.0.0/24")


def test_pre_dnat_sees_ports_before_translation(service):
    g = service
    g.apply(hep())
    assert mistakes(g.near, to(g.host, ["tcp:8080"], ["tcp:8081", "tcp:81"])) == {}
    pre = {"preDNAT": True, "applyOnForward": True, "types": ["Ingress"]}
    g.apply(gnp("pre", pre, ingress=[tcp("Allow", 8080, 8081), {"action": "Deny"}]))
    # What it allows needs no other policy of the host endpoint; 81 and the pod's 80 are not what it allowed.
    assert mistakes(g.near, to(g.host, ["tcp:8080", "tcp:8081", "tcp:22"], ["tcp:81", "tcp:80", "icmp"]) |
                    to(g.pod, [], ["tcp:80", "icmp"]) | to(g.far, [], ["tcp:80"])) == {}
    # Never a pod's own.
    g.apply(k8s("shut", "default", {"podSelector": {}, "policyTypes": ["Ingress"]}))
    assert mistakes(g.near, to(g.host, ["tcp:8081"], ["tcp:8080"])) == {}
    g.delete("networkpolicies.networking.k8s.io", "shut", "-n", "default")
    # Nothing matches: it falls through, to the normal policy of the host and to no policy of what is forwarded.
    g.apply(gnp("pre", pre, ingress=[tcp("Deny", 8080)]))
    assert mistakes(g.near, to(g.host, [], ["tcp:8080", "tcp:8081"]) | to(g.pod, ["tcp:80"]) | to(g.far, ["tcp:80"])) == {}


def test_a_hosts_own_connections_to_services_meet_its_egress_policy_translated(service):
    g = service
    words = {"tcp:10.96.0.1:80": False, "tcp:10.96.0.2:80": True}
    g.apply(hep(), gnp("out", {"types": ["Egress"], "egress": [tcp("Allow", 80)]}))
    assert mistakes(g.host, words | to(g.near, ["tcp:80"], ["tcp:81"])) == {}
    g.apply(gnp("out", {"types": ["Egress"], "egress": [tcp("Allow", 81)]}))
    assert mistakes(g.host, {"tcp:10.96.0.1:80": True, "tcp:10.96.0.2:80": True} | to(g.near, ["tcp:81"], ["tcp:80"])) == {}


def untracked(ports, **more):
    return {"doNotTrack": True, "applyOnForward": True, "types": ["Ingress", "Egress"],
            "ingress": [{"action": "Allow", "protocol": p, "destination": {"ports": ports}} for p in ("TCP", "UDP")], **more}


def test_do_not_track(g):
    back = [{"action": "Allow", "protocol": p, "source": {"ports": [80]}} for p in ("TCP", "UDP")]
    g.apply(hep(), gnp("raw", untracked([80], egress=back)))
    assert mistakes(g.near, to(g.host, ["tcp:80", "udp:80"], ["tcp:81", "icmp"])) == {}
    flows = ns.run(g.host.ns, "conntrack", "-L", check=False).stdout
    assert [x for x in flows.splitlines() if re.search(r"dport=80\b", x) and f"src={g.near.ip}" in x] == []
    # Without tracking the answers need a rule of their own.
    g.apply(gnp("raw", untracked([80], egress=[])))
    assert mistakes(g.near, to(g.host, ["tcp:22"], ["tcp:80", "udp:80"])) == {}
    # Deny in raw is before everything else, but for failsafes, whose answers pass as well.
    g.apply(gnp("raw", untracked([], ingress=[{"action": "Deny"}], egress=[{"action": "Deny"}])),
            gnp("open", {"types": ["Ingress", "Egress"], "ingress": [{"action": "Allow"}], "egress": [{"action": "Allow"}]}))
    assert mistakes(g.near, to(g.host, ["tcp:22", "tcp:179", "tcp:2379"], ["tcp:80", "icmp"]) |
                    to(g.far, [], ["tcp:80"]) | to(g.pod, [], ["icmp"])) == {}
    assert mistakes(g.host, to(g.near, ["tcp:2379", "udp:53"], ["tcp:80", "icmp"]) | to(g.pod, ["tcp:80"])) == {}


def test_do_not_track_is_nothing_to_every_interface_nor_to_pods(g):
    g.apply(hep(interface="*", profiles=["projectcalico-default-allow"]),
            calico("GlobalNetworkPolicy", "raw", untracked([81], selector="all()", ingress=[{"action": "Deny"}],
                                                           egress=[{"action": "Deny"}])))
    assert mistakes(g.near, to(g.host, ["tcp:80", "icmp"]) | to(g.pod, ["tcp:80", "icmp"])) == {}
    assert mistakes(g.pod, to(g.host, ["tcp:80"]) | to(g.near, ["tcp:80"])) == {}


def test_found_by_its_addresses_also_when_they_come_and_go(g):
    g.apply(hep(interface=None, expectedIPs=[f"{SUBNET}.11"]))
    assert mistakes(g.near, to(g.host, ["tcp:22"], ["tcp:80"])) == {}
    assert mistakes(g.far, to(g.host, ["tcp:80"])) == {}
    g.apply(hep("second", interface=None, expectedIPs=["10.9.9.9"]))
    far = to(Host(None, f"{SUBNET2}.11"), ["tcp:80"])
    assert mistakes(g.far, far) == {}
    ns.ip(g.host.ns, "addr", "add", "10.9.9.9/32", "dev", "eth2")
    try:
        wait.until("eth2 has its endpoint", lambda: not mistakes(g.far, dict.fromkeys(far, False)))
    finally:
        ns.ip(g.host.ns, "addr", "del", "10.9.9.9/32", "dev", "eth2")
    wait.until("eth2 has none any more", lambda: not mistakes(g.far, far))


def test_of_several_the_lowest_name_counts_and_another_interfaces_never(g):
    g.apply(hep("bb", labels={"role": "shut"}), hep("aa", labels={"role": "gate"}, profiles=["projectcalico-default-allow"]),
            hep("a0", interface="eth7", labels={"role": "shut"}, expectedIPs=[f"{SUBNET}.11"]),
            hep("a1", labels={"role": "shut"}, node="node9"))
    assert mistakes(g.near, to(g.host, ["tcp:80"])) == {}
    g.delete("hostendpoint", "aa")
    assert mistakes(g.near, to(g.host, ["tcp:22"], ["tcp:80"])) == {}


def test_its_addresses_stand_for_it_in_rules(g):
    g.apply(hep("friend", interface="eth0", node="node9", labels={"role": "friend"}, expectedIPs=[g.near.ip],
                ports=[{"name": "alt", "protocol": "TCP", "port": 81}]),
            calico("NetworkPolicy", "web", {"selector": "app == 'web'", "types": ["Ingress", "Egress"],
                                            "ingress": [{"action": "Allow", "source": {
                                                "selector": "role == 'friend'", "namespaceSelector": "global()"}}],
                                            "egress": [{"action": "Allow", "protocol": "TCP", "destination": {
                                                "selector": "role == 'friend'", "namespaceSelector": "global()",
                                                "ports": ["alt"]}}]}, "default"))
    assert mistakes(g.near, to(g.pod, ["tcp:80", "icmp"])) == {}
    assert mistakes(g.far, to(g.pod, [], ["tcp:80", "icmp"])) == {}
    assert mistakes(g.pod, to(g.near, ["tcp:81"], ["tcp:80", "icmp"]) | to(g.far, [], ["tcp:81"])) == {}


def test_automatic_host_endpoint(g):
    auto = hep("node1-auto-hep", "*", labels={"kubernetes.io/hostname": "node1", "role": "gate"},
               expectedIPs=[f"{SUBNET}.11", f"{SUBNET2}.11"], profiles=["projectcalico-default-allow"])
    g.apply(auto)
    everything = ["tcp:80", "udp:80", "icmp"]
    assert mistakes(g.near, to(g.host, everything) | to(g.far, everything) | to(g.pod, everything)) == {}
    assert mistakes(g.host, to(g.near, everything) | to(g.pod, everything)) == {}
    g.apply(gnp("some", {"selector": "kubernetes.io/hostname == 'node1'", "types": ["Ingress"], "ingress": [
        tcp("Allow", 80), tcp("Allow", 81, source={"selector": "has(kubernetes.io/hostname)"})]}))
    assert mistakes(g.near, to(g.host, ["tcp:80", "tcp:22"], ["tcp:81", "udp:80", "icmp"]) | to(g.far, everything)) == {}
    assert mistakes(g.host, to(g.near, everything)) == {}


def test_a_profile_of_its_own(g):
    g.apply(calico("Profile", "some", {"ingress": [tcp("Allow", 80)], "egress": [{"action": "Deny", "protocol": "TCP"},
                                                                              {"action": "Allow"}]}),
            hep(profiles=["some"]))
    assert mistakes(g.near, to(g.host, ["tcp:80"], ["tcp:81", "icmp"])) == {}
    assert mistakes(g.host, to(g.near, ["icmp", "udp:80"], ["tcp:80"])) == {}
    g.apply(calico("Profile", "some", {"ingress": [tcp("Allow", 81)], "egress": []}))
    assert mistakes(g.near, to(g.host, ["tcp:81"], ["tcp:80", "icmp"])) == {}
    g.apply(hep(profiles=["nobody"]))
    assert mistakes(g.near, to(g.host, ["tcp:22"], ["tcp:80", "tcp:81"])) == {}


def test_the_host_reaches_its_pods_whatever_policies_say(g):
    shut = {"types": ["Ingress", "Egress"], "ingress": [{"action": "Deny"}], "egress": [{"action": "Deny"}]}
    g.apply(hep(interface="*"), hep("second"), gnp("shut", shut, selector="all()"),
            k8s("shut", "default", {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}))
    assert mistakes(g.host, to(g.pod, ["tcp:80", "udp:80", "icmp"])) == {}
    assert mistakes(g.pod, to(g.host, [], ["tcp:80", "icmp"])) == {}
    assert mistakes(g.near, to(g.pod, [], ["tcp:80", "icmp"])) == {}


def test_from_a_pod_to_its_own_host(ground):
    """Its egress policy first; then what is configured."""
    g = ground
    g.clean()
    own = ["INPUT", "-p", "tcp", "--dport", "81", "-j", "DROP"]
    ns.run(g.host.ns, g.tool, "-w", "-A", *own)
    try:
        for action, yes in {"DROP": [], "ACCEPT": ["tcp:80", "tcp:81", "icmp"], "RETURN": ["tcp:80", "icmp"]}.items():
            g.node.stop()
            g.node.start("--policy", "--iptables-backend", g.backend, "--default-endpoint-to-host-action", action)
            g.settle()
            no = [x for x in ("tcp:80", "tcp:81", "icmp") if x not in yes]
            assert mistakes(g.pod, to(g.host, yes, no)) == {}, action
            assert mistakes(g.host, to(g.pod, ["tcp:80", "icmp"])) == {}, action
        g.apply(k8s("out", "default", {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"ports": [{"port": 22}]}]}))
        assert mistakes(g.pod, to(g.host, ["tcp:22"], ["tcp:80", "icmp"])) == {}
    finally:
        ns.run(g.host.ns, g.tool, "-w", "-D", *own)
