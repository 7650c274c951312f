"""Who may speak: TTL security (RFC 5082), TCP MD5 (RFC 2385) with one key for a mesh and a key changed without a reset; and how a peer behind
a gateway is reached (reachableBy)."""

import json
import os

import pytest

from deploy.lab import ns, wait
from deploy.lab.lab import LINK

TOR, NODE, NETWORK = "192.168.61.1", "192.168.61.11", "203.0.113.0/24"

POOL = """
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: pods}
spec: {cidr: 172.31.0.0/16}
"""

PEER = """---
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: tor}
spec: {peerIP: %s, asNumber: 65001%s}
"""


def neighbor(node, address):
    return {n["address"]: n for n in node.ctl_json("bgp", "neighbors")["neighbors"]}[address]


def is_up(node, address):
    return neighbor(node, address)["state"] == "Established"


def secret(node, name, key, text):
    d = node.state_dir / "secrets" / name
    d.mkdir(parents=True, exist_ok=True)
    new = d / f".{key}.new"
    new.write_text(text + "\n")
    new.chmod(0o600)
    os.replace(new, d / key)


def bird(lab, host, address, options, node=NODE, more=""):
    d = lab.dir / host
    d.mkdir(exist_ok=True)
    (d / "bird.conf").write_text(f"""
router id {address};
protocol device {{ }}
protocol direct {{ ipv4; }}
protocol static {{ ipv4; route {NETWORK} blackhole; }}
{more}
protocol bgp node {{ local {address} as 65001; neighbor {node} as 64512; {options} connect delay time 1; connect retry time 2;
  error wait time 1, 3; ipv4 {{ import all; export where source = RTS_STATIC; next hop self; }}; }}
""")
    p = lab.spawn(host, lab.ns(host), "bird", "-f", "-c", d / "bird.conf", "-s", d / "ctl")

    def ctl(*words):
        return ns.out(lab.ns(host), "birdc", "-s", d / "ctl", *words)
    ctl.process = p
    ctl.conf = d / "bird.conf"
    wait.until("BIRD is there", lambda: "ready" in ctl("show", "status"))
    return ctl


# ---- RFC 5082 ----

def test_ttl_security_both_ways(labs):
    """With BIRD's own `ttl security`, which refuses what does not come with 255."""
    lab = labs(nodes=1, start=False, manifest=POOL + PEER % (TOR, ", ttlSecurity: 1"))
    node = lab.nodes[0]
    bird(lab, "tor", TOR, "ttl security on; direct;")
    node.start()
    wait.until("Established", lambda: is_up(node, TOR))
    wait.until("the route", lambda: NETWORK in node.routes())


@pytest.mark.parametrize("who_dials", ["router", "node"])
def test_a_wrong_ttl_is_refused(labs, who_dials):
    """A router whose packets have crossed a hop too many: no session, whoever dials; when they do not any more, it comes."""
    lab = labs(nodes=1, start=False, manifest=POOL + PEER % (TOR, ", ttlSecurity: 1"))
    node, tor = lab.nodes[0], lab.ns("tor")
    # what leaves the router looks as if it had been forwarded once
    ns.run(tor, "iptables", "-t", "mangle", "-A", "POSTROUTING", "-o", LINK, "-p", "tcp", "-j", "TTL", "--ttl-set", "254")
    bird(lab, "tor", TOR, "ttl security on; direct;" + (" passive on;" if who_dials == "node" else ""))
    if who_dials == "router":
        ns.run(node.ns, "iptables", "-A", "OUTPUT", "-p", "tcp", "--dport", "179", "-j", "DROP")
    node.start(wait_ready=False)
    wait.until("it was tried", lambda: neighbor(node, TOR)["state"] != "Idle")

    def counted():
        rows = ns.run(tor, "iptables", "-t", "mangle", "-nvxL", "POSTROUTING").stdout
        return int(rows.splitlines()[2].split()[0])
    wait.until("packets of the router came with 254", lambda: counted() > 3, 60)
    assert not is_up(node, TOR)
    ns.run(tor, "iptables", "-t", "mangle", "-F", "POSTROUTING")
    wait.until("with 255 it comes", lambda: is_up(node, TOR), 90)


# ---- RFC 2385 ----

MESH_PASSWORD = """---
apiVersion: projectcalico.org/v3
kind: BGPConfiguration
metadata: {name: default}
spec: {nodeMeshPassword: {secretKeyRef: {name: bgp, key: mesh}}}
"""


def md5_keys(node):
    """Keys of the listening socket, as the kernel tells them: TCP_MD5SIG in ss."""
    shown = ns.run(node.ns, "ss", "-tlnpie", "sport", "=", ":179").stdout
    return [w for line in shown.splitlines() for w in line.split() if w.startswith("md5keys:")]


def test_one_key_for_a_mesh_and_change_without_reset(labs):
    lab = labs(nodes=3, tor=False, start=False, manifest=POOL + MESH_PASSWORD)
    for node in lab.nodes:
        secret(node, "bgp", "mesh", "first")
        node.start()
    one = lab.nodes[0]

    def all_up():
        return all(is_up(n, o.address) for n in lab.nodes for o in lab.nodes if o is not n)
    wait.until("the mesh is up", all_up)
    shown = " ".join(md5_keys(one))
    if shown:  # a kernel and ss that tell
        assert shown.count("/") == 1 and "192.168.61.12/31" in shown.replace("192.168.61.12/32", ""), shown
    flaps = {(n.name, o.name): neighbor(n, o.address)["flaps"] for n in lab.nodes for o in lab.nodes if o is not n}
    since = {(n.name, o.name): neighbor(n, o.address)["since"] for n in lab.nodes for o in lab.nodes if o is not n}
    for node in lab.nodes:
        secret(node, "bgp", "mesh", "second")
    # it is in use everywhere when a block that is new reaches everybody
    wait.until("all have seen the new one", lambda: all("took another password" in n.log() for n in lab.nodes))
    pod = one.add_pod("p")
    [block] = one.ctl_json("node", "status")["blocks"]
    for node in lab.nodes[1:]:
        wait.until(f"the block on {node.name}", lambda n=node: block in n.routes(), 60)
    assert pod.ip
    for n in lab.nodes:
        for o in lab.nodes:
            if o is not n:
                now = neighbor(n, o.address)
                assert (now["flaps"], now["since"]) == (flaps[n.name, o.name], since[n.name, o.name])
    # and new connections use it: an agent that comes back
    one.kill()
    one.start()
    wait.until("the mesh is up again", all_up, 120)


