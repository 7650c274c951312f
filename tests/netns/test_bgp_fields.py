"""Fields of Calico's BGP resources that have no test elsewhere: pods that peer with their own node (localWorkloadSelector,
localWorkloadPeeringIPV4), interfaces that are no way to a next hop (ignoredInterfaces); and of the annotations those that are about
what a path may look like."""

import json

from deploy.lab import ns, wait
from deploy.lab.lab import LINK

TOR, NODE, SIDE, NETWORK = "192.168.61.1", "192.168.61.11", "169.254.77.1", "203.0.113.0/24"

POOL = """
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: pods}
spec: {cidr: 172.31.0.0/16}
"""

HOST = """---
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: default}
spec: {defaultEndpointToHostAction: Accept}
"""


def configuration(fields):
    return f"""---
apiVersion: projectcalico.org/v3
kind: BGPConfiguration
metadata: {{name: default}}
spec: {{{fields}}}
"""


PODS = """---
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: routers}
spec: {localWorkloadSelector: "projectcalico.org/namespace == 'routers'", asNumber: 65010}
"""


def neighbors(node):
    return {n["address"]: n for n in node.ctl_json("bgp", "neighbors")["neighbors"]}


def side_links(node):
    """Links of the node that have the address for pods."""
    links = ns.ip_json(node.ns, "addr", "show")
    return [l["ifname"] for l in links if any(a.get("local") == SIDE for a in l["addr_info"])]


def bird(lab, name, netns, address, asn, node, node_as="64512", options="multihop;", hop=""):
    d = lab.dir / name
    d.mkdir(exist_ok=True)
    (d / "bird.conf").write_text(f"""
router id {address};
protocol device {{ }}
protocol direct {{ ipv4; }}
protocol static {{ ipv4; route {NETWORK} blackhole; }}
protocol bgp node {{ local {address} as {asn}; neighbor {node} as {node_as}; {options} connect delay time 1; connect retry time 1;
  error wait time 1, 2; ipv4 {{ import all; export filter {{ if source != RTS_STATIC then reject; {hop} accept; }};
    {"" if hop else "next hop self;"} }}; }}
""")
    lab.spawn(name, netns, "bird", "-f", "-c", d / "bird.conf", "-s", d / "ctl")
    return lambda *words: ns.out(netns, "birdc", "-s", d / "ctl", *words)


def test_pods_peer_with_their_own_node(labs):
    lab = labs(nodes=1, tor=False, manifest=POOL + HOST + configuration(f"localWorkloadPeeringIPV4: {SIDE}") + PODS)
    node = lab.nodes[0]
    router, other = node.add_pod("r", namespace="routers"), node.add_pod("web")
    address = router.ip
    [link] = wait.until("the address on the link of that pod", lambda: side_links(node))
    [block] = node.ctl_json("node", "status")["blocks"]
    ctl = bird(lab, "podbird", router.ns, address, 65010, SIDE)
    n = wait.until("Established", lambda: neighbors(node)[address]["state"] == "Established" and neighbors(node)[address])
    assert n["name"] == "Local_Workload_" + address.replace(".", "_") and list(neighbors(node)) == [address], n
    wait.until("what the pod announces goes to it", lambda: f"{NETWORK} via {address} dev {link}" in node.routes())
    wait.until("the pod hears the block", lambda: f"BGP.next_hop: {SIDE}" in ctl("show", "route", "all", block))
    # taken away by somebody, it is back within the ten seconds of a round
    ns.ip(node.ns, "addr", "del", f"{SIDE}/32", "dev", link)
    wait.until("the address is back", lambda: side_links(node) == [link])
    # CHECK finds nothing wrong with either
    router.check()
    other.check()
    lab.ctl("delete", "bgppeer", "routers")
    wait.until("all of it goes", lambda: not neighbors(node) and not side_links(node) and NETWORK not in node.routes())


def test_an_ignored_interface_is_no_way_to_a_next_hop(labs):
    lab = labs(nodes=1, start=False, manifest=POOL + configuration("") + """---
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: tor}
spec: {peerIP: %s, asNumber: 65001}
""" % TOR)
    node = lab.nodes[0]
    ns.ip(node.ns, "link", "add", "store0", "type", "bridge")
    ns.ip(node.ns, "addr", "add", "198.51.100.1/24", "dev", "store0")
    ns.ip(node.ns, "link", "set", "store0", "up")
    bird(lab, "tor", lab.ns("tor"), TOR, 65001, NODE, hop="bgp_next_hop = 198.51.100.9;", options="direct;")
    node.start(wait_ready=False)
    wait.until("over the second network", lambda: f"{NETWORK} via 198.51.100.9 dev store0" in node.routes(), 60)
    lab.apply(configuration('ignoredInterfaces: ["br0", "store?"]'))
    wait.until("ignored", lambda: NETWORK not in node.routes())
    assert neighbors(node)[TOR]["state"] == "Established", f"only {LINK} carries the session"
    lab.apply(configuration(""))
    wait.until("and used again", lambda: f"{NETWORK} via 198.51.100.9 dev store0" in node.routes())


def tor_peer(**notes):
    return """---
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: tor, annotations: {%s}}
spec: {peerIP: %s, asNumber: 65001}
""" % (", ".join(f'margay.io/{k}: "{v}"' for k, v in notes.items()), TOR)


def test_a_route_server_with_roles(labs):
    lab = labs(nodes=1, start=False, manifest=POOL + configuration("") + tor_peer())
    node = lab.nodes[0]
    # it puts no AS of its own in front, and wants to hear our role
    bird(lab, "tor", lab.ns("tor"), TOR, 65001, NODE, hop=f"bgp_path.prepend(65099); bgp_next_hop = {TOR};",
         options="direct; rs client; local role rs_server; require roles on;")
    node.start(wait_ready=False)

    def refused(words):
        n = neighbors(node).get(TOR, {})
        return n.get("state") != "Established" and words in json.dumps(n) and n
    wait.until("refused without a role", lambda: refused("Role Mismatch"), 60)
    lab.apply(tor_peer(role="customer"))
    wait.until("refused with a wrong one", lambda: refused("does not go with ours"), 60)
    lab.apply(tor_peer(role="route-server-client strict"))
    n = wait.until("Established", lambda: neighbors(node)[TOR]["state"] == "Established" and neighbors(node)[TOR], 60)
    one = node.ctl_json("bgp", "neighbors", TOR)["neighbors"][0]
    assert one["capabilities"]["sent"]["role"] == "route-server-client", (n, one)

    def path():
        return next(iter(node.ctl_json("bgp", "routes", NETWORK)["routes"]), {})
    wait.until("its path is seen, and not used", lambda: path().get("why") == "its path does not begin with the peer's AS")
    assert not path()["usable"] and NETWORK not in node.routes()
    lab.apply(tor_peer(role="route-server-client strict", enforceFirstAS="false"))
    wait.until("and is used now", lambda: f"{NETWORK} via {TOR}" in node.routes(), 60)
    assert path()["asPath"] == "65099"
    # one that cannot be read is named, and its session is left out
    lab.apply(tor_peer(role="boss"))
    wait.until("named", lambda: "margay.io/role" in node.ctl("node", "status").stdout and not neighbors(node))
