"""What margayctl says of policy, against what packets do: `policy explain` out of the datastore, `policy show` with the
kernel's counters."""

import itertools
import json

import pytest

from deploy.lab import ns, wait

from ground import Ground, bring_up, calico, ground_fixture, k8s, reach_each_other, space
from probe import Server, mistakes

PODS = [("x", "a", {"app": "client"}), ("x", "b", {"app": "server"}), ("y", "c", {"app": "server"})]
PORTS = [80, 81]
OPTIONS = ["--policy", "--iptables-backend"]


class World(Ground):
    """x/a and y/c on node1, x/b on node2, each answering on TCP and UDP ports 80 and 81."""

    def __init__(self, lab, backend):
        super().__init__(lab, backend)
        lab.apply("---\n".join(space(x, ns=x) for x in ("x", "y")))
        self.pods = {}
        for i, (where, name, labels) in enumerate(PODS):
            node = lab.nodes[i % 2]
            self.pods[f"{where}/{name}"] = node.add_pod(name, where, node.network(args={"margay": {"labels": labels}}))
        self.servers = [Server(p) for p in self.pods.values()]
        reach_each_other(self.pods["x/a"], self.pods["x/b"])

    def explain(self, source, target, *more, where=None):
        """Out of the datastore, and of the agent of the node where it is asked."""
        said = self.lab.ctl("-o", "json", "policy", "explain", "--from", source, "--to", target, *more, node=where)
        return json.loads(said.stdout)

    def show(self, pod):
        return json.loads(self.pods[pod].node.ctl("-o", "json", "policy", "show", pod).stdout)


def make(lab, backend):
    bring_up(lab, backend, 2)
    return World(lab, backend)


world = ground_fixture(make)


@pytest.fixture
def w(world):
    world.clean()
    return world


def last_step(stage):
    return stage["steps"][-1]


def probe_all(w, wanted):
    """What packets do: {(source, target, proto, port): passed}. Who is wanted to pass may be late on a busy machine."""
    seen = {}
    for source, pod in w.pods.items():
        targets = {}
        for target, to in w.pods.items():
            if target == source:
                continue
            targets[f"icmp:{to.ip}"] = (source, target, "icmp", None)
            for port in PORTS:
                for proto in ("tcp", "udp"):
                    targets[f"{proto}:{to.ip}:{port}"] = (source, target, proto, port)
        wrong = mistakes(pod, {text: wanted[key] for text, key in targets.items()}, 0.7)
        seen |= {key: wanted[key] != (text in wrong) for text, key in targets.items()}
    return seen


def explain_all(w):
    said = {}
    for source, target in itertools.permutations(w.pods, 2):
        for proto, port in [("icmp", None), *itertools.product(("tcp", "udp"), PORTS)]:
            more = ["--proto", proto] + (["--port", str(port)] if port else [])
            said[source, target, proto, port] = w.explain(source, target, *more)["verdict"] == "Allow"
    return said


SETS = {
    "nothing": [],
    "kubernetes, ports and peers": [
        k8s("web", "x", {"podSelector": {"matchLabels": {"app": "server"}}, "ingress": [
            {"from": [{"podSelector": {"matchLabels": {"app": "client"}}}], "ports": [{"port": 80}]},
            {"from": [{"namespaceSelector": {"matchLabels": {"ns": "y"}}}], "ports": [{"port": 81, "protocol": "UDP"}]}]}),
        k8s("quiet", "y", {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"ports": [{"port": 81, "protocol": "UDP"}]}]})],
    "tiers, log, pass and a staged one": [
        calico("Tier", "sec", {"order": 10, "defaultAction": "Pass"}),
        calico("GlobalNetworkPolicy", "sec.first", {"tier": "sec", "selector": "app == 'server'", "types": ["Ingress"], "ingress": [
            {"action": "Log"}, {"action": "Pass", "protocol": "UDP"},
            {"action": "Deny", "protocol": "TCP", "destination": {"notPorts": [80]}}]}),
        calico("GlobalNetworkPolicy", "second", {"selector": "app == 'server'", "types": ["Ingress"], "ingress": [
            {"action": "Allow", "notProtocol": "ICMP", "source": {"notSelector": "app == 'server'"}}]}),
        calico("StagedGlobalNetworkPolicy", "never", {"order": 1, "selector": "all()", "types": ["Ingress"], "ingress": [
            {"action": "Deny"}]})],
    "network sets with an exception": [
        calico("GlobalNetworkSet", "pods", {"nets": ["0.0.0.0/0"]}, labels={"all": "1"}),
        calico("GlobalNetworkPolicy", "sets", {"selector": "app == 'client'", "types": ["Egress"], "egress": [
            {"action": "Deny", "protocol": "UDP", "destination": {"selector": "all == '1'", "ports": [81]}},
            {"action": "Allow", "destination": {"selector": "all == '1'"}}]})],
}


