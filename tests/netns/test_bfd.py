"""BFD (RFC 5880, 5881, 5883) with BIRD's and FRR's: timers are negotiated, a cut path is left in a fraction of a second and by BFD, not
by a hold time; switching BFD off is no news; and what does not belong is dropped."""

import os
import pwd
import re
import struct
import time

import pytest

from deploy.lab import ns, wait
from deploy.lab.lab import LINK

TOR1, TOR2, NODE = "192.168.61.1", "192.168.61.2", "192.168.61.11"
NETWORK = "203.0.113.0/24"
PATIENT = "1000ms*5"  # where a session that stays up is the point, and a machine that has no time for it is not

POOL = """
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: pods}
spec: {cidr: 172.31.0.0/16}
"""

MESH = """---
apiVersion: projectcalico.org/v3
kind: BGPConfiguration
metadata: {name: default, annotations: {margay.io/bfd: "%s"}}
spec: {}
"""


def peer(name, address, bfd):
    return f"""---
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {{name: {name}, annotations: {{margay.io/bfd: "{bfd}"}}}}
spec: {{peerIP: {address}, asNumber: 65001}}
"""


def neighbor(node, address):
    return {n["address"]: n for n in node.ctl_json("bgp", "neighbors")["neighbors"]}[address]


def bfd(node, address):
    return neighbor(node, address).get("bfd", {})


class Bird:
    """A router in namespace `host` that watches the node: `multihop` far away, `interval` in its words."""

    ms = "{} ms".format

    def __init__(self, lab, host, address, interval="50 ms", multihop=False, node=NODE):
        self.lab, self.host, self.address = lab, host, address
        self.dir = lab.dir / host
        self.dir.mkdir(exist_ok=True)
        where = "multihop" if multihop else f'interface "{LINK}"'
        (self.dir / "bird.conf").write_text(f"""
router id {address};
protocol device {{ }}
protocol direct {{ ipv4; }}
protocol kernel {{ ipv4 {{ export all; }}; }}
protocol static {{ ipv4; route {NETWORK} blackhole; }}
protocol bfd b {{ {where} {{ min rx interval {interval}; min tx interval {interval}; multiplier 3; idle tx interval 300 ms; }}; }}
protocol bgp node {{ local {address} as 65001; neighbor {node} as 64512; {"multihop; source address " + address + ";" if multihop else "direct;"}
  bfd on; connect delay time 1; error wait time 1, 3; ipv4 {{ import all; export where source = RTS_STATIC; next hop self; }}; }}
""")

    def start(self):
        self.proc = self.lab.spawn(self.host, self.lab.ns(self.host), "bird", "-f", "-c", self.dir / "bird.conf",
                                   "-s", self.dir / "ctl")

    def ctl(self, *words):
        return ns.out(self.lab.ns(self.host), "birdc", "-s", self.dir / "ctl", *words)

    def up(self):
        return bool(re.search(rf"{NODE}\s+\S+\s+Up\b", self.ctl("show", "bfd", "sessions")))


class Frr:
    """bgpd, with bfdd and zebra."""

    ms = int
    listens = "127.0.0.1"  # it dials

    def __init__(self, lab, host, address, extra="", interval=50):
        self.lab, self.host = lab, host
        self.dir = lab.dir / host
        self.dir.mkdir(exist_ok=True)
        frr = pwd.getpwnam("frr")
        (self.dir / "frr.conf").write_text(f"""
router bgp 65001
 bgp router-id {address}
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor {NODE} remote-as 64512
 neighbor {NODE} bfd 3 {interval} {interval}
 neighbor {NODE} timers connect 1
{extra} address-family ipv4 unicast
  network {NETWORK}
""")
        for p in (self.dir, self.dir / "frr.conf"):
            os.chown(p, frr.pw_uid, frr.pw_gid)

    def start(self):
        name = self.lab.ns(self.host)
        for daemon, more in (("zebra", ["-s", "90000000"]), ("bfdd", ["--bfdctl", self.dir / "bfdd.sock"]),
                             ("bgpd", ["-l", self.listens, "-P", "0"])):
            vty = ["--vty_socket", self.dir] + (["-P", "0"] if daemon != "bgpd" else [])
            config = self.dir / ("frr.conf" if daemon == "bgpd" else "empty.conf")
            (self.dir / "empty.conf").touch()
            self.lab.spawn(f"{self.host}-{daemon}", name, f"/usr/lib/frr/{daemon}", "-f", config,
                           "-i", self.dir / f"{daemon}.pid", "-z", self.dir / "zserv", *vty, *more)
            wait.until(f"{daemon} is there", lambda d=daemon: (self.dir / f"{d}.vty").exists())

    def ctl(self, command):
        return ns.run(self.lab.ns(self.host), "vtysh", "--vty_socket", self.dir, "-c", command, check=False).stdout

    def up(self):
        return '"status":"up"' in self.ctl("show bfd peers json").replace(" ", "")


