"""What a person sees on the nodes and in the pods: the acceptance view, word for word."""

import re
import subprocess

from deploy.lab import ns, wait
from deploy.lab.lab import LINK

NAMES = {1: "calice0906292e2", 2: "calibd2348b4f67"}


def pods(lab):
    return [node.pods[f"default.pod{node.index}"] for node in lab.nodes]


def test_addresses_come_from_the_pool_and_a_block_of_the_node(three):
    blocks = {}
    for node, pod in zip(three.nodes, pods(three)):
        held = node.ctl_json("node", "status")["blocks"]
        assert len(held) == 1 and held[0].endswith("/26") and held[0].startswith("172.31.")
        blocks[held[0]] = node
        import ipaddress
        assert ipaddress.ip_address(pod.ip) in ipaddress.ip_network(held[0])
    assert len(blocks) == 3


def test_pod_interface(three):
    for pod in pods(three):
        text = ns.out(pod.ns, "ip", "addr", "show", "dev", "eth0")
        assert re.search(r"eth0@if\d+: <[A-Z,_]*\bUP\b[A-Z,_]*> mtu 1500", text), text
        assert f"inet {pod.ip}/32 scope global eth0" in re.sub(r" brd \S+", "", text)
        [link] = ns.ip_json(pod.ns, "link", "show", "dev", "eth0")
        assert link["address"] not in ("ee:ee:ee:ee:ee:ee", "00:00:00:00:00:00")
        [host] = ns.ip_json(pod.node.ns, "link", "show", "dev", pod.host_interface)
        assert (link["link_index"], host["link_index"]) == (host["ifindex"], link["ifindex"])


def test_pod_has_exactly_the_two_routes(three):
    for pod in pods(three):
        lines = [line.strip() for line in ns.out(pod.ns, "ip", "route").splitlines()]
        assert lines == ["default via 169.254.1.1 dev eth0", "169.254.1.1 dev eth0 scope link"]


def test_gateway_answers_with_the_common_mac(three):
    for pod in pods(three):
        assert pod.ping("192.168.61.1")
        neighbours = ns.ip_json(pod.ns, "neigh", "show", "169.254.1.1")
        assert [n["lladdr"] for n in neighbours] == ["ee:ee:ee:ee:ee:ee"]
        assert "169.254.1.1" not in ns.ip(pod.node.ns, "addr")


def test_host_interface_names(three):
    first, second, _ = pods(three)
    assert (first.host_interface, second.host_interface) == (NAMES[1], NAMES[2])
    for pod in (first, second):
        [link] = ns.ip_json(pod.node.ns, "link", "show", "dev", pod.host_interface)
        assert link["address"] == "ee:ee:ee:ee:ee:ee" and "UP" in link["flags"]


def test_host_routes(three):
    blocks = {n: n.ctl_json("node", "status")["blocks"][0] for n in three.nodes}
    for node in three.nodes:
        own = node.pods[f"default.pod{node.index}"]
        wait.until(lambda n=node: f"every block in the routes of {n.name}:\n{n.routes()}",
                   lambda n=node: all(b in n.routes() for b in blocks.values()))
        lines = [line.strip() for line in node.routes().splitlines()]
        assert f"{own.ip} dev {own.host_interface} scope link" in lines
        assert f"blackhole {blocks[node]} proto 80" in lines
        for other in three.nodes:
            if other is not node:
                assert f"{blocks[other]} via {other.address} dev {LINK} proto 80 onlink" in lines


def test_ping_between_nodes_has_ttl_62(three):
    first, second, third = pods(three)
    for source, target in ((first, second), (second, third), (third, first)):
        out = ns.out(source.ns, "ping", "-n", "-c", "1", "-W", "2", target.ip)
        assert "ttl=62" in out, out


def test_no_outer_header_on_the_wire(three):
    first, second, _ = pods(three)
    seen = capture(first.node, lambda: first.ping(second.ip, count=2), packets=4, what="net 172.31.0.0/16")
    for line in seen:
        assert re.search(rf"ethertype IPv4 \(0x0800\), length 98: "
                         rf"({re.escape(first.ip)} > {re.escape(second.ip)}|{re.escape(second.ip)} > {re.escape(first.ip)}): "
                         rf"ICMP echo (request|reply)", line), line
    assert sum("request" in line for line in seen) == 2


def test_every_hop_sees_the_packet_once(three):
    """On all interfaces of a node each echo is seen four times: in and out, request and reply."""
    first, second, _ = pods(three)
    seen = capture(first.node, lambda: first.ping(second.ip), packets=4, what="icmp", interface="any")
    ways = [re.search(r"^(\S+)\s+(In|Out)\s+ifindex \d+ (\S+)", line).group(1, 2, 3) for line in seen]
    pod_mac = ns.ip_json(first.ns, "link", "show", "dev", "eth0")[0]["address"]
    assert [(i, w) for i, w, _ in ways] == [(first.host_interface, "In"), (LINK, "Out"), (LINK, "In"),
                                            (first.host_interface, "Out")]
    assert ways[0][2] == pod_mac and ways[3][2] == "ee:ee:ee:ee:ee:ee"


def test_router_reaches_every_pod_and_pods_reach_its_network(three):
    for pod in pods(three):
        wait.until(f"the router pings {pod.ip}",
                   lambda p=pod: ns.run(three.ns("tor"), "ping", "-n", "-q", "-c", "1", "-W", "1", p.ip,
                                        check=False).returncode == 0)
        assert pod.ping("203.0.113.1")


def capture(node, action, packets, what, interface=LINK):
    """The lines of tcpdump for `packets` packets that action causes."""
    words = [*ns.enter(node.ns), "tcpdump", "-l", "-n", "-e", "-t", "-i", interface, "-c", str(packets), what]
    p = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        while "listening on" not in (line := p.stderr.readline()):
            assert line, "tcpdump ended before it listened"
        assert action()
        out, _ = p.communicate(timeout=60)
        return out.splitlines()
    finally:
        p.kill()