@pytest.mark.parametrize("name", SETS)
def test_explain_says_what_packets_do(w, name):
    if SETS[name]:
        w.apply(*SETS[name])
    said = explain_all(w)
    did = probe_all(w, said)
    assert {k: (did[k], said[k]) for k in did if did[k] != said[k]} == {}
    assert any(did.values())
    if name != "nothing":
        assert not all(did.values())


def test_explain_names_tier_policy_and_rule_of_both_ends(w):
    w.apply(*SETS["tiers, log, pass and a staged one"])
    said = w.explain("x/a", "x/b", "--proto", "tcp", "--port", "81")
    assert said["verdict"] == "Deny"
    egress, ingress = said["stages"]
    assert (egress["direction"], egress["node"], last_step(egress)["name"]) == ("Egress", "node1", "kns.x")
    assert said["deniedBy"] == 1 and ingress["direction"] == "Ingress" and ingress["node"] == "node2"
    log, deny = ingress["steps"]
    assert (log["tier"], log["name"], log["rule"], log["action"]) == ("sec", "sec.first", 0, "Log")
    assert (deny["tier"], deny["name"], deny["rule"], deny["action"]) == ("sec", "sec.first", 2, "Deny")
    assert deny["text"] == "Deny TCP to not ports 80" and deny["definition"]["destination"] == {"notPorts": [80]}
    # No rule matches: the end of the tier says it, and staged policies are nowhere.
    said = w.explain("x/b", "y/c", "--proto", "icmp")
    steps = said["stages"][1]["steps"]
    assert [s["what"] for s in steps][-3:] == ["endOfTier", "noRuleMatched", "endOfTier"]
    assert [s["action"] for s in steps if s["what"] == "endOfTier"] == ["Pass", "Deny"]
    assert "never" not in json.dumps(said)


def test_explain_for_the_eye(w):
    w.apply(*SETS["kubernetes, ports and peers"])
    text = w.lab.ctl("policy", "explain", "--from", "x/a", "--to", "x/b", "--port", "81").stdout
    assert text.startswith("tcp from x/a (") and "DENIED by ingress of x/b" in text
    assert "KubernetesNetworkPolicy x/web" in text and "(end of tier)" in text


@pytest.mark.parametrize("args, words", [
    (["--from", "x/aa", "--to", "x/b", "--port", "1"], "x/aa: no such pod; did you mean x/a?"),
    (["--from", "a", "--to", "x/b", "--port", "1"], "did you mean the pod x/a?"),
    (["--from", "x/a", "--to", "node9", "--port", "1"], "did you mean node"),
    (["--from", "x/a", "--to", "x/b", "--proto", "tcp"], "--port is missing"),
    (["--from", "x/a", "--to", "x/b", "--port", "http"], "no port of this name"),
    (["--from", "x/a", "--to", "x/b", "--port", "0"], "from 1 to 65535"),
    (["--from", "x/a", "--to", "x/b", "--proto", "icmp", "--port", "1"], "no ports"),
    (["--from", "x/a", "--to", "x/b", "--proto", "tpc", "--port", "1"], "must be tcp, udp"),
    (["--from", "8.8.8.8", "--to", "9.9.9.9", "--port", "1"], "nobody asks"),
    (["--from", "x/a", "--to", "2001:db8::1", "--port", "1"], "no IPv6 address"),
    (["--to", "x/a", "--port", "1"], "--from is missing"),
])
def test_explain_has_words_for_what_is_wrong(world, args, words):
    p = world.lab.ctl("policy", "explain", *args, check=False)
    assert p.returncode == 1 and p.stdout == "" and words in p.stderr


