"""The frame that need not be Calico's: no table and no tracking that nobody needs, and nothing let in for it."""

import re

import pytest

from deploy.lab import ns, wait

from conftest import POOL
from encap import capture, pool
from ground import BACKENDS, calico

HOST = calico("HostEndpoint", "uplink", {"node": "node1", "interfaceName": "eth1"})
ALLOW = calico("GlobalNetworkPolicy", "all", {"selector": "all()", "types": ["Ingress", "Egress"], "applyOnForward": True,
                                              "ingress": [{"action": "Allow"}], "egress": [{"action": "Allow"}]})


def save(node, backend, *options):
    return ns.out(node.ns, f"iptables-{backend}-save", *options)


def tables(node, backend):
    """{table: hooks} in which any rule is."""
    found, table = {}, None
    for line in save(node, backend).splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif m := re.match(r"-A ([A-Z]+) ", line):
            found.setdefault(table, set()).add(m[1])
    return found


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_table_that_nobody_needs(labs, backend):
    lab = labs(nodes=1, tor=False, start=False, manifest=pool("none"))
    [node] = lab.nodes
    node.start("--iptables-backend", backend)
    node.settle_policy()
    plain = {"raw": {"PREROUTING"}, "filter": {"INPUT", "FORWARD"}}
    assert tables(node, backend) == plain
    if backend == "nft":  # not even empty ones, which each packet would meet
        assert not re.search(r"(?m)^table ip (mangle|nat)", ns.out(node.ns, "nft", "list", "tables"))
    # A tunnel needs more; a host endpoint all; and what is not needed any more goes.
    lab.apply(pool("vxlan-always"))
    tunnel = {"raw": {"PREROUTING", "OUTPUT"}, "nat": {"POSTROUTING"}, "filter": {"INPUT", "FORWARD"}}
    wait.until("the tunnel's rules are there", lambda: tables(node, backend) == tunnel)
    lab.apply(HOST + "---\n" + ALLOW)
    wait.until("all are there", lambda: tables(node, backend).get("mangle") == {"PREROUTING", "POSTROUTING"}
               and "OUTPUT" in tables(node, backend)["filter"])
    lab.ctl("delete", "hostendpoint", "uplink")
    wait.until("no more than the tunnel's", lambda: tables(node, backend) == tunnel)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_unknown_interface_has_no_flow(labs, backend):
    """Established or not: what comes from a pod's interface without an endpoint, or goes there, is dropped."""
    lab = labs(nodes=2, tor=False, start=False, manifest=POOL)
    node, other = lab.nodes
    for n in lab.nodes:
        n.start("--iptables-backend", backend)
    node.settle_policy()
    address, link, stranger = "198.51.100.7", "cali0123456789a", lab.ns("stranger")
    ns.add(stranger)
    ns.ip(node.ns, "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", stranger)
    ns.ip(node.ns, "link", "set", link, "up")
    ns.ip(stranger, "addr", "add", f"{address}/32", "dev", "eth0")
    ns.ip(stranger, "link", "set", "eth0", "up")
    ns.ip(stranger, "route", "add", "default", "dev", "eth0")
    ns.run(node.ns, "sysctl", "-qw", f"net.ipv4.conf.{link}.proxy_arp=1", f"net.ipv4.conf.{link}.forwarding=1")
    ns.ip(node.ns, "route", "replace", address, "dev", link, "scope", "link")
    ns.ip(other.ns, "route", "add", address, "via", node.address)
    # Both know each other, as far as the kernel is concerned.
    ns.run(node.ns, "conntrack", "-I", "-p", "udp", "-s", address, "-d", other.address, "--sport", 7001, "--dport", 7002,
           "-t", 300, "--status", "ASSURED,SEEN_REPLY")
    ns.run(node.ns, f"iptables-{backend}", "-w", "-t", "mangle", "-A", "PREROUTING", "-p", "udp", "-m", "conntrack",
           "--ctstate", "ESTABLISHED", "-m", "multiport", "--ports", "7001,7002")
    established = lambda: int(re.search(r"\[(\d+):", save(node, backend, "-c", "-t", "mangle").split("-A PREROUTING")[0]
                                        .rsplit("\n", 1)[1])[1])
    send = ("import socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((sys.argv[1], int(sys.argv[2])));"
            "s.sendto(b'x', (sys.argv[3], int(sys.argv[4])))")
    for n, (where, words, at, link_there) in enumerate((
            (stranger, (address, 7001, other.address, 7002), other, "eth1"),
            (other.ns, (other.address, 7002, address, 7001), node, link))):
        def action(where=where, words=words, n=n):
            ns.run(where, "/usr/bin/python3", "-c", send, *words)
            wait.until("it was seen, and known as established", lambda: established() == n + 1)
        assert capture(at, action, 0, "udp port 7001 and not icmp", interface=link_there) == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_tracking_is_others_choice(labs, backend):
    """With policy off, rules of a tunnel have no connection tracked, unless somebody else has."""
    lab = labs(nodes=2, tor=False, start=False, manifest=pool("vxlan-always").replace("natOutgoing: true", "natOutgoing: false"))
    for node in lab.nodes:
        node.start("--iptables-backend", backend, "--policy=false", wait_ready=False)
    for node in lab.nodes:
        node.wait_ready()
    first, second = (n.add_pod(f"pod{n.index}") for n in lab.nodes)
    node = lab.nodes[0]
    wait.until("the guard is there", lambda: tables(node, backend) == {"filter": {"INPUT", "FORWARD"}})
    wait.until("pods reach each other", lambda: first.ping(second.ip, wait_s=1))
    assert int(ns.out(node.ns, "cat", "/proc/sys/net/netfilter/nf_conntrack_count")) == 0
    assert tables(node, backend) == {"filter": {"INPUT", "FORWARD"}}
    ns.run(node.ns, f"iptables-{backend}", "-w", "-t", "nat", "-A", "PREROUTING", "-p", "tcp", "-d", "10.96.0.1", "-j", "DNAT",
           "--to-destination", second.ip)
    wait.until("a flow is tracked", lambda: first.ping(second.ip, wait_s=1)
               and int(ns.out(node.ns, "cat", "/proc/sys/net/netfilter/nf_conntrack_count")) > 0)
    wait.until("the rest is there", lambda: tables(node, backend) == {
        "filter": {"INPUT", "FORWARD"}, "raw": {"PREROUTING", "OUTPUT"}, "nat": {"PREROUTING", "POSTROUTING"}}, 60)
    assert "-o vxlan.calico" in save(node, backend, "-t", "nat")
