"""Route reflection (RFC 4456) between ours and Calico's BIRD: either is the reflector of the other, there is no mesh; and roads through
tunnels, of which Calico's side is Felix's and ours follows the BGP next hop."""

import json

import pytest

from deploy.lab import ns, wait
from deploy.lab.traffic import Flow

from encap import IPIP, pool
from mixed import CalicoNode, join
from test_mixed_mesh import MESH, POOL, block_of, is_up, lose_nothing, neighbor, paths

CLUSTER = "244.0.0.1"
TO_REFLECTORS = """apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: reflectors}
spec: {nodeSelector: "all()", peerSelector: "has(reflector)"}
---
"""


def node_of(lab, name):
    item = json.loads(lab.ctl("get", "node", name, "-o", "json").stdout)
    item["metadata"].pop("resourceVersion", None)
    return item


def make_reflector(lab, name):
    item = node_of(lab, name)
    item["metadata"].setdefault("labels", {})["reflector"] = "yes"
    item["spec"]["bgp"]["routeReflectorClusterID"] = CLUSTER
    lab.ctl("apply", "-f", "-", stdin=json.dumps(item))


@pytest.fixture
def three_of_two(labs):
    """node1 and node2 of ours and Calico's; no mesh, sessions with reflectors only."""
    lab = labs(nodes=2, tor=False, start=False, manifest=POOL + MESH % ("false", "") + TO_REFLECTORS)
    join(lab, "calico", 9)
    lab.calico = CalicoNode(lab, "calico", 9)
    lab.apply(lab.calico.node)
    for node in lab.nodes:
        node.start(wait_ready=False)
    for node in lab.nodes:
        wait.until(f"{node.name} is a Node", lambda n=node: node_of(lab, n.name)["spec"]["bgp"]["ipv4Address"])
    return lab


def reach_each_other(*pods):
    wait.until("pods reach each other", lambda: all(a.ping(b.ip) for a in pods for b in pods if a is not b))


def test_ours_reflects_to_bird(three_of_two):
    lab, (one, two), calico = three_of_two, three_of_two.nodes, three_of_two.calico
    make_reflector(lab, one.name)
    calico.peers = {one.address: 64512}
    calico.start()
    wait.until("sessions with the reflector", lambda: is_up(one, two.address) and is_up(one, calico.address), 60)
    assert neighbor(two, calico.address)["state"] == "absent"
    pod2, podc = two.add_pod("pod2"), calico.add_pod("podc", 200)
    block = block_of(two)
    wait.until(lambda: calico.route(block), lambda: f"BGP.next_hop: {two.address}" in calico.route(block))
    told = calico.route(block)
    assert f"BGP.originator_id: {two.address}" in told and f"BGP.cluster_list: {CLUSTER}" in told, told
    assert "BGP.local_pref: 2147482623" in told
    wait.until(lambda: two.routes(), lambda: f"{calico.block} via {calico.address} " in two.routes())
    reach_each_other(pod2, podc)
    # the reflector is killed: its clients keep what it told them
    flows = [Flow(pod2, podc), Flow(podc, pod2, port=7008)]
    one.kill()
    wait.until("the clients have seen it", lambda: not is_up(two, one.address) and not calico.up())
    one.start(wait_ready=False)
    wait.until("it is back", lambda: is_up(one, two.address) and is_up(one, calico.address), 60)
    wait.until("and reflects", lambda: any(not p["stale"] for p in paths(two, calico.block)), 60)
    lose_nothing(flows)
    # a block that goes is withdrawn through the reflector
    pod2.delete()
    calico.block, gone = "172.31.255.128/26", calico.block
    calico.configure()
    wait.until("the new one on node2", lambda: calico.block in two.routes())
    wait.until("the old one is gone", lambda: gone not in two.routes())


