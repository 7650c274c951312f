"""The speaker against BIRD, and against peers that misbehave."""

import ctypes
import os
import socket
import struct
import threading

import pytest

from deploy.lab import ns, wait
from deploy.lab.lab import LINK

CLONE_NEWNET = 0x40000000
MARKER = b"\xff" * 16


def established(node, address):
    return any(n["address"] == address and n["state"] == "Established"
               for n in node.ctl_json("bgp", "neighbors")["neighbors"])


def test_router_has_a_route_to_every_block(three):
    for node in three.nodes:
        for block in node.ctl_json("node", "status")["blocks"]:
            shown = three.birdc("show", "route", "all", block)
            assert f"BGP.next_hop: {node.address}" in shown, shown
            assert "BGP.as_path: 64512" in shown


def test_blocks_of_others_are_not_sent_twice_to_the_router_with_a_wrong_next_hop(three):
    """A node also tells the router what it learned from the mesh; the router prefers the owner's path."""
    for node in three.nodes:
        for block in node.ctl_json("node", "status")["blocks"]:
            via = ns.ip(three.ns("tor"), "route", "show", block)
            assert f"via {node.address}" in via, via


def test_new_block_reaches_everyone_and_goes_when_given_back(labs):
    lab = labs(nodes=2, manifest="""
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: small}
spec: {cidr: 172.31.0.0/24, blockSize: 30}
---
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: tor}
spec: {peerIP: 192.168.61.1, asNumber: 65001}
""")
    one, two = lab.nodes
    pods = [one.add_pod(f"p{i}") for i in range(5)]
    blocks = one.ctl_json("node", "status")["blocks"]
    assert len(blocks) == 2
    for block in blocks:
        wait.until(f"{block} on node2", lambda b=block: f"{b} via {one.address} dev {LINK} proto 80 onlink" in two.routes())
        wait.until(f"{block} on the router", lambda b=block: b in ns.ip(lab.ns("tor"), "route"))
    for pod in pods:
        pod.delete()
    wait.until("all but the last block are handed back, or kept empty but announced", lambda: all(
        (b in two.routes()) == (b in one.ctl_json("node", "status")["blocks"]) for b in blocks))


def test_router_route_comes_and_goes(three):
    node = three.nodes[0]
    tor = three.ns("tor")
    wait.until("the router's network", lambda: f"203.0.113.0/24 via 192.168.61.1 dev {LINK} proto 80 metric 2147483547 onlink" in node.routes())


    def birdc(*words):
        return ns.out(tor, "birdc", "-s", three.dir / "tor.ctl", *words)
    birdc("disable", "static1")
    try:
        wait.until("it is withdrawn", lambda: "203.0.113.0/24" not in node.routes())
    finally:
        birdc("enable", "static1")
    wait.until("it is back", lambda: "203.0.113.0/24" in node.routes())


def test_foreign_removal_of_our_route_is_repaired(three):
    one, two = three.nodes[:2]
    [block] = two.ctl_json("node", "status")["blocks"]
    want = f"{block} via {two.address} dev {LINK} proto 80 onlink"
    wait.until("the route is there", lambda: want in one.routes())
    ns.ip(one.ns, "route", "del", block)
    wait.until("it is repaired", lambda: want in one.routes())
    ns.ip(one.ns, "route", "replace", block, "via", "192.168.61.1", "dev", LINK, "proto", "80", "onlink")
    wait.until("it is put right", lambda: want in one.routes())


def test_foreign_routes_are_left_alone(three):
    node = three.nodes[0]
    ns.ip(node.ns, "route", "add", "198.51.100.0/24", "via", "192.168.61.1")
    [other] = three.nodes[1].ctl_json("node", "status")["blocks"]
    ns.ip(node.ns, "route", "del", other)  # makes the agent look
    wait.until("the agent repaired", lambda: other in node.routes())
    assert "198.51.100.0/24 via 192.168.61.1" in node.routes()
    ns.ip(node.ns, "route", "del", "198.51.100.0/24")


def test_ecmp_when_two_peers_tell_the_same(labs):
    """Two routers, one network: the kernel gets both next hops."""
    lab = labs(nodes=1, start=False, manifest="""
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: tor}
spec: {peerIP: 192.168.61.1, asNumber: 65001}
---
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: tor2}
spec: {peerIP: 192.168.61.2, asNumber: 65001}
---
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: pods}
spec: {cidr: 172.31.0.0/16}
""")
    node = lab.nodes[0]
    lab.start_tor()
    lab.join("tor2", "192.168.61.2")
    conf = (lab.dir / "tor.conf").read_text().replace("192.168.61.1;", "192.168.61.2;").replace("local 192.168.61.1", "local 192.168.61.2")
    (lab.dir / "tor2.conf").write_text(conf)
    lab.spawn("tor2", lab.ns("tor2"), "bird", "-f", "-c", lab.dir / "tor2.conf", "-s", lab.dir / "tor2.ctl")
    node.start()

    def both():
        [route] = ns.ip_json(node.ns, "route", "show", "203.0.113.0/24")
        return sorted(h["gateway"] for h in route.get("nexthops", [])) == ["192.168.61.1", "192.168.61.2"] and \
            all("onlink" in h["flags"] for h in route["nexthops"])
    wait.until(lambda: f"both next hops: {node.routes('203.0.113.0/24')}", both)


def open_message(asn, bgp_id, hold=90):
    caps = bytes([1, 4, 0, 1, 0, 1]) + bytes([65, 4]) + struct.pack("!I", asn)
    params = bytes([2, len(caps)]) + caps
    body = struct.pack("!BHH4sB", 4, asn, hold, socket.inet_aton(bgp_id), len(params)) + params
    return message(1, body)


