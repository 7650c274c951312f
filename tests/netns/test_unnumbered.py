"""Peering by interface: no addresses on the fabric's links, neighbours found by router advertisements, IPv4 over IPv6 next hops (RFC
8950) in the kernel; with FRR's `neighbor eth1 interface`, with BIRD between link-local addresses, and between two margay nodes."""

import os
import pwd
import re

import pytest

from deploy.lab import ns, wait
from deploy.lab.lab import Lab

from conftest import finish, new_name

NETWORK = "203.0.113.0/24"

MANIFEST = """
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: pods}
spec: {cidr: 172.31.0.0/16, blockSize: 26}
---
apiVersion: projectcalico.org/v3
kind: BGPConfiguration
metadata: {name: default}
spec: {nodeToNodeMeshEnabled: false}
---
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: rack, annotations: {margay.io/interface: "up*", margay.io/bfd: "300ms*3"%s}}
spec: {peerSelector: "!all()", numAllowedLocalASNumbers: 1}
"""


def link_local(namespace, link):
    for a in ns.ip_json(namespace, "-6", "addr", "show", "dev", link, "scope", "link"):
        for i in a["addr_info"]:
            if i.get("local") and not i.get("tentative"):
                return i["local"]
    return None


class Fabric:
    """Nodes whose own addresses are on lo, each with links up1, up2... to routers; nothing else connects them."""

    def __init__(self, lab):
        self.lab = lab

    def node(self, index):
        node = self.lab.nodes[index - 1]
        name = node.ns
        ns.ip(name, "addr", "add", f"{node.address}/32", "dev", "lo")
        ns.run(name, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        return node

    def router(self, host):
        name = self.lab.ns(host)
        ns.add(name)
        ns.run(name, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        ns.ip(name, "addr", "add", "203.0.113.1/32", "dev", "lo")
        return name

    def cable(self, a, link_a, b, link_b):
        ns.ip(self.lab.ns(a), "link", "add", link_a, "type", "veth", "peer", "name", link_b, "netns", self.lab.ns(b))
        for host, link in ((a, link_a), (b, link_b)):
            ns.ip(self.lab.ns(host), "link", "set", link, "up")
        for host, link in ((a, link_a), (b, link_b)):
            wait.until(f"{link} has its link-local address", lambda h=host, k=link: link_local(self.lab.ns(h), k))


@pytest.fixture
def fabric(request):
    from deploy.lab.lab import Node
    lab = Lab(new_name())
    lab.down()
    lab.dir.mkdir(parents=True, mode=0o755)

    def make(nodes, extra=""):
        for i in range(1, nodes + 1):
            lab.nodes.append(Node(lab, i, "10.255.0"))
            ns.add(lab.ns(f"node{i}"))
        lab.apply(MANIFEST % extra)
        f = Fabric(lab)
        for i in range(1, nodes + 1):
            f.node(i)
        return f
    yield make
    finish(request, [lab])


class Frr:
    def __init__(self, lab, host, links, asn=65001):
        self.lab, self.host = lab, host
        self.dir = lab.dir / host
        self.dir.mkdir()
        frr = pwd.getpwnam("frr")
        peers = "".join(f" neighbor {k} interface remote-as external\n neighbor {k} bfd 3 300 300\n neighbor {k} timers connect 1\n"
                        for k in links)
        families = "".join(f"  neighbor {k} activate\n" for k in links)
        (self.dir / "frr.conf").write_text(f"""
router bgp {asn}
 bgp router-id 10.255.1.{asn % 256}
 no bgp ebgp-requires-policy
 no bgp network import-check
 bgp bestpath as-path multipath-relax
{peers} address-family ipv4 unicast
  network {NETWORK}
 exit-address-family
 address-family ipv6 unicast
{families} exit-address-family
""")
        (self.dir / "empty.conf").touch()
        for p in (self.dir, self.dir / "frr.conf"):
            os.chown(p, frr.pw_uid, frr.pw_gid)

    def start(self):
        for daemon, more in (("zebra", ["-s", "90000000"]), ("bfdd", ["--bfdctl", self.dir / "bfdd.sock"]),
                             ("bgpd", ["-l", "127.0.0.1", "-p", "179"])):
            config = self.dir / ("frr.conf" if daemon == "bgpd" else "empty.conf")
            self.lab.spawn(f"{self.host}-{daemon}", self.lab.ns(self.host), f"/usr/lib/frr/{daemon}", "-f", config,
                           "-i", self.dir / f"{daemon}.pid", "-z", self.dir / "zserv", "--vty_socket", self.dir, "-P", "0", *more)
            wait.until(f"{daemon} is there", lambda d=daemon: (self.dir / f"{d}.vty").exists())

    def ctl(self, command):
        return ns.run(self.lab.ns(self.host), "vtysh", "--vty_socket", self.dir, "-c", command, check=False).stdout


def sessions(node):
    return {n["interface"]: n for n in node.ctl_json("bgp", "neighbors")["neighbors"] if "interface" in n}


def established(node, links):
    def all_up():
        s = sessions(node)
        return sorted(s) == sorted(links) and all(n["state"] == "Established" for n in s.values())
    wait.until(lambda: f"{node.name} peers by {links}: {sessions(node)}\n{node.log()[-1500:]}", all_up, 60)


def next_hops(node, prefix):
    return sorted((h["dev"], h.get("via", {}).get("host", h.get("gateway")))
                  for r in ns.ip_json(node.ns, "route", "show", prefix) for h in r.get("nexthops", [r]))


def test_frr_by_interface_on_two_links(fabric):
    """Two nodes, two FRR routers, every node on both: ECMP over link-local next hops, pod to pod, a cut link is left by BFD."""
    f = fabric(2)
    lab = f.lab
    for i, host in enumerate(("tor1", "tor2"), 1):
        f.router(host)
        for n in (1, 2):
            f.cable(f"node{n}", f"up{i}", host, f"d{n}")
    # the same link-local address at the other end of both links: a neighbour is an address on a link
    for host in ("tor1", "tor2"):
        ns.ip(lab.ns(host), "addr", "flush", "dev", "d1", "scope", "link")
        ns.ip(lab.ns(host), "addr", "add", "fe80::1/64", "dev", "d1", "nodad")
    routers = [Frr(lab, "tor1", ["d1", "d2"], 65001), Frr(lab, "tor2", ["d1", "d2"], 65001)]
    for r in routers:
        r.start()
    one, two = lab.nodes
    for node in lab.nodes:
        node.start(env={"IP": f"{node.address}/32"}, wait_ready=False)
    for node in lab.nodes:
        established(node, ["up1", "up2"])
        wait.until(lambda n=node: f"BFD {sessions(n)}", lambda n=node: all(
            s["bfd"]["state"] == "Up" and s["bfd"]["detectionMs"] == 900 for s in sessions(n).values()))
        assert all(s["remoteAS"] == 65001 for s in sessions(node).values())
        node.wait_ready()
    want = [("up1", "fe80::1"), ("up2", "fe80::1")]
    wait.until(lambda: f"both links {next_hops(one, NETWORK)}", lambda: next_hops(one, NETWORK) == want)
    a, b = one.add_pod("a"), two.add_pod("b")
    [block] = two.ctl_json("node", "status")["blocks"]
    wait.until(lambda: f"node2's block on both links {next_hops(one, block)}", lambda: [d for d, _ in next_hops(one, block)] == ["up1", "up2"])
    wait.until("pod to pod", lambda: a.ping(b.ip, 5))
    assert re.search(r"via inet6 fe80::|nexthop via inet6", ns.ip(one.ns, "route", "show", block))
    # nobody is told that the link is dead but BFD
    ns.run(lab.ns("tor1"), "nft", "-f", "-", input="""
table netdev cut { chain in { type filter hook ingress device d1 priority 0; policy drop; }
}
""")
    wait.until("the route is on the other link", lambda: [d for d, _ in next_hops(one, block)] == ["up2"])
    assert "BFD" in sessions(one)["up1"]["lastError"]
    wait.until("it carries", lambda: a.ping(b.ip, 5))
    ns.run(lab.ns("tor1"), "nft", "flush ruleset")
    established(one, ["up1", "up2"])
    wait.until("both links again", lambda: [d for d, _ in next_hops(one, block)] == ["up1", "up2"])
    # the agent is killed: routes by link-local next hops are adopted like others
    one.kill()
    assert [d for d, _ in next_hops(one, block)] == ["up1", "up2"]
    one.start(env={"IP": f"{one.address}/32"}, wait_ready=False)
    wait.until("they are kept", lambda: "keeping the routes of the last life" in one.log())
    established(one, ["up1", "up2"])
    # FRR has begun a moment ago and says so (R bit): nobody waits for it
    wait.until("and told again", lambda: [d for d, _ in next_hops(one, block)] == ["up1", "up2"])
    wait.until("also to the other end", lambda: a.ping(b.ip, 5))
    # a link goes away for good
    ns.ip(one.ns, "link", "del", "up2")
    wait.until("its neighbour is forgotten", lambda: sorted(sessions(one)) == ["up1"])
    wait.until("the other link", lambda: [d for d, _ in next_hops(one, block)] == ["up1"])
    wait.until("also at the other end", lambda: a.ping(b.ip, 5))


def bird(lab, host, link, node, radv):
    d = lab.dir / host
    d.mkdir()
    (d / "bird.conf").write_text(f"""
router id 10.255.1.1;
protocol device {{ }}
protocol kernel {{ ipv4 {{ export all; }}; }}
protocol static {{ ipv4; route {NETWORK} blackhole; }}
protocol bfd {{ interface "{link}" {{ interval 300 ms; multiplier 3; }}; }}
{'protocol radv { interface "' + link + '" { max ra interval 4; default lifetime 0; }; }' if radv else ''}
protocol bgp node {{ local {link_local(lab.ns(host), link)} as 65001; neighbor {link_local(node.ns, "up1")}%{link} as 64512;
  direct; bfd on; connect delay time 1; connect retry time 2; error wait time 1, 3;
  ipv4 {{ import all; export where source = RTS_STATIC; extended next hop on; next hop self; }}; }}
""")
    lab.spawn(host, lab.ns(host), "bird", "-f", "-c", d / "bird.conf", "-s", d / "ctl")
    return lambda *words: ns.out(lab.ns(host), "birdc", "-s", d / "ctl", *words)


@pytest.mark.parametrize("radv", [True, False], ids=["advertises", "only dials"])
def test_bird_between_link_local_addresses(fabric, radv):
    f = fabric(1)
    lab, node = f.lab, f.lab.nodes[0]
    f.router("tor")
    f.cable("node1", "up1", "tor", "d1")
    birdc = bird(lab, "tor", "d1", node, radv)
    node.start(env={"IP": f"{node.address}/32"}, wait_ready=False)
    established(node, ["up1"])
    node.wait_ready()
    tor = link_local(lab.ns("tor"), "d1")
    wait.until(lambda: f"{next_hops(node, NETWORK)}", lambda: next_hops(node, NETWORK) == [("up1", tor)])
    pod = node.add_pod("p")
    [block] = node.ctl_json("node", "status")["blocks"]
    wait.until(lambda: birdc("show", "route"), lambda: f"via {link_local(node.ns, 'up1')} on d1" in birdc("show", "route"))
    wait.until("the block in the router's kernel", lambda: "via inet6" in ns.ip(lab.ns("tor"), "route", "show", block))
    assert pod.ping("203.0.113.1", 3)
    wait.until(lambda: f"BFD {sessions(node)}", lambda: sessions(node)["up1"]["bfd"]["state"] == "Up")


def test_two_nodes_back_to_back(fabric):
    """margay at both ends, each in an AS of its own (DIFFERENT), no router: RA, collision, routes both ways; then the neighbour
    changes its address, and finally falls silent."""
    f = fabric(2, ", margay.io/remoteAS: external")
    lab = f.lab
    one, two = lab.nodes
    f.cable("node1", "up1", "node2", "up1")
    for node in lab.nodes:
        node.start(env={"IP": f"{node.address}/32", "AS": str(64512 + node.index)}, wait_ready=False)
    for node in lab.nodes:
        established(node, ["up1"])
    a, b = one.add_pod("a"), two.add_pod("b")
    wait.until("pod to pod", lambda: a.ping(b.ip), 60)
    before = sessions(one)["up1"]["address"]
    ns.ip(two.ns, "addr", "flush", "dev", "up1", "scope", "link")
    ns.ip(two.ns, "addr", "add", "fe80::beef/64", "dev", "up1", "nodad")
    wait.until(lambda: f"the new neighbour {sessions(one)}", lambda: sessions(one).get("up1", {}).get("address") == "fe80::beef" and
               sessions(one)["up1"]["state"] == "Established", 90)
    assert before != "fe80::beef"
    wait.until("pod to pod again", lambda: a.ping(b.ip), 60)


def send_ra(namespace, link, source, payload, hops=255):
    ns.run(namespace, "python3", "-c", f"""
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, {hops})
i = socket.if_nametoindex({link!r})
s.bind(({source!r}, 0, 0, i))
s.sendto(bytes.fromhex({payload.hex()!r}), ("ff02::1", 0, 0, i))
""")


def test_hostile_advertisements(fabric):
    """What is no advertisement of this link is ignored; while a session is up, another router does not take its place."""
    f = fabric(1)
    lab, node = f.lab, f.lab.nodes[0]
    f.router("tor")
    f.cable("node1", "up1", "tor", "d1")
    node.start(env={"IP": f"{node.address}/32"}, wait_ready=False)
    wait.until("it advertises and looks", lambda: "nobody has been heard on up1" in node.health_text() or
               "up1" in str(node.ctl_json("node", "status")["notReady"]))
    ns.ip(lab.ns("tor"), "addr", "add", "fe80::bad/64", "dev", "d1", "nodad")
    ns.ip(lab.ns("tor"), "addr", "add", "2001:db8::1/64", "dev", "d1", "nodad")
    ra = bytes([134, 0, 0, 0, 64, 0, 0, 0]) + bytes(8)
    for source, payload, hops in (("fe80::bad", ra, 254), ("fe80::bad", ra[:15], 255), ("fe80::bad", ra + bytes([1, 0]), 255),
                                  ("fe80::bad", ra + bytes([1, 2]) + bytes(6), 255), ("2001:db8::1", ra, 255),
                                  ("fe80::bad", bytes([134, 1]) + ra[2:], 255)):
        send_ra(lab.ns("tor"), "d1", source, payload, hops)
    wait.until("they were seen", lambda: node.log().count("ignored a router advertisement") >= 4)
    assert not sessions(node)
    bird(lab, "tor", "d1", node, True)
    established(node, ["up1"])
    have = sessions(node)["up1"]["address"]
    ns.ip(lab.ns("tor"), "addr", "add", "fe80::2:bad/64", "dev", "d1", "nodad")
    for _ in range(5):
        send_ra(lab.ns("tor"), "d1", "fe80::2:bad", ra)
    wait.until("it is said", lambda: "two routers on a link" in node.log())
    assert sessions(node)["up1"]["address"] == have and sessions(node)["up1"]["state"] == "Established"
