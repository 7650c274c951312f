"""169.254.1.1 answers on every kind of host."""

from deploy.lab import ns, wait

POOL = """
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: pods}
spec: {cidr: 172.31.0.0/16}
"""


def answers(pod):
    """Forget the gateway, then ask for it."""
    ns.run(pod.ns, "ip", "neigh", "flush", "dev", "eth0")
    return ns.run(pod.ns, "arping", "-c", "1", "-w", "10", "-I", "eth0", "169.254.1.1", check=False).returncode == 0


def test_without_a_default_route(labs):
    lab = labs(nodes=1, tor=False, manifest=POOL)
    node = lab.nodes[0]
    assert "default" not in node.routes()
    pod = node.add_pod("web")
    assert answers(pod)
    assert pod.ping(node.address)
    assert "169.254.1.1" not in ns.ip(node.ns, "addr")


def test_with_a_default_route_and_when_it_comes_and_goes(labs):
    lab = labs(nodes=1, tor=True, default_route=True)
    node = lab.nodes[0]
    pod = node.add_pod("web")
    assert answers(pod)
    ns.ip(node.ns, "route", "del", "default")
    wait.until("the gateway answers without a default route", lambda: answers(pod))
    ns.ip(node.ns, "route", "add", "default", "via", "192.168.61.1")
    wait.until("the gateway answers with one", lambda: answers(pod))
    wait.until("the router has a way back", lambda: pod.ping("192.168.61.1"))