def test_nodes_and_the_world_outside(w):
    w.apply(k8s("deny", "y", {"podSelector": {}, "policyTypes": ["Ingress"]}))
    own, other = w.pods["y/c"].node, w.pods["x/b"].node
    assert own is not other
    for node, verdict in ((own, "Allow"), (other, "Deny")):
        said = w.explain(node.name, "y/c", "--proto", "icmp")
        passed = ns.run(node.ns, "ping", "-n", "-q", "-c", "1", "-W", "3", w.pods["y/c"].ip, check=False).returncode == 0
        assert (said["verdict"], passed) == (verdict, verdict == "Allow")
    assert w.explain("203.0.113.9", "y/c", "--port", "80")["verdict"] == "Deny"
    assert w.explain("203.0.113.9", "x/a", "--port", "80")["verdict"] == "Allow"
    said = w.explain("x/a", own.name, "--port", "22")
    assert said["verdict"] == "HostRules" and said["stages"][-1]["point"] == "podToOwnHost"


def to_own_host(w, where=None):
    """What is said of a ping from x/a to its node, what it does, and whether something is unknown to who says it."""
    pod = w.pods["x/a"]
    said = w.explain("x/a", pod.node.name, "--proto", "icmp", where=where)
    return said["verdict"], pod.ping(said["to"]["address"]), any("not known here" in x for x in said["notes"])


def test_settings_of_a_node_count(w):
    """FelixConfiguration for those with a label, and what one agent was told itself, which only it can say."""
    node = w.pods["x/a"].node
    assert to_own_host(w) == ("HostRules", True, True)
    assert to_own_host(w, node) == ("HostRules", True, False)
    w.lab.ctl("label", "node", node.name, "rack=7")
    w.lab.apply(calico("FelixConfiguration", "racks", {"nodeSelector": "rack == '7'", "defaultEndpointToHostAction": "Drop"}))
    try:
        wait.until("the host is shut", lambda: to_own_host(w) == ("Deny", False, True))
        assert to_own_host(w, node) == ("Deny", False, False)
        w.lab.ctl("label", "node", node.name, "rack-")
        wait.until("the host is open", lambda: to_own_host(w) == ("HostRules", True, True))
        assert node.stop() == 0
        node.start(*OPTIONS, w.backend, env={"FELIX_DEFAULTENDPOINTTOHOSTACTION": "DROP"})
        w.settle()
        assert to_own_host(w, node) == ("Deny", False, False)
        assert to_own_host(w) == ("HostRules", False, True)
    finally:
        w.lab.ctl("delete", "felixconfiguration", "racks")
        node.stop()
        node.start(*OPTIONS, w.backend)
        w.settle()


def hosts_open(w):
    """Every interface of both nodes has a host endpoint, which lets all through that nobody speaks about."""
    for node in w.lab.nodes:
        w.lab.apply(calico("HostEndpoint", f"{node.name}-all", {
            "node": node.name, "interfaceName": "*", "profiles": ["projectcalico-default-allow"]}, labels={"host": "yes"}))
    w.settle()


