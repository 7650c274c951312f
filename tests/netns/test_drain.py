"""A node leaves the fabric and nobody loses a packet: RFC 8326, then withdrawals, then a Hard Reset (RFC 8538)."""

import json
import signal

import pytest

from deploy.lab import ns, wait
from deploy.lab.traffic import Flow

TOR = "192.168.61.1"

# The router prefers node1 for everything, as long as node1 does not ask it to go elsewhere; RFC 8326 4.3.
TOR_CONF = """
router id 192.168.61.1;
protocol device {}
protocol direct { ipv4; interface "lo"; }
protocol kernel { ipv4 { export where source = RTS_BGP; }; }
template bgp node { local 192.168.61.1 as 65001; graceful restart on; long lived graceful restart on; direct; }
protocol bgp node1 from node { neighbor 192.168.61.11 as 64512;
  ipv4 { export where source = RTS_DEVICE;
         import filter { bgp_local_pref = 200; if (65535, 0) ~ bgp_community then bgp_local_pref = 0; accept; }; }; }
protocol bgp node2 from node { neighbor 192.168.61.12 as 64512;
  ipv4 { export where source = RTS_DEVICE; import all; }; }
"""

MANIFEST = """
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: pool}
spec: {cidr: 172.31.0.0/16, natOutgoing: false}
---
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: tor}
spec: {peerIP: 192.168.61.1, asNumber: 65001}
"""


class Host:
    """Something outside the cluster that pods talk with: the router itself, by an address of its own."""

    def __init__(self, lab, ip):
        self.ns, self.ip = lab.ns("tor"), ip


@pytest.fixture
def fabric(labs):
    """Two nodes, a pod on node2, and a router that goes to it through node1."""
    lab = labs(nodes=2, start=False, manifest=MANIFEST)
    ns.ip(lab.ns("tor"), "addr", "add", "203.0.113.1/32", "dev", "lo")
    for node in lab.nodes:
        node.start(wait_ready=False)
    (lab.dir / "tor.conf").write_text(TOR_CONF)
    lab.spawn("tor", lab.ns("tor"), "bird", "-f", "-c", lab.dir / "tor.conf", "-s", lab.dir / "tor.ctl")
    for node in lab.nodes:
        node.wait_ready()
    pod = lab.nodes[1].add_pod("p")
    [block] = lab.nodes[1].ctl_json("node", "status")["blocks"]
    lab.nodes[0].add_pod("own")
    [own] = lab.nodes[0].ctl_json("node", "status")["blocks"]
    wait.until("the router goes through node1", lambda: f"via {lab.nodes[0].address}" in ns.ip(lab.ns("tor"), "route", "show", block))
    wait.until("and could go through node2", lambda: lab.birdc("show", "route", "all", block).count("BGP.as_path") == 2)
    wait.until("node2 knows the way to node1", lambda: own in lab.nodes[1].routes())
    return lab, pod, block


def via(lab, prefix):
    return ns.ip(lab.ns("tor"), "route", "show", prefix)


def drain(node):
    return node.ctl_json("node", "status")["drain"]


def test_no_packet_is_lost_when_there_is_another_way(fabric):
    lab, pod, block = fabric
    one, two = lab.nodes
    [own] = one.ctl_json("node", "status")["blocks"]
    running = Flow(Host(lab, "203.0.113.1"), pod)
    done = one.ctl("node", "drain", "--pause", "5", "--text", "new disk").stdout
    assert [line.split(":")[0] for line in done.splitlines()] == ["Announced", "Withdrawn", "Drained"]
    said = lambda: lab.birdc("show", "protocols", "all", "node1")
    wait.until(said, lambda: "new disk" in said())
    wait.until("its own block went with it", lambda: via(lab, own) == "")
    wait.until("the other way alone is left", lambda: f"via {two.address}" in via(lab, block))
    flow = running.stop()
    assert flow["sent"] > 200
    assert flow["lost"] == [] and flow["errors"] == [], flow
    assert drain(one)["phase"] == "stopped"
    assert "Draining: stopped since" in one.ctl("node", "status").stdout
    assert "undrain brings it back" in one.health_text()
    # it comes back, again without a loss
    running = Flow(Host(lab, "203.0.113.1"), pod)
    assert "takes part" in one.ctl("node", "undrain").stdout
    one.wait_ready()
    wait.until("the router goes through node1 again", lambda: f"via {one.address}" in via(lab, block))
    flow = running.stop()
    assert flow["lost"] == [] and flow["errors"] == [], flow
    assert drain(one)["phase"] == "none"