def message(kind, body=b""):
    return MARKER + struct.pack("!HB", 19 + len(body), kind) + body


GARBAGE = [
    ("bad marker", b"\x00" * 16 + struct.pack("!HB", 19, 4), (1, 1)),
    ("length too small", MARKER + struct.pack("!HB", 18, 4), (1, 2)),
    ("length too large", MARKER + struct.pack("!HB", 5000, 2), (1, 2)),
    ("unknown type", message(9), (1, 3)),
    ("wrong version", message(1, struct.pack("!BHH4sB", 3, 65001, 90, b"\x0a\x00\x00\x01", 0)), (2, 1)),
    ("wrong AS", open_message(65009, "10.0.0.1"), (2, 2)),
    ("router id zero", open_message(65001, "0.0.0.0"), (2, 3)),
    ("hold time of one", open_message(65001, "10.0.0.1", 1), (2, 6)),
    ("UPDATE before OPEN", message(2, b"\0\0\0\0"), (5, None)),
]


@pytest.fixture
def hostile(labs):
    """A node that expects a router, which these tests play, and a node beside it. Its own for each test: after an
    error the speaker keeps the peer out for a while (RFC 4271 8.1.1, DampPeerOscillations)."""
    lab = labs(nodes=2, tor=False, start=False, manifest="""
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: pods}
spec: {cidr: 172.31.0.0/16}
---
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: tor}
spec: {peerIP: 192.168.61.1, asNumber: 65001}
""")
    for node in lab.nodes:
        node.start(wait_ready=False)  # ready is later: the router is not there
    lab.join("tor", "192.168.61.1")
    wait.until("the nodes are peers", lambda: established(lab.nodes[0], lab.nodes[1].address))
    return lab


def dial(lab):
    """A connection to node1's speaker from the router's namespace. A namespace is a thread's: a thread of its own."""
    got = []

    def inside():
        with open(f"/run/netns/{lab.ns('tor')}", "rb") as f:
            if ctypes.CDLL(None, use_errno=True).setns(f.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        s = socket.create_connection((lab.nodes[0].address, 179), 60)
        got.append(s)
    t = threading.Thread(target=inside)
    t.start()
    t.join()
    return got[0]


def notification(s):
    """The (code, subcode) of the NOTIFICATION that ends a session; None when it just closes."""
    data = b""
    while True:
        try:
            more = s.recv(4096)
        except ConnectionResetError:
            more = b""
        data += more
        while len(data) >= 19:
            length, kind = struct.unpack("!HB", data[16:19])
            if len(data) < length:
                break
            if kind == 3:
                return data[19], data[20]
            data = data[length:]
        if not more:
            return None


@pytest.mark.parametrize("what,bytes_in,want", GARBAGE, ids=[g[0] for g in GARBAGE])
def test_garbage_gets_the_right_notification(hostile, what, bytes_in, want):
    s = dial(hostile)
    s.sendall(bytes_in)
    code, subcode = notification(s)
    assert code == want[0] and want[1] in (None, subcode), (what, code, subcode)
    s.close()
    assert established(hostile.nodes[0], hostile.nodes[1].address), "the other session is untouched"
    assert hostile.nodes[0].health("liveness") == 200


def test_message_in_single_bytes(hostile):
    s = dial(hostile)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for b in open_message(65001, "10.0.0.1") + message(4):
        s.sendall(bytes([b]))
    wait.until("Established", lambda: established(hostile.nodes[0], "192.168.61.1"))
    # Half a message, then nothing: only this session ends.
    s.sendall(message(2, b"\0\0\0\0")[:20])
    s.close()
    wait.until("the session ended", lambda: not established(hostile.nodes[0], "192.168.61.1"))
    assert established(hostile.nodes[0], hostile.nodes[1].address)


def test_broken_update_is_a_withdraw_not_a_reset(hostile):
    """RFC 7606: a bad ORIGIN withdraws the prefix that was there; the session lives."""
    s = dial(hostile)
    node = hostile.nodes[0]
    s.sendall(open_message(65001, "10.0.0.1") + message(4))
    wait.until("Established", lambda: established(node, "192.168.61.1"))

    def update(origin):
        attrs = bytes([0x40, 1, 1, origin, 0x40, 2, 6, 2, 1]) + struct.pack("!I", 65001) + \
            bytes([0x40, 3, 4]) + socket.inet_aton("192.168.61.1")
        return message(2, struct.pack("!HH", 0, len(attrs)) + attrs + bytes([24, 198, 51, 100]))
    s.sendall(update(0))
    wait.until("the route", lambda: "198.51.100.0/24 via 192.168.61.1" in node.routes())
    s.sendall(update(7))
    wait.until("the route is withdrawn", lambda: "198.51.100.0/24" not in node.routes())
    assert established(node, "192.168.61.1")
    s.close()
    wait.until("the session ended", lambda: not established(node, "192.168.61.1"))


def test_stranger_is_not_served(hostile):
    hostile.join("other", "192.168.61.99")
    done = ns.run(hostile.ns("other"), "python3", "-c",
                  "import socket\ns=socket.create_connection(('192.168.61.11',179),3)\ns.settimeout(5)\n"
                  "print(len(s.recv(100)))", check=False)
    assert done.returncode != 0 or done.stdout.strip() in ("0", "21", "23")
    assert not any(n["address"] == "192.168.61.99" for n in
                   hostile.nodes[0].ctl_json("bgp", "neighbors")["neighbors"])