def test_host_endpoints_are_on_the_way(w):
    hosts_open(w)
    try:
        w.apply(calico("GlobalNetworkPolicy", "fwd", {"selector": "host == 'yes'", "applyOnForward": True,
                                                      "types": ["Ingress", "Egress"], "egress": [{"action": "Allow"}], "ingress": [
                    {"action": "Deny", "protocol": "UDP", "destination": {"ports": [81]}}, {"action": "Allow"}]}))
        said = explain_all(w)
        did = probe_all(w, said)
        assert {k: (did[k], said[k]) for k in did if did[k] != said[k]} == {}
        assert not did["x/a", "x/b", "udp", 81] and did["x/a", "x/b", "udp", 80]
        first = w.explain("x/a", "x/b", "--proto", "udp", "--port", "81")["stages"][0]
        assert (first["endpoint"], first["applies"], first["verdict"]) == ("node1-all", "applyOnForward", "Deny")
    finally:
        for node in w.lab.nodes:
            w.lab.ctl("delete", "hostendpoint", f"{node.name}-all")
        w.settle()


SEND = """
import socket, sys
address, port, n = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for i in range(n):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.sendto(b"four", (address, port))
    s.close()
"""


def send(w, source, target, port, n):
    """n datagrams of 32 bytes, each a flow of its own."""
    ns.out(w.pods[source].ns, "/usr/bin/python3", "-B", "-c", SEND, w.pods[target].ip, port, n)


def counts(policy_show, tier, policy, direction):
    [t] = [t for t in policy_show["tiers"] if t["tier"] == tier]
    [p] = [p for p in t["policies"] if p["name"] == policy]
    return [(r.get("packets"), r.get("bytes")) for r in p[direction]]


def test_counters_rise_by_what_was_sent(w):
    w.apply(calico("NetworkPolicy", "udp", {"selector": "app == 'server'", "types": ["Ingress"], "ingress": [
        {"action": "Deny", "protocol": "UDP", "destination": {"ports": [80]}},
        {"action": "Log", "protocol": "UDP"},
        {"action": "Allow", "protocol": "UDP", "source": {"selector": "app == 'client'"},
         "destination": {"ports": [81, "90:95", "named"]}},
        {"action": "Allow", "ipVersion": 6}]}, "x"))
    before = w.show("x/b")
    assert before.get("countersWhy") is None
    assert counts(before, "default", "udp", "ingress")[:3] == [(0, 0)] * 3
    send(w, "x/a", "x/b", 80, 3)
    send(w, "x/a", "x/b", 81, 5)
    send(w, "x/a", "x/b", 99, 2)
    wanted = [(3, 96), (7, 224), (5, 160)]
    wait.until(lambda: f"counters {counts(w.show('x/b'), 'default', 'udp', 'ingress')} are {wanted}",
               lambda: counts(w.show("x/b"), "default", "udp", "ingress")[:3] == wanted, seconds=60)
    shown = w.show("x/b")
    [tier] = shown["tiers"]
    assert (tier["ingressEnd"]["packets"], tier["ingressEnd"]["bytes"]) == (2, 64)
    assert tier["policies"][0]["ingress"][0]["definition"]["action"] == "Deny"
    # Egress of x/b: its profile allows whatever it sends; nothing of it is in a tier.
    [kns] = [p for p in shown["profileRules"] if p["name"] == "kns.x"]
    assert "packets" in kns["egress"][0]
    text = w.pods["x/b"].node.ctl("policy", "show", "x/b").stdout
    [line] = [words for words in text.splitlines() if "ingress[2]" in words]
    assert line.split()[:6] == ["default", "NetworkPolicy", "x/udp", "ingress[2]", "5", "160"]
    assert "(end of tier)" in text and "Profile kns.x" in text
    assert shown["sharedEnds"]


def test_counting_does_not_stop_the_loop(w):
    """Many ask at once; the agent answers health while their tools run."""
    import threading
    node = w.pods["x/a"].node
    failed = []

    def ask_often():
        for _ in range(5):
            p = node.ctl("-o", "json", "policy", "show", "x/a", check=False)
            if p.returncode or json.loads(p.stdout).get("countersWhy"):
                failed.append(p.stderr + p.stdout)
    threads = [threading.Thread(target=ask_often) for _ in range(4)]
    for t in threads:
        t.start()
    while any(t.is_alive() for t in threads):
        assert node.health("liveness") == 200
    for t in threads:
        t.join()
    assert failed == []
