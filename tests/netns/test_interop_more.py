"""What test_interop.py leaves out of the scenarios that every router is to be played with: long AS numbers, iBGP with Calico's LOCAL_PREF,
passwords, TTL security, collisions, a peer that freezes, restarts with and without grace, ten thousand prefixes each way, reflection with
every path, five routers of five makes that tell the same network, local AS and own AS in a path."""

import signal
import time

import pytest

from deploy.lab import ns, wait
from deploy.lab.lab import LINK, Lab

from conftest import finish, new_name
from routers import NETWORK, NODE, ROUTERS, TOR, Bird, ExaBgp, Frr, GoBgp, OpenBgpd
from test_bgp_security import secret

POOL = """
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: pool}
spec: {cidr: 172.30.0.0/16, blockSize: 26}
---
"""
PEER = """apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: "%s", annotations: {%s}}
spec: {peerIP: %s, asNumber: %d%s}
---
"""
NO_MESH = """apiVersion: projectcalico.org/v3
kind: BGPConfiguration
metadata: {name: default}
spec: {nodeToNodeMeshEnabled: false}
---
"""
ASN = 4200000001  # takes four octets
PASSWORD = ", password: {secretKeyRef: {name: bgp, key: tor}}"
MANY = 10000


def peer(name="tor", address=TOR, asn=65001, spec="", knobs=""):
    return PEER % (name, knobs, address, asn, spec)


def neighbor(node, address=TOR):
    return next((n for n in node.ctl_json("bgp", "neighbors")["neighbors"] if n["address"] == address), {"state": "absent"})


def is_up(node, address=TOR):
    return neighbor(node, address)["state"] == "Established"


def established(node, address=TOR, seconds=90):
    wait.until(lambda: f"Established: {neighbor(node, address)}", lambda: is_up(node, address), seconds)


def digests_refused(namespace):
    """Segments whose TCP MD5 digest was missing or wrong."""
    names, values = [line.split()[1:] for line in ns.out(namespace, "cat", "/proc/net/netstat").splitlines() if line.startswith("TcpExt:")]
    return sum(int(v) for n, v in zip(names, values) if n.startswith("TCPMD5"))


def block_of(node):
    return node.ctl_json("node", "status")["blocks"][0]


def paths(node, prefix):
    return [p for p in node.ctl_json("bgp", "routes", prefix)["routes"] if p["usable"]]


@pytest.fixture(params=ROUTERS, ids=lambda r: r.__name__, scope="module")
def site(request):
    """One node that is up, with pod p, and a place for a router of each kind: site.router(...), and what was there before is gone with
    vacate() or replace()."""
    lab = Lab(new_name())

    def router(**how):
        lab.now = request.param(lab, **how)
        lab.now.start()
        return lab.now
    lab.router = router
    try:
        lab.up(nodes=1)
        lab.apply(POOL)
        lab.node, lab.kind = lab.nodes[0], request.param
        lab.node.start()
        lab.node.add_pod("p")
        yield lab
    finally:
        finish(request, [lab])


def vacate(lab):
    """No router, no peer, nothing left of either."""
    if hasattr(lab, "now"):
        lab.now.kill()
        del lab.now
    lab.ctl("delete", "bgppeer", "tor", check=False)
    ns.run(lab.ns("tor"), "iptables", "-t", "mangle", "-F", check=False)
    wait.until("the old peer is gone", lambda: neighbor(lab.node)["state"] == "absent" and NETWORK not in lab.node.routes())


def replace(lab, manifest, **how):
    """Another configuration at both ends, as an operator would change it: the peer's object goes, the router comes back different."""
    vacate(lab)
    router = lab.router(**how)
    lab.apply(manifest)
    return router


def both_have_routes(lab, router):
    established(lab.node)
    wait.until("the block at the router", lambda: block_of(lab.node) in router.routes())
    wait.until("the router's network in the kernel", lambda: NETWORK in lab.node.routes())


