"""Network policy, packet by packet: namespaces x, y, z with pods a, b, c on two nodes."""

import json
import re
import signal
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest

from deploy.lab import ns, wait
from deploy.lab.traffic import Flow
from ground import Ground, bring_up, calico, ground_fixture, k8s, reach_each_other, space
from monitor import NftMonitor
from probe import Knocker, Server, mistakes, reaches

NAMESPACES = ["x", "y", "z"]
PODS = ["a", "b", "c"]


class World(Ground):
    """The nine pods, each answering on TCP and UDP ports 80 and 81."""

    def __init__(self, lab, backend):
        super().__init__(lab, backend)
        lab.apply("---\n".join(space(x, ns=x) for x in NAMESPACES))
        self.pods = {}
        for i, (where, name) in enumerate((s, p) for s in NAMESPACES for p in PODS):
            node = lab.nodes[i % 2]
            network = node.network(args={"margay": {"labels": {"pod": name}}})
            self.pods[f"{where}/{name}"] = node.add_pod(name, where, network)
        self.servers = [Server(pod) for pod in self.pods.values()]
        reach_each_other(self.pods["x/a"], self.pods["x/b"])

    def ip(self, name):
        return self.pods[name].ip

    def matrix(self, allowed, protos=("tcp", "udp", "icmp"), port=80):
        """Probe every pair; the pairs where the packets do other than allowed(source, target, proto)."""
        def one(source):
            targets = {f"{p}:{self.ip(t)}" + ("" if p == "icmp" else f":{port}"): (t, p)
                       for t in self.pods if t != source for p in protos}
            wrong = mistakes(self.pods[source], {text: allowed(source, *where) for text, where in targets.items()}, 0.7)
            return [(source, *targets[text], answer) for text, answer in wrong.items()]
        with ThreadPoolExecutor(len(self.pods)) as threads:
            return sorted(x for wrong in threads.map(one, self.pods) for x in wrong)


def make(lab, backend):
    bring_up(lab, backend, 2)
    return World(lab, backend)


world = ground_fixture(make)


@pytest.fixture
def w(world):
    world.clean()
    return world


def space_of(name):
    return name.split("/")[0]


def test_open_without_policy(w):
    assert w.matrix(lambda s, t, p: True) == []


def test_default_deny_of_one_namespace(w):
    w.apply(k8s("deny", "x", {"podSelector": {}, "policyTypes": ["Ingress"]}))
    assert w.matrix(lambda s, t, p: space_of(t) != "x") == []


def test_default_deny_of_egress(w):
    w.apply(k8s("deny", "x", {"podSelector": {}, "policyTypes": ["Egress"]}))
    assert w.matrix(lambda s, t, p: space_of(s) != "x") == []


def test_allow_by_pod_and_namespace_labels(w):
    peer = {"namespaceSelector": {"matchLabels": {"ns": "y"}}, "podSelector": {"matchExpressions": [
        {"key": "pod", "operator": "In", "values": ["b", "c"]}]}}
    w.apply(k8s("web", "x", {"podSelector": {"matchLabels": {"pod": "a"}}, "ingress": [{"from": [peer]}]}))
    assert w.matrix(lambda s, t, p: t != "x/a" or s in ("y/b", "y/c")) == []


def test_ports_of_a_kubernetes_policy(w):
    w.apply(k8s("web", "x", {"podSelector": {}, "ingress": [{"ports": [{"port": 81, "protocol": "TCP"},
                                                                       {"port": 70, "endPort": 80, "protocol": "UDP"}]}]}))
    assert w.matrix(lambda s, t, p: space_of(t) != "x" or p == "udp") == []
    assert w.matrix(lambda s, t, p: space_of(t) != "x" or p == "tcp", protos=("tcp", "udp"), port=81) == []


def test_ip_block_with_exception(w):
    block = {"cidr": "172.31.0.0/16", "except": [f"{w.ip('y/a')}/32", f"{w.ip('z/b')}/32"]}
    w.apply(k8s("cidr", "x", {"podSelector": {}, "ingress": [{"from": [{"ipBlock": block}]}]}))
    assert w.matrix(lambda s, t, p: space_of(t) != "x" or s not in ("y/a", "z/b")) == []