def two_routers(labs, timers):
    lab = labs(nodes=1, start=False, manifest=POOL + peer("tor1", TOR1, timers) + peer("tor2", TOR2, timers))
    lab.join("tor2", TOR2)
    return lab, lab.nodes[0]


def next_hops(node):
    routes = ns.ip_json(node.ns, "route", "show", NETWORK)
    return sorted(h["gateway"] for r in routes for h in r.get("nexthops", [r]) if "gateway" in h)


def cut(lab, host):
    """Nothing passes any more, and nobody is told."""
    ns.run(lab.ns(host), "nft", "-f", "-", input="""
table netdev cut { chain in { type filter hook ingress device eth1 priority 0; policy drop; }
}
table inet cut { chain out { type filter hook output priority 0; policy accept; oifname eth1 drop
}
}
""")


def heal(lab, host):
    ns.run(lab.ns(host), "nft", "flush ruleset")


def ended_by_bfd(node, address):
    """How many sessions with that peer BFD has ended so far."""
    return sum(f"peer={address} from=Established" in line and "BFD" in line for line in node.log().splitlines())


LIMIT_S, TRIES = 1.0, 5


def leave(node, address, left, act, undo):
    """After act() traffic no longer goes to that next hop: by BFD, in a fraction of a second. The best of some tries counts: a machine that
    stands still for three times 150 ms breaks paths by itself, and is late; a hold time that had to run out would be late every time."""
    tries = []
    while True:
        wait.until(lambda: f"both paths: {next_hops(node)}", lambda: both_watched(node))
        ends = ended_by_bfd(node, address)
        act()
        cut_at = time.monotonic()
        wait.until(lambda: f"the route goes elsewhere: {next_hops(node)}", lambda: next_hops(node) == left, step=0.002)
        took, n = time.monotonic() - cut_at, neighbor(node, address)
        tries.append((took, n["state"], ended_by_bfd(node, address) - ends, n["bfd"]))
        if took < LIMIT_S and n["state"] != "Established" and ended_by_bfd(node, address) > ends and \
                n["bfd"]["diagnostic"] == "control detection time expired":
            return
        assert len(tries) < TRIES, tries
        undo()


def both_watched(node):
    return next_hops(node) == [TOR1, TOR2] and all(bfd(node, a).get("state") == "Up" for a in (TOR1, TOR2))


@pytest.mark.parametrize("router", [Bird, Frr], ids=["BIRD", "FRR"])
def test_timers_are_negotiated_and_a_cut_path_is_left(labs, router):
    lab, node = two_routers(labs, "150ms*3")
    tors = [router(lab, host, address, interval=router.ms(150)) for host, address in (("tor", TOR1), ("tor2", TOR2))]
    for t in tors:
        t.start()
    node.start()
    wait.until(lambda: f"both paths {next_hops(node)}", lambda: next_hops(node) == [TOR1, TOR2])
    for address, t in zip((TOR1, TOR2), tors):
        wait.until(lambda a=address: f"BFD is up: {bfd(node, a)}", lambda a=address: bfd(node, a).get("state") == "Up")
        wait.until("at the router, too", t.up)
        wait.until(lambda a=address: f"what was negotiated {bfd(node, a)}", lambda a=address: bfd(node, a)["detectionMs"] == 450 and
                   bfd(node, a)["transmitMs"] == 150)
    leave(node, TOR1, [TOR2], lambda: cut(lab, "tor"), lambda: heal(lab, "tor"))
    heal(lab, "tor")
    # a port of the switch goes down: the neighbour is silent, the node's own link stays up
    port = lambda how: ns.ip(lab.ns("fabric"), "link", "set", "p-tor2", how)
    leave(node, TOR2, [TOR1], lambda: port("down"), lambda: port("up"))


def test_slower_of_the_two_counts(labs):
    """Ours sends every 80 ms and takes one every 1600; BIRD sends every 400 and takes one every 400."""
    lab = labs(nodes=1, start=False, manifest=POOL + peer("tor", TOR1, "80ms/1600ms*4"))
    node, tor = lab.nodes[0], Bird(lab, "tor", TOR1, Bird.ms(400))
    tor.start()
    node.start(wait_ready=False)
    wait.until(lambda: f"{bfd(node, TOR1)}", lambda: bfd(node, TOR1).get("state") == "Up" and
               bfd(node, TOR1)["transmitMs"] == 400 and bfd(node, TOR1)["detectionMs"] == 4800)
    shown = lambda: [line.split()[-2:] for line in tor.ctl("show", "bfd", "sessions").splitlines() if NODE in line]
    wait.until(shown, lambda: shown() == [["1.600", "1.600"]])  # its interval, and four times our 400 ms
    before = bfd(node, TOR1)
    # new timers are negotiated, the session stays
    lab.apply(peer("tor", TOR1, "800ms*3"))
    wait.until(lambda: f"{bfd(node, TOR1)}", lambda: bfd(node, TOR1)["transmitMs"] == 800 and
               bfd(node, TOR1)["detectionMs"] == 2400)
    after = bfd(node, TOR1)
    assert after["downs"] == 0 and after["localDiscriminator"] == before["localDiscriminator"]
    assert neighbor(node, TOR1)["flaps"] == 0