def test_as_numbers_local_pref_passwords_and_ttl(site):
    """One make after the other through what a session may be; each time routes go both ways."""
    node = site.node
    # RFC 6793: an AS of four octets
    both_have_routes(site, replace(site, peer(asn=ASN), asn=ASN))
    [path] = paths(node, NETWORK)
    assert path["asPath"] == str(ASN) and "localPref" not in path
    # iBGP: Calico's LOCAL_PREF arrives as it is, and theirs (100 unless they say) is a metric of the kernel's
    router = replace(site, peer(asn=64512), asn=64512)
    both_have_routes(site, router)
    wait.until(lambda: f"LOCAL_PREF at the router: {router.routes()[-800:]}", lambda: router.local_pref(block_of(node), 2147482623))
    assert f"dev {LINK} proto 80 metric 2147483547 onlink" in next(x for x in node.routes().splitlines() if x.startswith(NETWORK))
    # RFC 2385: a wrong password, then the right one; then both change it
    secret(node, "bgp", "tor", "right")
    refused = digests_refused(node.ns) + digests_refused(site.ns("tor"))
    router = replace(site, peer(spec=PASSWORD), password="wrong")
    wait.until("a segment with the wrong digest came", lambda: digests_refused(node.ns) + digests_refused(site.ns("tor")) > refused)
    assert not is_up(node)
    router.kill()
    router = site.router(password="right")
    both_have_routes(site, router)
    if site.kind is Frr:  # another key at both ends; the node looks every 10 s. BIRD: test_bgp_security.py
        router.kill()
        secret(node, "bgp", "tor", "another")
        both_have_routes(site, site.router(password="another"))
    # RFC 5082
    router = replace(site, peer(spec=", ttlSecurity: 1"), gtsm=True)
    both_have_routes(site, router)
    minimum = ns.out(node.ns, "ss", "-tnie", "dport", "=", ":179") + ns.out(node.ns, "ss", "-tnie", "sport", "=", ":179")
    assert TOR in minimum, minimum


def test_a_session_without_ttl_security_is_refused(site):
    """The node wants 255; what comes with less is not there, whoever dials."""
    node = site.node
    vacate(site)
    ns.run(site.ns("tor"), "iptables", "-t", "mangle", "-A", "POSTROUTING", "-p", "tcp", "-j", "TTL", "--ttl-set", "64")
    site.router()
    site.apply(peer(spec=", ttlSecurity: 1"))

    def came():
        rows = ns.out(site.ns("tor"), "iptables", "-t", "mangle", "-nvxL", "POSTROUTING")
        return int(rows.splitlines()[2].split()[0])
    wait.until("packets of the router came with 64", lambda: came() > 3, 60)
    assert not is_up(node)
    ns.run(site.ns("tor"), "iptables", "-t", "mangle", "-F", "POSTROUTING")
    ns.run(site.ns("tor"), "iptables", "-t", "mangle", "-A", "POSTROUTING", "-p", "tcp", "-j", "TTL", "--ttl-set", "255")
    established(node, seconds=90)


def test_both_dial_at_once(site):
    """The router is frozen while the node dials, so its kernel takes the connection and nobody answers; thawed after its own time to dial
    has come, it finds that one and makes another at once (RFC 4271 6.8). One is left, and it stays."""
    node = site.node
    vacate(site)
    router = site.router()
    wait.until("the router listens", lambda: f"{TOR}:179" in ns.out(site.ns("tor"), "ss", "-Htln") or
               ":179 " in ns.out(site.ns("tor"), "ss", "-Htln"))
    router.freeze()
    try:
        site.apply(peer())
        wait.until("the node's connection is taken", lambda: neighbor(node)["state"] == "OpenSent")
        then = time.monotonic() + 2.2  # the routers dial again after 2 s at the latest, but for GoBGP
        wait.until("the router is late for its own", lambda: time.monotonic() > then, step=0.2)
    finally:
        router.thaw()
    established(node)
    wait.until("the block at the router", lambda: block_of(node) in router.routes())
    wait.until("the router's network in the kernel", lambda: NETWORK in node.routes())
    wait.until("one connection is left", lambda: len(ns.out(
        node.ns, "ss", "-Htn", "state", "established", "( sport = :179 or dport = :179 )").splitlines()) == 1)
    # FRR 8.4 sometimes closes the connection that it keeps, too, and takes the next: with our Cease/7 on the other, without it, and after
    # one of its own
    assert neighbor(node).get("flaps", 0) <= (site.kind is Frr)


def test_a_router_that_freezes(site):
    """SIGSTOP: TCP lives, BGP does not. The hold time ends it, and without grace what it told goes; SIGCONT brings it back."""
    node = site.node
    router = replace(site, peer(knobs="margay.io/holdTime: 3s"), graceful=False)
    both_have_routes(site, router)
    router.freeze()
    try:
        wait.until("its end is seen", lambda: not is_up(node), 60)
        wait.until("its network is gone", lambda: NETWORK not in node.routes())
        assert "Hold Timer Expired" in str(neighbor(node)), neighbor(node)
    finally:
        router.thaw()
    if site.kind is not GoBgp:  # it rests for ten seconds
        both_have_routes(site, router)


