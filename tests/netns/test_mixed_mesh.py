"""A mesh in which one node is Calico's: BIRD with confd's configuration (mixed.py) beside two margay nodes. Its address sorts as a text
behind theirs and as a number before them, so the mesh only comes up where texts are compared, as Calico does."""

import json

import pytest

from deploy.lab import ns, wait
from deploy.lab.lab import LINK, Lab
from deploy.lab.traffic import Flow

from conftest import finish, make_lab, new_name
from mixed import CalicoNode, join

POOL = """
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: pods}
spec: {cidr: 172.31.0.0/16, blockSize: 26, natOutgoing: false}
---
"""
MESH = """apiVersion: projectcalico.org/v3
kind: BGPConfiguration
metadata: {name: default}
spec: {nodeToNodeMeshEnabled: %s%s}
---
"""


def neighbor(node, address):
    return next((n for n in node.ctl_json("bgp", "neighbors")["neighbors"] if n["address"] == address), {"state": "absent"})


def is_up(node, address):
    return neighbor(node, address)["state"] == "Established"


def block_of(node):
    [block] = node.ctl_json("node", "status")["blocks"]
    return block


def paths(node, prefix):
    return node.ctl_json("bgp", "routes", prefix)["routes"]


def lose_nothing(flows):
    done = [f.stop() for f in flows]
    assert all(d["sent"] > 10 for d in done), done
    assert [(d["lost"], d["errors"]) for d in done if d["lost"] or d["errors"]] == [], done


@pytest.fixture(scope="module")
def mesh(request):
    """node1 of ours and Calico's; node2 is there but joins late."""
    lab = Lab(new_name())
    try:
        lab = make_lab(lab.name, nodes=2, tor=False, start=False, manifest=POOL + MESH % ("true", ""))
        join(lab, "calico", 9)
        lab.calico = CalicoNode(lab, "calico", 9)
        one, two = lab.nodes
        lab.apply(lab.calico.node)
        one.start(wait_ready=False)
        lab.calico.peers = {one.address: 64512}
        lab.calico.start()
        one.wait_ready()
        lab.pod1, lab.podc = one.add_pod("pod1"), lab.calico.add_pod("podc", 200)
        wait.until("the mesh is up", lambda: is_up(one, lab.calico.address) and one.address in lab.calico.up(), 60)
    except BaseException:
        finish(request, [lab])
        raise
    yield lab
    finish(request, [lab])


def test_blocks_both_ways_and_pods_reach_each_other(mesh):
    one, calico = mesh.nodes[0], mesh.calico
    wait.until(lambda: f"Calico's block: {one.routes()}",
               lambda: f"{calico.block} via {calico.address} dev {LINK} proto 80 onlink" in one.routes())
    wait.until(lambda: f"our block: {calico.routes()}",
               lambda: f"{block_of(one)} via {one.address} dev {LINK} proto bird metric 1024" in calico.routes())
    wait.until("pods reach each other", lambda: mesh.pod1.ping(mesh.podc.ip) and mesh.podc.ping(mesh.pod1.ip))
    assert mesh.pod1.ping(mesh.podc.ip, count=20)
    # nothing but the block itself: neither the pod's own route nor what the hosts are connected to
    assert calico.birdc("show", "route", mesh.podc.ip + "/32"), "BIRD has learned the pod's route"
    told = {p["prefix"] for p in one.ctl_json("bgp", "routes")["routes"] if p.get("peer") == calico.address}
    assert told == {calico.block}, told


def test_what_each_offers_the_other(mesh):
    one, calico = mesh.nodes[0], mesh.calico
    said = neighbor(one, calico.address)
    assert said["passive"] is True, "192.168.61.9 sorts behind 192.168.61.11"
    shown = calico.birdc("show", "protocols", "all", "Mesh_192_168_61_11")
    assert "AS4" in shown and "Add-path" in shown.replace("ADD-PATH", "Add-path"), shown
    assert "internal multihop AS4" in " ".join(shown.split()), shown
    # Calico's LOCAL_PREF both ways, and so no metric on ours and 1024 on theirs
    wait.until(lambda: calico.route(block_of(one)), lambda: "BGP.local_pref: 2147482623" in calico.route(block_of(one)))
    wait.until(lambda: f"{paths(one, calico.block)}", lambda: [p["localPref"] for p in paths(one, calico.block)] == [2147482623])


def test_communities_both_ways(mesh):
    one, calico = mesh.nodes[0], mesh.calico
    mesh.apply(MESH % ("true", ', communities: [{name: site, value: "64512:555"}], '
                       'prefixAdvertisements: [{cidr: 172.31.0.0/16, communities: [site, "64512:1:2"]}]'))
    wait.until(lambda: calico.route(block_of(one)), lambda: "(64512,555)" in calico.route(block_of(one)) and
               "(64512, 1, 2)" in calico.route(block_of(one)))
    calico.communities = f"  if (net ~ {calico.pool}) then {{ bgp_community.add((64512, 777)); bgp_large_community.add((64512, 7, 8)); }}"
    calico.configure()

    def ours():
        said = json.dumps(paths(one, calico.block))
        return "64512:777" in said and "64512:7:8" in said
    wait.until(lambda: f"{paths(one, calico.block)}", ours)
    mesh.apply(MESH % ("true", ""))
    calico.communities = ""
    calico.configure()
    wait.until("ours are without again", lambda: "(64512,555)" not in calico.route(block_of(one)))
    wait.until("Calico's are without again", lambda: "64512:777" not in json.dumps(paths(one, calico.block)))