@pytest.mark.parametrize("router", [Bird, Frr], ids=["BIRD", "FRR"])
def test_bfd_is_switched_off_here(labs, router):
    """The router is told AdminDown. BIRD 2.0 and FRR 8.4 take that for Down and end the session once, against RFC 5882 4.2; it
    comes back without BFD."""
    lab = labs(nodes=1, start=False, manifest=POOL + peer("tor", TOR1, PATIENT))
    node, tor = lab.nodes[0], router(lab, "tor", TOR1, interval=router.ms(1000))
    tor.start()
    node.start()
    wait.until("BFD is up", lambda: bfd(node, TOR1).get("state") == "Up" and tor.up())
    lab.apply(peer("tor", TOR1, "off"))
    wait.until("no BFD here", lambda: not bfd(node, TOR1))
    wait.until("nor there", lambda: not tor.up())
    wait.until("BGP without it", lambda: neighbor(node, TOR1)["state"] == "Established" and NETWORK in node.routes())


def test_bird_switches_it_off(labs):
    lab = labs(nodes=1, start=False, manifest=POOL + peer("tor", TOR1, PATIENT))
    node, tor = lab.nodes[0], Bird(lab, "tor", TOR1, Bird.ms(1000))
    tor.start()
    node.start()
    wait.until("BFD is up", lambda: bfd(node, TOR1).get("state") == "Up")
    conf = tor.dir / "bird.conf"
    conf.write_text(conf.read_text().replace("bfd on;", ""))
    tor.ctl("configure")
    wait.until(lambda: f"down here {bfd(node, TOR1)}", lambda: bfd(node, TOR1)["state"] != "Up")
    n = neighbor(node, TOR1)
    if n["bfd"]["remoteDiagnostic"] == "administratively down":
        assert n["flaps"] == 0 and n["state"] == "Established"


def test_several_hops(labs):
    """The node behind the router: port 4784, and a path that breaks in the middle."""
    lab = labs(nodes=2, split=1, start=False, manifest=POOL + """---
apiVersion: projectcalico.org/v3
kind: BGPConfiguration
metadata: {name: default, annotations: {margay.io/bfd: "1000ms*5", margay.io/holdTime: "30s"}}
spec: {}
""")
    one, two = lab.nodes
    for node in lab.nodes:
        node.start(wait_ready=False)
    for node, other in ((one, two), (two, one)):
        wait.until(lambda n=node, o=other: f"{bfd(n, o.address)}", lambda n=node, o=other: bfd(n, o.address).get("state") == "Up" and
                   bfd(n, o.address)["way"] == "multihop" and bfd(n, o.address)["detectionMs"] == 5000)
        wait.until(lambda n=node, o=other: f"BGP is up: {neighbor(n, o.address)}", lambda n=node, o=other: (
            neighbor(n, o.address)["state"], neighbor(n, o.address)["holdSeconds"]) == ("Established", 30))
    ends = ended_by_bfd(one, two.address)
    ns.run(lab.ns("tor"), "sysctl", "-qw", "net.ipv4.ip_forward=0")
    wait.until("the session ends", lambda: neighbor(one, two.address)["state"] != "Established", 25)
    assert ended_by_bfd(one, two.address) > ends
    ns.run(lab.ns("tor"), "sysctl", "-qw", "net.ipv4.ip_forward=1")
    wait.until("it is back", lambda: neighbor(one, two.address)["state"] == "Established" and
               bfd(one, two.address)["state"] == "Up", 60)


def test_restart_of_the_agent_is_not_a_broken_path(labs):
    """Neighbours without BFD on their routes: SIGTERM says AdminDown first, so they keep the routes (RFC 5882 4.2, RFC 4724)."""
    lab = labs(nodes=2, tor=False, start=False, manifest=POOL + MESH % PATIENT)
    one, two = lab.nodes
    for node in lab.nodes:
        node.start()
    two.add_pod("p")
    [block] = two.ctl_json("node", "status")["blocks"]
    wait.until("BFD is up", lambda: bfd(one, two.address).get("state") == "Up")
    wait.until("the block", lambda: block in one.routes())
    # switched off at one end: no news about the path
    lab.apply(MESH % "off")
    wait.until("no BFD", lambda: not bfd(one, two.address))
    lab.apply(MESH % PATIENT)
    wait.until("BFD is up again", lambda: bfd(one, two.address).get("state") == "Up")
    assert neighbor(one, two.address)["flaps"] == 0
    for how in ("stop", "kill"):
        getattr(two, how)()
        wait.until("the end is seen", lambda: neighbor(one, two.address)["state"] != "Established" and
                   bfd(one, two.address)["state"] != "Up")
        assert block in one.routes(), how
        two.start()
        wait.until("all is up again", lambda: neighbor(one, two.address)["state"] == "Established" and
                   bfd(one, two.address)["state"] == "Up")
        assert block in one.routes(), how


