"""The plugins beside the stock ones: chained, delegating, serving, and as Multus calls them."""

import json
import subprocess

import pytest

from deploy.lab import cni, ns, wait
from deploy.lab.lab import CNI_PLUGINS, Pod

PORTMAP = {"type": "portmap", "snat": True, "capabilities": {"portMappings": True}}
BANDWIDTH = {"type": "bandwidth", "capabilities": {"bandwidth": True}}
VERSIONS = ["0.3.1", "0.4.0", "1.0.0", "1.1.0"]
STOCK_VERSIONS = VERSIONS[:3]  # Debian's plugins know up to 1.0.0


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_alone(three, version):
    node = three.nodes[0]
    pod = Pod(node, "alone", "v" + version.replace(".", "-"), node.network(version=version))
    pod.add()
    try:
        assert pod.result["cniVersion"] == version
        assert ("mtu" in pod.result["interfaces"][1]) == (version == "1.1.0")
        assert pod.ping(node.address)
        if version != "0.3.1":
            pod.check()
    finally:
        pod.delete()


@pytest.mark.parametrize("version", STOCK_VERSIONS)
def test_chain_with_bandwidth_and_portmap(three, version):
    node = three.nodes[0]
    web = Pod(node, "web", "v" + version.replace(".", "-"), node.network(BANDWIDTH, PORTMAP, version=version))
    caps = {"portMappings": [{"hostPort": 18080, "containerPort": 80, "protocol": "tcp"}],
            "bandwidth": {"ingressRate": 10_000_000, "ingressBurst": 1_000_000,
                          "egressRate": 10_000_000, "egressBurst": 1_000_000}}
    web.add(caps=caps)
    try:
        assert web.result["cniVersion"] == version
        assert ("version" in web.result["ips"][0]) == version.startswith("0.")
        assert web.result["ips"][0]["interface"] == 1
        host, pod = web.result["interfaces"][:2]
        assert "sandbox" not in host or not host["sandbox"]
        assert (pod["name"], pod["sandbox"]) == ("eth0", web.netns)
        if version != "0.3.1":
            # Debian's portmap 1.1.1 looks for IPv6 chains that it did not make, also behind stock ptp.
            web.check(caps=caps, without=("portmap",))
        server = serve(web)
        try:
            other = three.nodes[1].pods["default.pod2"]
            wait.until("the port of the host reaches the pod",
                       lambda: fetch(other, node.address, 18080) == "hello")
            shaped = ns.out(node.ns, "tc", "qdisc", "show", "dev", web.host_interface)
            assert "tbf" in shaped
        finally:
            server.kill()
            server.wait()
    finally:
        web.delete(caps=caps)
    assert "18080" not in ns.out(node.ns, "iptables-save")


def serve(pod):
    return subprocess.Popen([*ns.enter(pod.ns), "python3", "-c",
                             "import socket\ns=socket.socket(); s.setsockopt(1,2,1); s.bind(('',80)); s.listen()\n"
                             "while True:\n c,_=s.accept(); c.sendall(b'hello'); c.close()"])


def fetch(pod, address, port):
    return ns.run(pod.ns, "python3", "-c", "import socket,sys\n"
                  "s=socket.create_connection((sys.argv[1],int(sys.argv[2])),2); print(s.recv(99).decode(),end='')",
                  address, port, check=False).stdout


def test_host_local_gives_the_address(three, tmp_path):
    """Another IPAM plugin is delegated to: margay does everything but the address."""
    node = three.nodes[0]
    ipam = {"type": "host-local", "subnet": "10.99.1.0/24", "dataDir": str(tmp_path)}
    pod = Pod(node, "default", "delegated", node.network(ipam=ipam, name="hostlocal", version="1.0.0"))
    pod.add()
    try:
        assert pod.ip.startswith("10.99.1.")
        assert pod.result["ips"][0]["address"].endswith("/32")
        assert f"{pod.ip} dev {pod.host_interface} scope link" in node.routes()
        assert pod.ping(node.pods["default.pod1"].ip)
        pod.check()
    finally:
        pod.delete()
    assert pod.ip not in node.routes()
    assert not (tmp_path / "hostlocal" / pod.ip).exists()