def test_named_port(w):
    for name in ("x/a", "x/b"):
        w.set_ports(w.pods[name], ("web", "TCP", 81 if name == "x/a" else 80))
    w.apply(k8s("named", "x", {"podSelector": {}, "ingress": [{"ports": [{"port": "web", "protocol": "TCP"}]}]}))
    want = {"x/a": False, "x/b": True, "x/c": False}
    assert w.matrix(lambda s, t, p: want.get(t, True), protos=("tcp",)) == []
    assert w.matrix(lambda s, t, p: {"x/a": True, "x/b": False, "x/c": False}.get(t, True), protos=("tcp",), port=81) == []


def test_order_and_deny(w):
    w.apply(calico("NetworkPolicy", "low", {"order": 10, "selector": "pod == 'a'", "types": ["Ingress"], "ingress": [
                {"action": "Deny", "source": {"selector": "pod == 'b'"}}]}, "x"),
            calico("NetworkPolicy", "high", {"order": 20, "selector": "all()", "types": ["Ingress"], "ingress": [
                {"action": "Allow", "protocol": "TCP"}, {"action": "Allow", "protocol": "ICMP"}]}, "x"))

    def allowed(s, t, p):
        if space_of(t) != "x":
            return True
        return p != "udp" and (t, s) != ("x/a", "x/b")
    assert w.matrix(allowed) == []
    w.apply(calico("NetworkPolicy", "low", {"order": 30, "selector": "pod == 'a'", "types": ["Ingress"], "ingress": [
        {"action": "Deny", "source": {"selector": "pod == 'b'"}}]}, "x"))
    assert w.matrix(lambda s, t, p: space_of(t) != "x" or p != "udp") == []


def test_pass_and_tiers(w):
    w.apply(calico("Tier", "first", {"order": 100}),
            calico("GlobalNetworkPolicy", "gate", {"tier": "first", "order": 1, "namespaceSelector": "ns == 'x'",
                                                   "selector": "all()", "types": ["Ingress"], "ingress": [
                {"action": "Pass", "protocol": "TCP"}, {"action": "Allow", "protocol": "UDP"}]}))
    # TCP goes on to the profile, which allows; UDP is allowed; ICMP meets the tier's end.
    assert w.matrix(lambda s, t, p: space_of(t) != "x" or p != "icmp") == []
    w.apply(k8s("deny", "x", {"podSelector": {"matchLabels": {"pod": "a"}}, "policyTypes": ["Ingress"]}))
    assert w.matrix(lambda s, t, p: space_of(t) != "x" or p == "udp" or (p == "tcp" and t != "x/a")) == []


def test_rule_with_three_criteria_of_addresses(w):
    """Two lists of networks and a selector in one rule: all of them must hold (dataplane: three mark blocks)."""
    nets = [f"{w.ip(n)}/32" for n in ("y/a", "y/b", "z/a")]
    targets = [f"{w.ip(n)}/32" for n in ("x/a", "x/b")]
    rule = {"action": "Allow", "source": {"nets": nets, "notNets": [f"{w.ip('y/b')}/32", "203.0.113.0/24"],
                                          "selector": "pod in {'a', 'b'}", "namespaceSelector": "ns == 'y'"},
            "destination": {"nets": targets}}
    w.apply(calico("NetworkPolicy", "three", {"selector": "all()", "types": ["Ingress"], "ingress": [rule]}, "x"))
    assert w.matrix(lambda s, t, p: space_of(t) != "x" or (s == "y/a" and t in ("x/a", "x/b"))) == []