@pytest.mark.parametrize("graceful", [True, False], ids=["graceful", "not"])
def test_a_router_dies(site, graceful):
    """kill -9: with graceful restart its network stays in the kernel until it is back, without it goes at once."""
    node = site.node
    if graceful and site.kind in (OpenBgpd, ExaBgp):
        graceful = None  # OpenBGPD's capability has no family; ExaBGP says that its forwarding was not kept
    router = replace(site, peer(), graceful=graceful is not False)
    both_have_routes(site, router)
    router.kill()
    wait.until("its end is seen", lambda: not is_up(node))
    if graceful:
        assert NETWORK in node.routes() and [p["stale"] for p in paths(node, NETWORK)] == [True]
    elif graceful is False:  # with grace it would stay for two minutes
        wait.until("its network is gone", lambda: NETWORK not in node.routes())
    router.start()
    seen = []

    def back():
        seen.append(NETWORK in node.routes())
        return is_up(node) and seen[-1] and [p["stale"] for p in paths(node, NETWORK)] == [False]
    wait.until("its network is back and fresh", back, 90)
    assert not graceful or all(seen), "it was there all the time"


# ---- ten thousand prefixes ----

FEEDER, FEEDER_AS = "192.168.61.2", 65002


def feeder_conf(router_peer):
    def statics(name, first):
        routes = " ".join(f"route {first}.{i * 4 // 256}.{i * 4 % 256}/30 blackhole;" for i in range(MANY))
        return f"protocol static {name} {{ ipv4; {routes} }}\n"

    def session(name, address, asn, table):
        return f"protocol bgp {name} {{ local {FEEDER} as {FEEDER_AS}; neighbor {address} as {asn}; connect delay time 1; connect retry time 2; " \
               f"error wait time 1, 3; ipv4 {{ import none; export where proto = \"{table}\"; next hop self; }}; }}\n"
    conf = f"router id {FEEDER};\nprotocol device {{ }}\nprotocol direct {{ ipv4; }}\n"
    conf += statics("ours", "172.30") + session("to_node", NODE, 64512, "ours")
    if router_peer:
        conf += statics("theirs", "10.1") + session("to_router", TOR, 65001, "theirs")
    return conf


def test_ten_thousand_prefixes_each_way(site):
    """A feeder tells the router 10000 for the node, and the node 10000 (inside its pool: others it keeps) for the router; then all go."""
    node = site.node
    vacate(site)
    site.join("feed", FEEDER)
    d = site.dir / "feed"
    d.mkdir()
    exa = site.kind is ExaBgp  # it passes nothing on: it makes its own
    (d / "bird.conf").write_text(feeder_conf(not exa))
    site.spawn("feed", site.ns("feed"), "bird", "-f", "-c", d / "bird.conf", "-s", d / "ctl")
    router = site.router(**({"many": MANY, "graceful": False} if exa else {"feeder": (FEEDER, FEEDER_AS), "graceful": False}))
    site.apply(peer() + peer("feed", FEEDER, FEEDER_AS))

    def in_kernel():
        return sum(1 for line in node.routes("root", "10.1.0.0/16").splitlines() if line)

    wait.until(lambda: f"the router's in the kernel: {in_kernel()}", lambda: in_kernel() == MANY, 240, step=0.3)
    wait.until(lambda: f"the node's at the router: {router.count('172.30.')}", lambda: router.count("172.30.") >= MANY, 240, step=0.3)
    assert neighbor(node).get("flaps", 0) == 0
    for name in ("ours", *(() if exa else ("theirs",))):
        ns.out(site.ns("feed"), "birdc", "-s", d / "ctl", "disable", name)
    if exa:
        (router.dir / "exabgp.conf").write_text((router.dir / "exabgp.conf").read_text().split(f"route {NETWORK}")[0]
                                                + f"route {NETWORK} next-hop self; }} }}\n")
        router.proc.send_signal(signal.SIGUSR1)
    wait.until(lambda: f"gone from the kernel: {in_kernel()}", lambda: in_kernel() == 0, 240, step=0.3)
    wait.until(lambda: f"gone from the router: {router.count('172.30.')}", lambda: router.count("172.30.") <= 2, 240, step=0.3)
    assert is_up(node)


# ---- several routers ----