def test_margay_ipam_serves_bridge(three):
    """margay-ipam gives addresses of margay's pools to another main plugin."""
    node = three.nodes[2]
    conflist = {"cniVersion": "1.0.0", "name": "bridged", "plugins": [
        {"type": "bridge", "bridge": "brtest", "isGateway": False,
         "ipam": {"type": "margay-ipam", "agent_socket": str(node.run_dir / "cni.sock"),
                  "state_dir": str(node.state_dir)},
         "agent_socket": str(node.run_dir / "cni.sock"), "state_dir": str(node.state_dir)}]}
    pod = Pod(node, "default", "bridged", cni.Network(conflist, [three.build / "cni-plugin", CNI_PLUGINS], node.ns))
    pod.add()
    try:
        assert pod.result["ips"][0]["address"].startswith("172.31.")
        shown = three.ctl("ipam", "show", f"--ip={pod.ip}").stdout
        assert "is in use" in shown and f"bridged.{pod.container_id}" in shown
    finally:
        pod.delete()
    assert "is not assigned" in three.ctl("ipam", "show", f"--ip={pod.ip}").stdout


def test_two_interfaces_as_multus_makes_them(three, tmp_path):
    """eth0 by margay, net1 by macvlan with host-local: both work, neither disturbs the other."""
    node = three.nodes[0]
    pods = []
    try:
        for name in ("multi1", "multi2"):
            pod = Pod(node, "default", name, node.network())
            pod.args += ";K8S_POD_UID=7d6f1c2e-0000-4000-8000-000000000001"
            pod.add()
            second = cni.Network({"cniVersion": "1.0.0", "name": "second", "plugins": [
                {"type": "macvlan", "master": "eth1", "mode": "bridge",
                 "ipam": {"type": "host-local", "subnet": "10.244.0.0/24", "dataDir": str(tmp_path)}}]},
                [three.build / "cni-plugin", CNI_PLUGINS], node.ns)
            result = second.add(pod.container_id, pod.netns, "net1", pod.args)
            pods.append((pod, second, result["ips"][0]["address"].split("/")[0]))
        (one, _, _), (two, _, net1) = pods
        assert one.ping(two.ip)
        out = ns.out(one.ns, "ping", "-n", "-c", "1", "-W", "2", "-I", "net1", net1)
        assert "ttl=64" in out
        routes = ns.out(one.ns, "ip", "route")
        assert "default via 169.254.1.1 dev eth0" in routes and "10.244.0.0/24 dev net1" in routes
        one.check()
    finally:
        for pod, second, _ in pods:
            second.delete(pod.container_id, pod.netns, "net1", pod.args)
            pod.delete()


def test_version_and_status(three):
    node = three.nodes[0]
    said = cni.call("VERSION", {"cniVersion": "1.1.0", "type": "margay"}, path=[three.build / "cni-plugin"], node=node.ns)
    assert set(VERSIONS) <= set(said["supportedVersions"])
    node.network().status()


def test_gc_removes_what_the_runtime_forgot(labs):
    lab = labs(nodes=2, tor=False, start=False)
    for each in lab.nodes:
        each.start("--gc-grace", "0")
    first = lab.nodes[0].add_pod("first")
    node = lab.nodes[1]
    kept = node.add_pod("kept", namespace="gc")
    lost = node.add_pod("lost", namespace="gc")
    valid = [(p.container_id, "eth0") for p in node.pods.values() if p is not lost]
    try:
        node.network().gc(valid)
        wait.until("the forgotten pod's address is free", lambda: "is not assigned" in
                   lab.ctl("ipam", "show", f"--ip={lost.ip}").stdout)
        assert "is in use" in lab.ctl("ipam", "show", f"--ip={kept.ip}").stdout
        assert lost.ip not in node.routes()
        wait.until("the other pod is reached", lambda: kept.ping(first.ip))
    finally:
        lost.delete()
        kept.delete()
    assert json.loads(lab.ctl("-o", "json", "get", "workloadendpoints", "-n", "gc").stdout)["items"] == []