def test_labels_change_and_sets_follow(w):
    w.apply(k8s("web", "x", {"podSelector": {}, "ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"ns": "y"}}}]}]}))
    assert w.matrix(lambda s, t, p: space_of(t) != "x" or space_of(s) == "y", protos=("icmp",)) == []
    w.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: z, labels: {ns: y}}\n")
    assert w.matrix(lambda s, t, p: space_of(t) != "x" or space_of(s) in "yz", protos=("icmp",)) == []
    w.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: z, labels: {ns: z}}\n")
    assert w.matrix(lambda s, t, p: space_of(t) != "x" or space_of(s) == "y", protos=("icmp",)) == []


def test_network_set(w):
    w.apply(calico("GlobalNetworkSet", "friends", {"nets": [f"{w.ip('y/a')}/32", f"{w.ip('z/c')}/32"]}, labels={"role": "friend"}),
            calico("GlobalNetworkPolicy", "gate", {"namespaceSelector": "ns == 'x'", "types": ["Ingress"], "ingress": [
                {"action": "Allow", "source": {"selector": "role == 'friend'"}}]}))
    assert w.matrix(lambda s, t, p: space_of(t) != "x" or s in ("y/a", "z/c")) == []


def rules(node, backend):
    """Rules and sets of the node with their counters, without the lines that only say when."""
    text = ns.out(node.ns, f"iptables-{backend}-save", "-c")
    return [x for x in text.splitlines() if not x.startswith(("#", ":"))]


def test_restart_writes_nothing(w):
    w.apply(k8s("web", "x", {"podSelector": {}, "ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"ns": "y"}}}]}]}))
    node = w.lab.nodes[0]
    before = [re.sub(r"^\[.*?\] ", "", x) for x in rules(node, w.backend)]
    with NftMonitor(node.ns) as monitor:
        assert node.stop(signal.SIGTERM) == 0
        node.start("--iptables-backend", w.backend)
        w.settle()
        status = node.ctl_json("node", "status")["policy"]["ipv4"]
        said = monitor.stop()
    assert (status["restores"], status["chainsWritten"], status["chainsRemoved"]) == (0, 0, 0)
    assert status["setCalls"] <= 1  # the look at what there is
    assert [x for x in said if "cali" in x] == []
    assert [re.sub(r"^\[.*?\] ", "", x) for x in rules(node, w.backend)] == before
    assert w.matrix(lambda s, t, p: space_of(t) != "x" or space_of(s) == "y", protos=("icmp",)) == []


def test_update_under_traffic_opens_and_shuts_nothing(w):
    """While policies come and go, what all of them allow flows, and what all of them deny does not."""
    allow = {"from": [{"podSelector": {"matchLabels": {"pod": "b"}}}]}
    base = k8s("base", "x", {"podSelector": {}, "ingress": [allow]})
    w.apply(base)
    good = Flow(w.pods["x/b"], w.pods["x/a"])
    try:
        with Knocker(w.pods["y/c"], [f"tcp:{w.ip('x/a')}:80", f"udp:{w.ip('x/a')}:80", f"icmp:{w.ip('x/a')}"]) as knocker:
            for i in range(12):
                other = {"from": [{"namespaceSelector": {"matchLabels": {"ns": "z"}}}, {"ipBlock": {"cidr": f"198.51.100.{i}/32"}}]}
                w.apply(k8s("base", "x", {"podSelector": {}, "ingress": [allow, other] if i % 2 else [other, allow]}),
                        k8s(f"more{i}", "x", {"podSelector": {}, "ingress": [other]}))
            opened = knocker.stop()
    finally:
        done = good.stop()
    assert opened == []
    assert (done["lost"], done["errors"]) == ([], []) and done["sent"] > 20


def test_a_new_pod_is_never_open(w):
    """Its first packet meets its policy: knocking begins before the pod is there."""
    w.apply(k8s("deny", "x", {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}))
    node = w.lab.nodes[0]
    for i in range(5):
        pod = node.add_pod(f"new{i}", "x")
        server = Server(pod)
        try:
            assert not reaches(w.pods["y/a"], f"tcp:{pod.ip}:80", 0.3)
            assert not reaches(pod, f"tcp:{w.ip('y/a')}:80", 0.3)
        finally:
            server.stop()
            pod.delete()


def test_tampering_is_repaired(w):
    w.apply(k8s("deny", "x", {"podSelector": {}, "policyTypes": ["Ingress"]}))
    tool = f"iptables-{w.backend}"
    node = w.pods["x/a"].node
    chain = [x.split()[0][1:] for x in ns.out(node.ns, f"{tool}-save", "-t", "filter").splitlines()
             if x.startswith(":cali-tw-")][0]
    def listed(chain):
        return ns.out(node.ns, tool, "-w", "-S", chain)
    # How soon is asked in test_policy_takeover.py.
    for here in (chain, "FORWARD"):
        before = listed(here)
        ns.run(node.ns, tool, "-w", "-F", here)
        wait.until(f"what was flushed from {here} is back", lambda: listed(here) == before)


def test_a_policy_that_is_wrong_denies_and_is_named(w):
    """It came past margayctl: rules that cannot be read, a selector that can."""
    w.apply(calico("NetworkPolicy", "bad", {"selector": "pod == 'a'", "types": ["Ingress"], "ingress": [
        {"action": "Allow"}]}, "x"))
    assert w.matrix(lambda s, t, p: True, protos=("icmp",)) == []
    spoil(w.lab, "networkpolicies/x/", '"Allow"', '"Alow"')
    w.settle()
    assert w.matrix(lambda s, t, p: t != "x/a", protos=("icmp",)) == []
    for node in w.lab.nodes:
        status = node.ctl_json("node", "status")
        assert status["policyObjectsWrong"] == 1
        assert "NetworkPolicy x/" in status["policyTroubles"][0] and "action" in status["policyTroubles"][0]


def spoil(lab, part, old, new):
    """Change a stored object behind everybody's back."""
    db = sqlite3.connect(lab.datastore.split(":", 1)[1], timeout=10, isolation_level=None)
    db.execute("begin immediate")
    [[key, value]] = db.execute("select log.key, value from log join kv using (rev) where log.key like ?", [f"%/{part}%"])
    [[rev, total]] = db.execute("select max(rev), (select total from log order by rev desc limit 1) from log")
    assert old in value
    db.execute("insert into log values (?, ?, ?, ?)", [rev + 1, total + 1, key, value.replace(old, new)])
    db.execute("update kv set rev = ? where key = ?", [rev + 1, key])
    db.execute("commit")
    db.close()


def test_the_next_owner_of_an_address_inherits_no_flow(w):
    """A flow that the last owner had begun is not known any more when its pod is gone."""
    node = w.lab.nodes[0]
    pod = node.add_pod("gone", "y")
    assert wait.until("the new pod is reached", lambda: reaches(pod, f"udp:{w.ip('x/b')}:80"))
    listed = ["conntrack", "-L", "-s", pod.ip]
    assert pod.ip in ns.run(node.ns, *listed, check=False).stdout
    address = pod.ip
    pod.delete()
    assert address not in ns.run(node.ns, *listed, check=False).stdout


def test_kubernetes_names_for_get_and_delete(w):
    w.apply(k8s("web", "x", {"podSelector": {}, "policyTypes": ["Ingress"]}))
    assert "knp.default.web" in w.lab.ctl("get", "netpol", "web", "-n", "x").stdout
    assert "kns.x" in w.lab.ctl("get", "namespace", "x").stdout
    w.lab.ctl("delete", "networkpolicies.networking.k8s.io", "web", "-n", "x")
    w.settle()
    assert w.matrix(lambda s, t, p: True, protos=("icmp",)) == []


def test_label_moves_a_pod_under_a_policy(w):
    w.apply(k8s("web", "x", {"podSelector": {"matchLabels": {"role": "shut"}}, "policyTypes": ["Ingress"]}))
    listed = json.loads(w.lab.ctl("-o", "json", "get", "workloadendpoints", "-n", "x").stdout)["items"]
    [name] = [x["metadata"]["name"] for x in listed if x["spec"]["pod"] == "c"]
    w.lab.ctl("label", "workloadendpoint", name, "role=shut", "-n", "x")
    w.settle()
    assert w.matrix(lambda s, t, p: t != "x/c", protos=("icmp",)) == []
    w.lab.ctl("label", "workloadendpoint", name, "role-", "-n", "x")
    w.settle()
    assert w.matrix(lambda s, t, p: True, protos=("icmp",)) == []


def test_a_wrong_manifest_is_refused_with_its_field(w):
    bad = k8s("web", "x", {"podSelector": {}, "ingress": [{"ports": [{"port": 99999}]}]})
    said = w.lab.ctl("apply", "-f", "-", stdin=bad, check=False)
    assert said.returncode == 1 and "port" in said.stderr and "stdin:" in said.stderr, said.stderr


def test_policy_show_names_what_applies_in_order(w):
    w.apply(k8s("web", "x", {"podSelector": {}, "policyTypes": ["Ingress"]}),
            calico("NetworkPolicy", "early", {"order": 1, "selector": "pod == 'a'", "types": ["Ingress", "Egress"],
                                              "egress": [{"action": "Allow"}]}, "x"))
    node = w.pods["x/a"].node
    said = node.ctl("policy", "show", "x/a").stdout
    first, ingress, egress, _ = said.split("\n\n")
    assert "interface " + w.pods["x/a"].host_interface in first
    into, out = ([re.split(r"  +", x.strip()) for x in part.splitlines()[2:]] for part in (ingress, egress))
    assert [r[1] for r in into[:3]] == ["NetworkPolicy x/early", "KubernetesNetworkPolicy x/web", "(end of tier)"], said
    assert into[0][2] == "(no rules)" and into[2][-1] == "Deny", said
    assert out[0][1:3] == ["NetworkPolicy x/early", "egress[0]"] and out[0][-1] == "Allow", said
    assert node.ctl("policy", "show", w.ip("x/a")).stdout.split("\n\n")[0] == first
    assert node.ctl("policy", "show", "x/nobody", check=False).returncode == 1