def test_the_phases_one_by_one(fabric):
    lab, _, block = fabric
    one, two = lab.nodes
    answer = json.loads(one.ctl("-o", "json", "node", "drain", "--no-wait", "--pause", "3600").stdout)
    assert answer["phase"] == "announced"
    # RFC 8326: everybody is told to go elsewhere, nothing is taken back
    wait.until("the other way", lambda: f"via {two.address}" in via(lab, block))
    shown = lab.birdc("show", "route", "all", block)
    assert "(65535,0)" in shown and f"via {one.address}" in shown, shown
    mesh = lambda: two.ctl_json("bgp", "routes")["routes"]
    wait.until(lambda: f"told to the mesh: {mesh()}", lambda: any(
        r.get("localPref") == 0 and "graceful-shutdown" in r.get("communities", "") for r in mesh()))
    # killed and started again, it goes on where it was; nobody is told the routes without the mark
    one.kill()
    one.start(wait_ready=False)
    wait.until("its session", lambda: any(n["state"] == "Established" for n in one.ctl_json("bgp", "neighbors")["neighbors"]))
    assert drain(one)["phase"] == "announced"
    wait.until("the router has it with the mark", lambda: "(65535,0)" in lab.birdc("show", "route", "all", block))
    # less time: it withdraws at once
    one.ctl("node", "drain", "--no-wait", "--pause", "0")
    wait.until("stopped", lambda: drain(one)["phase"] == "stopped")
    wait.until("gone", lambda: f"via {one.address}" not in lab.birdc("show", "route", "all", block))
    # stopped, and stays so over a restart: nothing is dialled, nobody is let in
    assert one.stop(signal.SIGTERM) == 0
    one.start(wait_ready=False)
    wait.until("it answers", lambda: drain(one)["phase"] == "stopped")
    wait.until("it knows its peers", lambda: len(one.ctl_json("bgp", "neighbors")["neighbors"]) == 2)
    assert all(n["state"] == "Idle" for n in one.ctl_json("bgp", "neighbors")["neighbors"])
    one.ctl("node", "undrain")
    one.wait_ready()
    wait.until("the router goes through node1", lambda: f"via {one.address}" in via(lab, block), 60)


def test_peers_keep_nothing_of_a_drained_node(fabric):
    """Without the Hard Reset both would keep its routes for the restart time, and BIRD long-lived after it."""
    lab, _, _ = fabric
    one, two = lab.nodes
    [own] = one.ctl_json("node", "status")["blocks"]
    one.ctl("node", "drain", "--pause", "0")
    wait.until("gone at the router", lambda: own not in lab.birdc("show", "route"))
    wait.until("gone at the other node", lambda: own not in two.routes())
    said = lambda: next(n for n in two.ctl_json("bgp", "neighbors")["neighbors"] if n["address"] == one.address)["lastNotification"]
    wait.until("it has heard the end", lambda: "hard reset" in said().lower())
    assert "received" in said(), said()


def test_what_cannot_be(fabric):
    lab, _, _ = fabric
    one = lab.nodes[0]
    for args, words in [(("--pause", "ten"), "must be seconds"), (("--pause", "9999"), "pauseSeconds"), (("node1",), "this node")]:
        r = one.ctl("node", "drain", *args, check=False)
        assert r.returncode == 1 and words in r.stderr, r
    assert drain(one)["phase"] == "none"
    one.ctl("node", "undrain")  # is no error