def send_udp(namespace, source, to, port, payload, ttl=255, times=1):
    ns.run(namespace, "python3", "-c", f"""
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, {ttl})
s.bind(({source!r}, 0))
for i in range({times}):
    s.sendto(bytes.fromhex({payload.hex()!r}), ({to!r}, {port}))
""")


def packet(state, my, your=0, length=24):
    return struct.pack("!BBBBIIIII", 0x20, state << 6, 3, length, my, your, 50000, 50000, 0)


def test_what_does_not_belong_is_dropped(labs):
    """A session that is up stays up, whatever strangers send; the log does not fill."""
    lab = labs(nodes=1, start=False, manifest=POOL + peer("tor", TOR1, PATIENT))
    node, tor = lab.nodes[0], Bird(lab, "tor", TOR1, Bird.ms(1000))
    tor.start()
    node.start()
    wait.until("BFD is up", lambda: bfd(node, TOR1).get("state") == "Up")
    disc = bfd(node, TOR1)["localDiscriminator"]
    lab.join("mallory", "192.168.61.99")
    down = packet(1, 0x666, disc)
    mallory, router = lab.ns("mallory"), lab.ns("tor")
    for source_ns, source, payload, ttl in (
            (mallory, "192.168.61.99", down, 255),          # a stranger knows the discriminator
            (router, TOR1, down, 254),                      # from more than a hop away
            (router, TOR1, packet(1, 0x666, disc ^ 1), 255),  # of no session
            (router, TOR1, b"", 255), (router, TOR1, b"\x20", 255), (router, TOR1, down + bytes(2000), 254),
            (router, TOR1, packet(3, 0x666, 0), 255), (router, TOR1, packet(1, 0, disc), 255)):
        send_udp(source_ns, source, NODE, 3784, payload, ttl, times=200)
        send_udp(source_ns, source, NODE, 4784, payload, ttl, times=50)
    wait.until("all were read", lambda: node.nothing_waits("-ua", "sport = :3784 or sport = :4784"))
    wait.until("it is said", lambda: "dropped a packet" in node.log())
    now = bfd(node, TOR1)
    assert now["state"] == "Up" and now["downs"] == 0, now
    assert neighbor(node, TOR1)["flaps"] == 0
    assert node.log().count("dropped a packet") < 100


def test_survives_a_full_table(labs):
    """200 000 routes of one router into the kernel while another one is watched with 3 x 100 ms. Late on one's own
    side is not the neighbour's silence; what the neighbour hears must come in time, too."""
    lab = labs(nodes=1, start=False, manifest=POOL + peer("tor1", TOR1, "100ms*3") + peer("tor2", TOR2, "off"))
    lab.join("tor2", TOR2)
    node, tor = lab.nodes[0], Bird(lab, "tor", TOR1, Bird.ms(100))
    tor.start()
    node.start(wait_ready=False)
    wait.until("BFD is up", lambda: bfd(node, TOR1).get("state") == "Up")
    big = Bird(lab, "tor2", TOR2)
    conf = big.dir / "bird.conf"
    routes = "".join(f"route 10.{i >> 12 & 255}.{i >> 4 & 255}.{(i & 15) << 4}/28 blackhole;\n" for i in range(200000))
    conf.write_text(conf.read_text().replace("bfd on;", "").replace("export all;", "export none;").replace(
        "route 203.0.113.0/24 blackhole;", routes))
    installed = lambda: node.ctl_json("node", "status")["routes"]["installed"]
    losses = lambda: (bfd(node, TOR1).get("downs"), neighbor(node, TOR1)["flaps"])
    lost = []
    while not lost or lost[-1][0] != lost[-1][1]:  # a machine that stands still for 300 ms is no fault of ours, every time it is
        assert len(lost) < TRIES, lost
        wait.until("BFD is up", lambda: bfd(node, TOR1).get("state") == "Up")
        before = losses()
        big.start()
        wait.until("all routes are in the kernel", lambda: installed() > 200000, 240, step=0.5)
        big.proc.kill()
        big.proc.wait()
        wait.until("they are gone", lambda: installed() < 1000, 300, step=0.5)
        lost.append((before, losses()))
