"""Ground that the tests of policy stand on: labs with one backend, manifests as text, a clean slate between tests."""

import json

import pytest

from deploy.lab import ns, wait
from deploy.lab.lab import Lab

from conftest import POOL, finish, new_name, show_logs

BACKENDS = ["nft", "legacy"]
BUILT_IN = {"default", "kube-admin", "kube-baseline"}
POOL6 = """---
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: pods6}
spec: {cidr: "fd00:172::/64", blockSize: 122, natOutgoing: false}
"""
IPAM6 = {"type": "margay-ipam", "assign_ipv4": "true", "assign_ipv6": "true"}
KINDS = ["networkpolicies", "globalnetworkpolicies", "stagednetworkpolicies", "stagedglobalnetworkpolicies",
         "hostendpoints", "networksets", "globalnetworksets", "tiers", "profiles"]
NAMESPACED = {"networkpolicies", "stagednetworkpolicies", "networksets"}


class Host:
    """Somebody with addresses who is no pod."""

    def __init__(self, namespace, ip, ip6=None):
        self.ns, self.ip, self.ip6 = namespace, ip, ip6


def dual_stack_pod(node, name, namespace, **labels):
    """A pod with an address of each family, ip and ip6."""
    pod = node.add_pod(name, namespace, node.network(args={"margay": {"labels": labels}}, ipam=IPAM6))
    pod.ip6 = next(x["address"].split("/")[0] for x in pod.result["ips"] if ":" in x["address"])
    return pod


class Ground:
    """A lab whose agents write rules by one backend."""

    def __init__(self, lab, backend):
        self.lab, self.backend = lab, backend
        self.tool, self.tool6 = f"iptables-{backend}", f"ip6tables-{backend}"
        self.node = lab.nodes[0]
        self.servers = []

    def settle(self):
        """What is stored now is in the kernel of every node."""
        for node in self.lab.nodes:
            node.settle_policy()

    def apply(self, *texts):
        self.lab.apply("---\n".join(texts))
        self.settle()

    def delete(self, *words):
        self.lab.ctl("delete", *words)
        self.settle()

    def clean(self):
        """No policy, and no flow that an earlier one had allowed."""
        for kind in KINDS:
            everywhere = ["-A"] if kind in NAMESPACED else []
            for item in json.loads(self.lab.ctl("-o", "json", "get", kind, *everywhere).stdout).get("items", []):
                name, space = item["metadata"]["name"], item["metadata"].get("namespace")
                if not (kind == "tiers" and name in BUILT_IN or
                        kind == "profiles" and name.startswith(("kns.", "ksa.", "projectcalico-"))):
                    self.lab.ctl("delete", kind, name, *(["-n", space] if space else []))
        self.settle()
        self.forget_flows()

    def set_ports(self, pod, *ports):
        """Named ports of a pod, as an orchestrator would tell them: ("web", "TCP", 80)."""
        listed = json.loads(self.lab.ctl("-o", "json", "get", "workloadendpoints", "-n", pod.namespace).stdout)["items"]
        [wep] = [x for x in listed if x["spec"]["pod"] == pod.name]
        wep["spec"]["ports"] = [dict(zip(("name", "protocol", "port"), p)) for p in ports]
        wep["metadata"].pop("resourceVersion", None)
        self.lab.ctl("apply", "-f", "-", stdin=json.dumps(wep))
        self.settle()

    def forget_flows(self):
        for node in self.lab.nodes:
            ns.run(node.ns, "conntrack", "-F", check=False)


def space(name, **labels):
    return f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {json.dumps(labels)}}}\n"


def k8s(name, namespace, spec):
    return f"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {name}, namespace: {namespace}}}\n" \
           f"spec: {json.dumps(spec)}\n"


def calico(kind, name, spec, namespace=None, labels=None):
    meta = {"name": name} | ({"namespace": namespace} if namespace else {}) | ({"labels": labels} if labels else {})
    return f"apiVersion: projectcalico.org/v3\nkind: {kind}\nmetadata: {json.dumps(meta)}\nspec: {json.dumps(spec)}\n"


def ground_fixture(make, backends=BACKENDS):
    """A module's ground: make(lab, backend) brings the lab up and gives a Ground."""
    @pytest.fixture(scope="module", params=backends)
    def ground(request):
        lab = Lab(new_name())
        made = None
        try:
            made = make(lab, request.param)
        except BaseException:
            show_logs(lab)
            lab.down()
            raise
        yield made
        for server in made.servers:
            server.stop()
        finish(request, [lab])
    return ground


def start(lab, backend, *options, env=None):
    """Start every agent with policy, and wait for all."""
    for node in lab.nodes:
        node.start("--policy", "--iptables-backend", backend, *options, env=env, wait_ready=False)
    for node in lab.nodes:
        node.wait_ready()


def bring_up(lab, backend, nodes):
    """Nodes on one link with a pool, and an agent on each."""
    lab.up(nodes=nodes, tor=False)
    lab.apply(POOL)
    start(lab, backend)


def reach_each_other(a, b):
    wait.until("they reach each other", lambda: a.ping(b.ip) and b.ping(a.ip))
