"""The same conversation with BIRD, FRR, GoBGP, OpenBGPD and ExaBGP as top-of-rack routers: docs/rfc.md says what each RFC wants,
this that others understand it the same way."""

import pytest

from deploy.lab import wait

from routers import NETWORK, ROUTERS, TOR

MANIFEST = """
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: pool}
spec: {cidr: 172.30.0.0/16, blockSize: 26}
---
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: tor}
spec: {peerIP: 192.168.61.1, asNumber: 65001, filters: [tor]%s}
"""


@pytest.fixture(params=ROUTERS, ids=lambda r: r.__name__)
def pair(request, labs):
    """One node and one router of each kind, which know of each other; pod p on the node."""
    lab = labs(nodes=1, tor=True, start=False, manifest=MANIFEST % "")
    router = request.param(lab)
    router.start()
    node = lab.nodes[0]
    node.start()
    established(node)
    node.add_pod("p")
    return lab, node, router


LONG = MANIFEST.replace("metadata: {name: tor}", 'metadata: {name: tor, annotations: {margay.io/longLivedGracefulRestart: 1h}}') \
    % ", maxRestartTime: 1s"


@pytest.fixture(params=[r for r in ROUTERS if r.long_lived], ids=lambda r: r.__name__)
def long_pair(request, labs):
    """Both are to be kept for a second, and then as the last resort for an hour."""
    lab = labs(nodes=1, tor=True, start=False, manifest=LONG)
    router = request.param(lab, stale_s=3600)
    router.start()
    node = lab.nodes[0]
    node.start()
    established(node)
    node.add_pod("p")
    return lab, node, router


def neighbor(node):
    return next((n for n in node.ctl_json("bgp", "neighbors")["neighbors"] if n["address"] == TOR), {"state": "absent"})


def established(node, seconds=90):
    wait.until(lambda: f"Established: {neighbor(node)}", lambda: neighbor(node)["state"] == "Established", seconds)


def block_of(node):
    return node.ctl_json("node", "status")["blocks"][0]


def test_routes_go_both_ways_and_come_back(pair):
    lab, node, router = pair
    block = block_of(node)
    wait.until("the block at the router", lambda: block in router.routes())
    wait.until("the router's network in the kernel", lambda: NETWORK in node.routes())
    # a filter that puts a community on: the route is told again, the session stays
    lab.apply("""
apiVersion: projectcalico.org/v3
kind: BGPFilter
metadata: {name: tor}
spec: {exportV4: [{cidr: 172.30.0.0/16, matchOperator: In, action: Accept, operations: [{addCommunity: {value: "64512:77"}}]}]}
""")
    wait.until("the community at the router", lambda: router.community(64512, 77))
    # one that rejects: it goes
    lab.apply("""
apiVersion: projectcalico.org/v3
kind: BGPFilter
metadata: {name: tor}
spec: {exportV4: [{action: Reject}], importV4: [{cidr: 203.0.113.0/24, matchOperator: Equal, action: Reject}]}
""")
    wait.until("the block gone from the router", lambda: block not in router.routes())
    wait.until("the router's network gone", lambda: NETWORK not in node.routes())
    assert neighbor(node)["state"] == "Established"
    lab.ctl("delete", "bgpfilter", "tor")
    wait.until("the block is back", lambda: block in router.routes(), 90)
    if router.stays:
        assert neighbor(node).get("flaps", 0) == 0
    if not router.refreshes:
        router.kill()
        router.start()
        wait.until("the router's network is back", lambda: NETWORK in node.routes(), 90)
        return
    wait.until("the router's network is back", lambda: NETWORK in node.routes())
    assert neighbor(node).get("flaps", 0) == 0


def test_the_router_is_killed_and_comes_back(pair):
    lab, node, router = pair
    block = block_of(node)
    wait.until("the router's network in the kernel", lambda: NETWORK in node.routes())
    router.kill()
    wait.until("the end is seen", lambda: neighbor(node)["state"] != "Established")
    router.start()
    established(node)
    wait.until("the block at the router", lambda: block in router.routes())
    wait.until("the router's network in the kernel", lambda: NETWORK in node.routes())


def test_the_node_is_killed_and_comes_back(pair):
    lab, node, router = pair
    block = block_of(node)
    wait.until("the block at the router", lambda: block in router.routes())
    wait.until("the router's network in the kernel", lambda: NETWORK in node.routes())
    kept, forwarded = [], []

    def look():
        said = router.routes()
        if said:  # its tool may not get through while much else goes on
            kept.append(block in said)
    node.kill()
    look()
    node.start()

    def back():
        look()
        forwarded.append(NETWORK in node.routes())
        return neighbor(node)["state"] == "Established"
    wait.until("Established", back, 90)
    wait.until("the block at the router", lambda: block in router.routes())
    look()
    assert all(forwarded), "the kernel keeps forwarding all the time"
    if router.helps:
        assert all(kept), "the router keeps the block over the restart"


def path(node):
    return next(iter(node.ctl_json("bgp", "routes", NETWORK)["routes"]), {})


def test_the_router_is_away_for_long(long_pair):
    """RFC 9494: past the restart time its network is a last resort, until it is back and has said its End-of-RIB."""
    lab, node, router = long_pair
    block = block_of(node)
    wait.until("the router's network in the kernel", lambda: NETWORK in node.routes())
    offered = neighbor(node)["capabilities"]["received"]["long-lived-graceful-restart"]
    assert offered["seconds"] == {"ipv4-unicast": 3600}, offered
    router.kill()
    wait.until("kept as the last resort", lambda: path(node).get("longStale"), 60)
    assert NETWORK in node.routes()
    router.start()
    established(node)
    wait.until("fresh again", lambda: path(node).get("longStale") is False, 60)
    assert NETWORK in node.routes()
    wait.until("the block at the router", lambda: block in router.routes(), 60)


def test_the_node_is_away_for_long(long_pair):
    """The other way round: the router keeps our block with LLGR_STALE, and lets the mark go when we are back."""
    lab, node, router = long_pair
    block = block_of(node)
    wait.until("the block at the router", lambda: block in router.routes())
    node.kill()
    wait.until("marked at the router", lambda: router.is_long_stale(block), 60)
    node.start()
    established(node)
    wait.until("the block without the mark", lambda: block in router.routes() and not router.is_long_stale(block), 60)