def test_wrong_password_then_the_right_one(labs):
    password = ", password: {secretKeyRef: {name: bgp, key: tor}}"
    lab = labs(nodes=1, start=False, manifest=POOL + PEER % (TOR, password))
    node = lab.nodes[0]
    secret(node, "bgp", "tor", "wrong")
    bird(lab, "tor", TOR, 'password "right";')
    node.start(wait_ready=False)
    wait.until("it was tried", lambda: neighbor(node, TOR)["state"] in ("Connect", "Active"))
    wait.until("packets were dropped for it", lambda: dropped_for_md5(node) > 2, 60)
    assert not is_up(node, TOR)
    secret(node, "bgp", "tor", "right")
    wait.until("Established", lambda: is_up(node, TOR), 90)
    # one that goes is another session, without
    lab.apply(PEER % (TOR, ""))
    wait.until("the session with the password ended", lambda: not is_up(node, TOR))


def dropped_for_md5(node):
    counters = ns.run(node.ns, "nstat", "-asz", "-j").stdout
    kernel = json.loads(counters)["kernel"]
    return sum(kernel.get(k, 0) for k in ("TcpExtTCPMD5NotFound", "TcpExtTCPMD5Unexpected", "TcpExtTCPMD5Failure"))


# ---- reachableBy ----

def test_reachable_by_a_gateway(labs):
    """The peer is behind the router; there is no other route to it. What it announces goes the same way."""
    far = "198.51.100.9"
    lab = labs(nodes=1, start=False, manifest=POOL + PEER % (far, f", reachableBy: {TOR}"))
    node, tor = lab.nodes[0], lab.ns("tor")
    lab.join("far", "192.168.63.2", bridge="br0")  # cabled to the router alone, below
    for cmd in (("-n", lab.ns("fabric"), "link", "del", "p-far"),
                ("-n", tor, "link", "add", "far0", "type", "veth", "peer", "name", "eth1", "netns", lab.ns("far"))):
        ns.run(None, "ip", *cmd)
    for where, link, address in ((tor, "far0", "192.168.63.1/24"), (lab.ns("far"), "eth1", "192.168.63.2/24")):
        ns.ip(where, "addr", "add", address, "dev", link)
        ns.ip(where, "link", "set", link, "up")
    ns.ip(lab.ns("far"), "addr", "add", f"{far}/32", "dev", "lo")
    ns.ip(lab.ns("far"), "route", "add", "192.168.61.0/24", "via", "192.168.63.1")
    ns.ip(tor, "route", "add", f"{far}/32", "via", "192.168.63.2")
    bird(lab, "far", far, f"multihop; source address {far};")
    node.start(wait_ready=False)
    wait.until("the route to the peer", lambda: f"{far} via {TOR} dev {LINK} proto 80" in node.routes())
    wait.until("Established", lambda: is_up(node, far), 60)
    wait.until("what it announces goes by the gateway", lambda: f"{NETWORK} via {TOR} dev {LINK}" in node.routes())
    lab.ctl("delete", "bgppeer", "tor")
    wait.until("both go", lambda: far not in node.routes() and NETWORK not in node.routes())


# ---- priorities ----

def test_priority_is_the_metric_of_the_route(labs):
    """Calico ties LOCAL_PREF and metric: a node's own block has none on other nodes, what a router tells without LOCAL_PREF is last, what a
    filter raises comes first; a change of it never leaves the kernel without a route."""
    lab = labs(nodes=2, start=False, manifest=POOL + PEER % (TOR, ", filters: [raise]"))
    one, two = lab.nodes
    bird(lab, "tor", TOR, "", node=one.address)
    for node in lab.nodes:
        node.start()
    two.add_pod("p")
    [block] = two.ctl_json("node", "status")["blocks"]

    def metric(prefix):
        return [r.get("metric", 0) for r in ns.ip_json(one.ns, "route", "show", prefix)]
    wait.until(lambda: f"{metric(block)}", lambda: metric(block) == [0])
    wait.until(lambda: f"{metric(NETWORK)}", lambda: metric(NETWORK) == [2147483647 - 100])
    seen = []
    lab.apply("""
apiVersion: projectcalico.org/v3
kind: BGPFilter
metadata: {name: raise}
spec: {importV4: [{cidr: 203.0.113.0/24, matchOperator: Equal, action: Accept, operations: [{setPriority: {value: 512}}]}]}
""")

    def raised():
        now = metric(NETWORK)
        seen.append(len(now))
        return now == [512]
    wait.until(lambda: f"{metric(NETWORK)}", raised, step=0.001)
    assert min(seen) >= 1, "there was a moment without a route"
    lab.ctl("delete", "bgpfilter", "raise")
    wait.until(lambda: f"{metric(NETWORK)}", lambda: metric(NETWORK) == [2147483647 - 100])