def test_five_makes_tell_the_same(labs):
    """Each of the five tells the same network with a path as long: the kernel shares the load between all of them, and as they go."""
    lab = labs(nodes=1, tor=False, start=False, manifest=POOL + "".join(peer(f"r{i}", f"192.168.61.{i}") for i in range(1, 6)))
    node = lab.nodes[0]
    routers = []
    for i, kind in enumerate(ROUTERS, 1):
        lab.join(f"r{i}", f"192.168.61.{i}")
        routers.append(kind(lab, host=f"r{i}", address=f"192.168.61.{i}", graceful=False))
        routers[-1].start()
    node.start(wait_ready=False)

    def hops():
        return {h["gateway"] for r in ns.ip_json(node.ns, "route", "show", NETWORK) for h in r.get("nexthops", [r])}
    want = {r.address for r in routers}
    wait.until(lambda: f"all five: {hops()}", lambda: hops() == want, 90)
    for router in routers[:-1]:
        router.kill()
        want.remove(router.address)
        wait.until(lambda: f"without {router.address}: {hops()}", lambda: hops() == want, 60)


CLIENTS = ["192.168.61.11", "192.168.61.12", "192.168.61.13"]


@pytest.mark.parametrize("kind", [Bird, Frr, GoBgp, OpenBgpd], ids=lambda k: k.__name__)
def test_a_reflector_with_every_path(labs, kind):
    """RFC 4456 and 7911: three nodes know each other only through a router; what two of them have learned from one edge router comes to
    the third by both."""
    lab = labs(nodes=3, start=False, manifest=POOL + NO_MESH + peer(asn=64512) + peer("edge", "192.168.61.2", 65002, ", node: node1") +
               peer("edge2", "192.168.61.2", 65002, ", node: node2"))
    router = kind(lab, asn=64512, reflects=CLIENTS)
    router.start()
    lab.join("edge", "192.168.61.2")
    edge = Bird(lab, host="edge", address="192.168.61.2", asn=65002, graceful=False)
    edge.peers = [(CLIENTS[0], 64512), (CLIENTS[1], 64512)]
    edge.network = "172.30.255.192/26"  # in a pool: nothing else is told on
    edge.start()
    for node in lab.nodes:
        node.start(wait_ready=False)
    for node in lab.nodes:
        established(node)
        node.add_pod(f"p{node.index}")
    for here in lab.nodes:
        for there in lab.nodes:
            if here is not there:
                wait.until(lambda h=here: h.routes(), lambda h=here, t=there: f"{block_of(t)} via {t.address} dev {LINK}" in h.routes())
                [path] = paths(here, block_of(there))
                assert path["originatorId"] == there.address and len(path["clusterList"]) == 1, path
    three = lab.nodes[2]
    wait.until(lambda: f"both paths: {paths(three, edge.network)}", lambda: sorted(
        (p["originatorId"], p["nextHop"]) for p in paths(three, edge.network)) == [(a, edge.address) for a in CLIENTS[:2]])
    wait.until(lambda: three.routes(), lambda: f"{edge.network} via {edge.address} dev {LINK}" in three.routes())
    edge.kill()
    wait.until("both are gone", lambda: edge.network not in three.routes())
    pods = [n.pods[f"default.p{n.index}"] for n in lab.nodes]
    wait.until("pods reach each other", lambda: all(a.ping(b.ip) for a in pods for b in pods if a is not b))


def test_local_as_and_own_as_in_a_path(labs):
    """localASNumber: the router sees that AS. numAllowedLocalASNumbers: a path that has our AS in it is
    taken, so two racks of one AS reach each other through a router between them."""
    lab = labs(nodes=2, start=False, manifest=POOL + NO_MESH + peer(spec=", localASNumber: 65099"))
    one, two = lab.nodes
    router = Bird(lab)
    router.peers = [(n.address, 65099) for n in lab.nodes]
    router.start()
    for node in lab.nodes:
        node.start(wait_ready=False)
    for node in lab.nodes:
        established(node)
        node.add_pod(f"p{node.index}")
    block = block_of(two)

    def at_router():
        return router.out("birdc", "-r", "-s", router.dir / "ctl", "show", "route", "all", block)
    wait.until(lambda: at_router(), lambda: "BGP.as_path: 65099" in at_router())
    assert "64512" not in at_router(), "as BIRD does: the local AS stands for the node's own, not before it"
    heard = wait.until("the other rack's block is heard", lambda: one.ctl_json("bgp", "routes", block)["routes"])
    assert [p["usable"] for p in heard] == [False] and block not in one.routes(), f"our own AS is in it: {heard}"
    lab.apply(peer(spec=", localASNumber: 65099, numAllowedLocalASNumbers: 2"))
    wait.until(lambda: f"the other rack's block: {paths(one, block)}", lambda: block in one.routes(), 60)
    [path] = paths(one, block)
    assert path["asPath"].split()[0] == "65001" and path["asPath"].split()[1:] == ["65099"], path