def test_bird_reflects_to_ours(three_of_two):
    lab, (one, two), calico = three_of_two, three_of_two.nodes, three_of_two.calico
    make_reflector(lab, "calico")
    calico.peers = {n.address: 64512 for n in lab.nodes}
    calico.options = {n.address: f"  rr client;\n  rr cluster id {CLUSTER};\n" for n in lab.nodes}
    calico.start()
    wait.until("sessions with the reflector", lambda: all(is_up(n, calico.address) for n in lab.nodes), 60)
    assert neighbor(one, two.address)["state"] == "absent"
    pod1, pod2, podc = one.add_pod("pod1"), two.add_pod("pod2"), calico.add_pod("podc", 200)
    for here, there in ((one, two), (two, one)):
        wait.until(lambda h=here: h.routes(), lambda h=here, t=there: f"{block_of(t)} via {t.address} " in h.routes())
        [path] = paths(here, block_of(there))
        assert (path["originatorId"], path["clusterList"], path["localPref"]) == (there.address, [CLUSTER], 2147482623), path
        # what it says itself comes back from nobody: the originator is we
        assert [p for p in paths(here, block_of(here)) if p.get("peer")] == []
    reach_each_other(pod1, pod2, podc)
    flows = [Flow(pod1, pod2), Flow(pod2, podc, port=7008)]
    calico.kill()
    wait.until("the clients have seen it", lambda: not is_up(one, calico.address) and not is_up(two, calico.address))
    calico.start()
    wait.until("it is back", lambda: all(is_up(n, calico.address) for n in lab.nodes), 60)
    wait.until("fresh", lambda: any(not p["stale"] for p in paths(one, block_of(two))), 60)
    lose_nothing(flows)


# ---- tunnels ----

@pytest.mark.parametrize("mode", ["none", *(["ipip-always", "ipip-cross"] if IPIP else [])])
def test_roads(labs, mode):
    """node1 is on the segment of Calico's node, node2 behind the router: by which road each goes to the other, and that packets pass."""
    lab = labs(nodes=2, split=1, start=False, manifest=pool(mode) + "---\n" + MESH % ("true", ""))
    one, two = lab.nodes
    join(lab, "calico", 9)
    calico = lab.calico = CalicoNode(lab, "calico", 9)
    ns.ip(calico.ns, "route", "add", "192.168.62.0/24", "via", "192.168.61.1")
    lab.apply(calico.node.replace("spec: {bgp: {", 'spec: {bgp: {ipv4IPIPTunnelAddr: "172.31.255.192", '))
    ours_tunnel = {one: mode == "ipip-always", two: mode.startswith("ipip")}
    if mode != "none":
        calico.kernel = f"  if (net ~ {calico.pool} && source = RTS_BGP) then {{ reject; }} # Felix's"
        if "tunl0" not in ns.ip(calico.ns, "link"):
            ns.ip(calico.ns, "link", "add", "tunl0", "type", "ipip")
        ns.ip(calico.ns, "link", "set", "tunl0", "up", "mtu", "1480")
        ns.ip(calico.ns, "addr", "add", "172.31.255.192/32", "dev", "tunl0")
    for node in lab.nodes:
        node.start(wait_ready=False)
    calico.peers = {n.address: 64512 for n in lab.nodes}
    calico.start()
    wait.until("the mesh is up", lambda: all(is_up(n, calico.address) for n in lab.nodes), 60)
    pods = [n.add_pod(f"pod{n.index}") for n in lab.nodes]
    podc = calico.add_pod("podc", 200)
    for node in lab.nodes:
        gateway = calico.address if node is one or mode != "none" else "192.168.62.1"
        dev = "tunl0" if ours_tunnel[node] else "eth1"
        road = f"{calico.block} via {gateway} dev {dev} proto 80 onlink"
        wait.until(lambda n=node: n.routes(), lambda n=node, r=road: r in n.routes())
        wait.until("our block in BIRD's table", lambda n=node: f"BGP.next_hop: {n.address}" in calico.route(block_of(n)))
        if mode != "none":  # as Felix
            how = ("tunl0", node.address) if ours_tunnel[node] else ("eth1", node.address)
            ns.ip(calico.ns, "route", "replace", block_of(node), "via", how[1], "dev", how[0], "onlink", "proto", "80")
    # without a tunnel the router between the segments would have to know the blocks, and it has no BGP here
    there = pods if mode != "none" else pods[:1]
    reach_each_other(*there, podc)
    assert podc.ping(there[-1].ip, count=20)
