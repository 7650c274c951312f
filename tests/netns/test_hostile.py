"""What peers and strangers can make the agent write and keep: floods of connections, of routes that the kernel refuses."""

import re
from pathlib import Path

from deploy.lab import ns, wait

from test_bgp_security import PEER, POOL, bird, is_up, neighbor

TOR = "192.168.61.1"

STRANGERS = """
import socket
for i in range(1000):
    s = socket.socket()
    s.bind((f"10.66.{i // 250}.{i % 250 + 1}", 0))
    s.settimeout(60)
    s.connect(("192.168.61.11", 179))
    s.close()
"""

REFUSED = """
import sys
sys.path.insert(0, sys.argv[1])
import socket, struct, time
from malformed import attr, message, nlri, segment, update
s = socket.socket()
s.bind(("192.168.61.1", 0))
s.connect(("192.168.61.11", 179))
caps = b"\\x01\\x04\\0\\1\\0\\1" + b"\\x41\\4" + struct.pack("!I", 65001)
s.sendall(message(1, struct.pack("!BHH4s", 4, 65001, 90, bytes([9, 9, 9, 9])) + bytes([len(caps) + 2, 2, len(caps)]) + caps))
s.sendall(message(4, b""))
attrs = attr(1, b"\\0") + attr(2, segment(2, 65001)) + attr(3, socket.inet_aton("192.168.61.255"))
for i in range(0, 2000, 200):
    s.sendall(update(attrs, b"".join(nlri(f"100.64.{(i + k) >> 8}.{(i + k) & 255}", 32) for k in range(200))))
print("said", flush=True)
while s.recv(65536):
    pass
"""

SILENT = """
import socket
s = socket.socket()
s.bind(("192.168.61.1", 0))
s.connect(("192.168.61.11", 179))
said = b""
while data := s.recv(65536):
    said += data
# the last message: a NOTIFICATION, its code and subcode
while int.from_bytes(said[16:18], "big") < len(said):
    said = said[int.from_bytes(said[16:18], "big"):]
print("told", *said[18:21], flush=True)
"""

ADVERTISE = """
import socket, struct
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("eth1", 0))
to = socket.inet_pton(socket.AF_INET6, "ff02::1")
for i in range(3000):
    who = bytes.fromhex("fe80000000000000") + struct.pack("!Q", (2 << 56) + 1 + i)
    ra = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 0, 0, 0)
    words = who + to + struct.pack("!II", len(ra), 58) + ra
    total = sum(struct.unpack(f"!{len(words) // 2}H", words))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    ra = ra[:2] + struct.pack("!H", 0xffff - total) + ra[4:]
    s.send(bytes.fromhex("33330000000102aabbccddee86dd") + struct.pack("!IHBB", 6 << 28, len(ra), 58, 255) + who + to + ra)
"""


def listens(node):
    """And knows for whom."""
    return neighbor(node, TOR) and ":179" in ns.out(node.ns, "ss", "-tln")


def test_a_stranger_with_many_addresses_has_one_share_of_the_log(labs):
    lab = labs(nodes=1, start=False, manifest=POOL + PEER % (TOR, ""))
    node, tor = lab.nodes[0], lab.ns("tor")
    node.start(wait_ready=False)
    ns.ip(tor, "addr", "add", "10.66.0.1/16", "dev", "lo")
    ns.ip(node.ns, "route", "add", "10.66.0.0/16", "via", TOR)
    wait.until("it listens", lambda: listens(node))
    ns.run(tor, "python3", "-c", STRANGERS, timeout=600)
    wait.until("it is said", lambda: "nobody expects" in node.log())
    wait.until("all were answered", lambda: node.nothing_waits("-lt", "sport = :179"))
    lines = node.log().count("nobody expects")
    assert lines < 100, lines


def refusals(namespace):
    """Resets sent: of dials to where nobody listens."""
    return int(re.search(r"TcpOutRsts\s+(\d+)", ns.out(namespace, "nstat", "-asz", "TcpOutRsts"))[1])


def test_a_silent_connection_does_not_hold_off_our_dial(labs):
    """Somebody at the router's address is connected and says nothing, before the router is there: it is dialled, and the silent one
    goes because of that, not because of its time."""
    lab = labs(nodes=1, start=False, manifest=POOL + PEER % (TOR, ""))
    node = lab.nodes[0]
    node.start(wait_ready=False)
    wait.until("it listens", lambda: listens(node))
    lab.spawn("silent", lab.ns("tor"), "python3", "-c", SILENT)
    wait.until("it is connected", lambda: neighbor(node, TOR)["state"] == "OpenSent")
    before = refusals(lab.ns("tor"))
    wait.until("it is dialled, twice", lambda: refusals(lab.ns("tor")) >= before + 2)
    bird(lab, "tor", TOR, "direct; passive on;")
    wait.until("the router's session", lambda: is_up(node, TOR))
    wait.until("the silent one is told", lambda: "told" in lab.log("silent"))
    assert lab.log("silent") == "told 3 6 7\n"


def test_routes_that_the_kernel_refuses_have_one_share_of_the_log(labs):
    """2000 routes to where no neighbour can be, the network's broadcast address."""
    lab = labs(nodes=1, start=False, manifest=POOL + PEER % (TOR, ""))
    node = lab.nodes[0]
    node.start(wait_ready=False)
    wait.until("it listens", lambda: listens(node))
    lab.spawn("router", lab.ns("tor"), "python3", "-B", "-c", REFUSED, Path(__file__).parent)
    wait.until(node.log, lambda: "is not in the kernel" in node.log())
    wait.until("all are there", lambda: len(node.ctl_json("bgp", "routes")["routes"]) >= 1000)
    lines = node.log().count("is not in the kernel")
    assert lines < 100, lines


def test_a_flood_of_router_advertisements_is_not_a_flood_of_sessions(labs):
    """3000 routers on a link that is peered with by interface: each would be another session, and another look at the whole configuration."""
    peer = PEER.replace("name: tor}", 'name: tor, annotations: {margay.io/interface: "eth1"}}') % (TOR, "")
    peer = peer.replace(f"peerIP: {TOR}, asNumber: 65001", 'peerSelector: "!all()"')
    lab = labs(nodes=1, start=False, manifest=POOL + peer)
    node = lab.nodes[0]
    node.start(wait_ready=False)
    wait.until("it looks for a neighbour", lambda: "nobody has been heard" in node.health_text())
    ns.run(lab.ns("tor"), "python3", "-c", ADVERTISE)
    wait.until("it has found one", lambda: "found the neighbour" in node.log())
    wait.until("all were read", lambda: node.nothing_waits("-wa"))
    found = [line for line in node.log().splitlines() if "found the neighbour" in line]
    found = len(found) + sum(int(n) for line in found for n in re.findall(r"suppressed=(\d+)", line))
    assert found < 10, found