def test_a_pool_that_is_not_exported(mesh):
    """disableBGPExport, at either end: the block goes, and the session stays."""
    one, calico = mesh.nodes[0], mesh.calico
    flaps = neighbor(one, calico.address).get("flaps", 0)
    mesh.apply(POOL.replace("natOutgoing", "disableBGPExport: true, natOutgoing"))
    wait.until("our block is gone", lambda: block_of(one) not in calico.routes())
    calico.disabled = f"  if (net ~ {calico.pool}) then {{ reject; }}"
    calico.configure()
    wait.until("Calico's block is gone", lambda: calico.block not in one.routes())
    mesh.apply(POOL.replace("natOutgoing", "disableBGPExport: false, natOutgoing"))
    calico.disabled = ""
    calico.configure()
    wait.until("both are back", lambda: block_of(one) in calico.routes() and calico.block in one.routes())
    assert neighbor(one, calico.address).get("flaps", 0) == flaps


def both_ways(mesh):
    wait.until("pods reach each other", lambda: mesh.pod1.ping(mesh.podc.ip) and mesh.podc.ping(mesh.pod1.ip))
    return [Flow(mesh.pod1, mesh.podc), Flow(mesh.podc, mesh.pod1, port=7008)]


def test_bird_is_killed_and_no_packet_is_lost(mesh):
    one, calico = mesh.nodes[0], mesh.calico
    flows = both_ways(mesh)
    calico.kill()
    wait.until("its end is seen", lambda: not is_up(one, calico.address))
    assert calico.block in one.routes() and [p["stale"] for p in paths(one, calico.block)] == [True]
    calico.start()
    wait.until("it is back", lambda: is_up(one, calico.address), 60)
    wait.until("fresh again", lambda: [p["stale"] for p in paths(one, calico.block)] == [False], 60)
    wait.until("our block is there again", lambda: block_of(one) in calico.birdc("show", "route", "protocol", "Mesh_192_168_61_11"), 60)
    lose_nothing(flows)


def test_margay_is_killed_and_no_packet_is_lost(mesh):
    one, calico = mesh.nodes[0], mesh.calico
    flows = both_ways(mesh)
    one.kill()
    wait.until("BIRD has seen the end", lambda: one.address not in calico.up())
    assert block_of_kernel(calico, one), "BIRD keeps our block: it is our helper"
    one.start(wait_ready=False)
    wait.until("it is back", lambda: is_up(one, calico.address), 60)
    wait.until("Calico's block is in the table", lambda: paths(one, calico.block))
    shown = ("show", "route", "all", "protocol", "Mesh_192_168_61_11")
    wait.until("BIRD has seen our End-of-RIB", lambda: "stale" not in calico.birdc(*shown).lower())
    lose_nothing(flows)


def block_of_kernel(calico, node):
    return f" via {node.address} " in calico.routes()


def test_a_node_joins_late(mesh):
    """Both have to hear of it: ours from the datastore, BIRD from confd."""
    one, two = mesh.nodes
    calico = mesh.calico
    two.start(wait_ready=False)
    calico.peers[two.address] = 64512
    wait.until("ours know each other", lambda: is_up(one, two.address), 60)
    calico.configure()
    wait.until("BIRD, too", lambda: is_up(two, calico.address) and two.address in calico.up(), 60)
    assert neighbor(one, calico.address)["state"] == "Established"
    pod2 = two.add_pod("pod2")
    for where in (one, calico):
        wait.until(f"node2's block on {where.ns}", lambda w=where: f"{block_of(two)} via {two.address}" in w.routes())
    wait.until("the others' blocks on node2", lambda: calico.block in two.routes() and block_of(one) in two.routes())
    pods = (mesh.pod1, mesh.podc, pod2)
    wait.until("pods reach each other", lambda: all(a.ping(b.ip) for a in pods for b in pods))
    # iBGP: what the mesh says is not said again to the mesh
    assert [p["peer"] for p in paths(two, calico.block)] == [calico.address]


def test_bird_leaves_for_good(mesh):
    """Calico's node is deleted: no more a peer, its block goes from every node at once."""
    calico = mesh.calico
    mesh.ctl("delete", "node", "calico")
    for node in mesh.nodes:
        wait.until("no neighbour", lambda n=node: neighbor(n, calico.address)["state"] == "absent")
        wait.until("no route", lambda n=node: calico.block not in n.routes())
