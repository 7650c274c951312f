"""A router that announces the networks of other nodes: what leads to a next hop then is not what BGP has just put into the kernel."""

import time

from deploy.lab import ns, wait

from test_bgp_security import PEER, POOL, bird

TOR, FAR, NETWORK = "192.168.61.1", "10.77.0.1", "203.0.113.0/24"


def answers(node):
    return {r["prefix"]: r for r in node.ctl_json("bgp", "routes")["routes"]}


def bird_of_far(lab, more=""):
    """A router that announces NETWORK with the next hop FAR, on no network of the node's."""
    router = bird(lab, "tor", TOR, "", more=more)
    conf = router.conf.read_text().replace("next hop self;", "").replace(
        "export where source = RTS_STATIC;",
        f"export filter {{ if source != RTS_STATIC then reject; if net = {NETWORK} then bgp_next_hop = {FAR}; accept; }};")
    router.conf.write_text(conf)
    router("configure")
    return router


def test_a_bgp_route_over_a_next_hop_does_not_hide_the_default_route(labs):
    """NETWORK's next hop is behind the default route; then the router announces a network around that next hop, and moves the default."""
    lab = labs(nodes=1, start=False, manifest=POOL + PEER % (TOR, ""))
    node = lab.nodes[0]
    ns.ip(node.ns, "route", "add", "default", "via", "192.168.61.254", "dev", "eth1")
    router = bird_of_far(lab, """
protocol static around { disabled; ipv4; route 10.77.0.0/16 blackhole; }""")
    node.start()

    def gateway(prefix=NETWORK):
        return [r.get("gateway") for r in ns.ip_json(node.ns, "route", "show", prefix)]
    wait.until(lambda: f"{gateway()} {answers(node)}", lambda: gateway() == ["192.168.61.254"])
    router("enable", "around")
    wait.until("the network around it", lambda: gateway("10.77.0.0/16") == [TOR])
    # another default route has the next hops looked at again, with BGP's route over it
    ns.ip(node.ns, "route", "replace", "default", "via", "192.168.61.253", "dev", "eth1")
    wait.until(lambda: f"{gateway()} {answers(node)}", lambda: gateway() == ["192.168.61.253"])
    # and nothing but BGP's route leads there: that is no way
    ns.ip(node.ns, "route", "del", "default")
    wait.until(lambda: f"{gateway()} {answers(node)}", lambda: gateway() == [] and "unreachable" in answers(node)[NETWORK]["why"])


def test_another_default_route_counts_at_once(labs):
    """BGP's routes go by what leads to their next hops now, not ten seconds later."""
    lab = labs(nodes=1, start=False, manifest=POOL + PEER % (TOR, ""))
    node = lab.nodes[0]
    ns.ip(node.ns, "route", "add", "default", "via", "192.168.61.200", "dev", "eth1")
    bird_of_far(lab)
    node.start()

    def gateway():
        return [r.get("gateway") for r in ns.ip_json(node.ns, "route", "show", NETWORK)]
    wait.until(lambda: f"{gateway()} {answers(node)}", lambda: gateway() == ["192.168.61.200"])
    took = []
    for i in range(201, 206):
        ns.ip(node.ns, "route", "replace", "default", "via", f"192.168.61.{i}", "dev", "eth1")
        began = time.monotonic()
        wait.until(lambda: f"{gateway()}", lambda gw=f"192.168.61.{i}": gateway() == [gw])
        took.append(time.monotonic() - began)
    # the first may come with a round of every ten seconds, those after it then would not
    assert sorted(took)[1] < 5, took
