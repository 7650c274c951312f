"""The judge's lab: two agents, "here" and "there", and six pods that are nothing but a wire.

A pod's namespace has no address and no stack that would answer: the judge writes frames into its eth0 and
reads what arrives. The host's end has the name and address that random worlds know, and routes and neighbours
of its own, so that a packet meets the rules also where no endpoint is stored.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "netns"))

from deploy.lab import ns  # noqa: E402
from deploy.lab.lab import LINK, Lab  # noqa: E402

PODS = 6
NODES = ["here", "there"]
HOST_MAC = "ee:ee:ee:ee:ee:ee"
METRIC = 4242  # behind the agent's own routes, and of a protocol that is not theirs
OPTIONS = ["--policy", "--bgp=false", "--no-default-pools", "--remove-external-routes=false", "--log-level", "warn"]


def interface(i):
    return f"cali{i * 7 % 16:x}{i}"  # world.c's names


def node_of(lab, i):
    return lab.nodes[0 if i < PODS // 2 else 1]


def make_wire(lab, i):
    """Pod i: a veth from its empty namespace to its node, a route and a neighbour for it there."""
    pod, host, name = lab.ns(f"w{i}"), node_of(lab, i).ns, interface(i)
    ns.add(pod)
    mac = f"02:00:00:00:00:0{i}"
    ns.run(pod, "sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")
    ns.ip(host, "link", "add", name, "address", HOST_MAC, "type", "veth", "peer", "name", "eth0", "address", mac,
          "netns", pod)
    ns.ip(pod, "link", "set", "eth0", "up")
    ns.ip(host, "link", "set", name, "up")
    for address in (f"10.0.0.{i + 1}", f"fd00::{i + 1}"):
        ns.ip(host, "neigh", "replace", address, "lladdr", mac, "dev", name, "nud", "permanent")
        ns.ip(host, "route", "add", address, "dev", name, "metric", METRIC, "proto", "static")


def link_mac(node):
    return ns.ip_json(node.ns, "link", "show", LINK)[0]["address"]


def make_segment(lab):
    """Both nodes' second addresses, and the way to the other's pods; neighbours are told, no policy sees them."""
    for k, node in enumerate(lab.nodes):
        ns.run(node.ns, "sysctl", "-qw", "net.ipv6.conf.all.forwarding=1", f"net.ipv6.conf.{LINK}.accept_dad=0")
        ns.ip(node.ns, "addr", "add", f"192.168.0.{k + 1}/24", "dev", LINK)
        ns.ip(node.ns, "addr", "add", f"fd01::{k + 1}/64", "dev", LINK, "nodad")
    for k, node in enumerate(lab.nodes):
        other = 2 - k
        for address in (f"192.168.0.{other}", f"fd01::{other}"):
            ns.ip(node.ns, "neigh", "replace", address, "lladdr", link_mac(lab.nodes[other - 1]), "dev", LINK,
                  "nud", "permanent")
        for i in range(PODS):
            if node_of(lab, i) is not node:
                ns.ip(node.ns, "route", "add", f"10.0.0.{i + 1}", "via", f"192.168.0.{other}", "src", f"192.168.0.{k + 1}")
                ns.ip(node.ns, "route", "add", f"fd00::{i + 1}", "via", f"fd01::{other}")


def start(lab, node, backend, **kw):
    node.start(*OPTIONS, "--iptables-backend", backend, "--ip", node.address, "--ip6", f"fd01::{node.index}", **kw)


def make(name, backend):
    """A lab of that name with both agents ready; the caller takes it down."""
    lab = Lab(name)
    lab.up(nodes=2, tor=False)
    for node, called in zip(lab.nodes, NODES):
        node.name = called
    make_segment(lab)
    for i in range(PODS):
        make_wire(lab, i)
    for node in lab.nodes:
        start(lab, node, backend, wait_ready=False)
    for node in lab.nodes:
        node.wait_ready()
    return lab
