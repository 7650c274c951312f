"""What is set about policy: FelixConfiguration and environment, live; what is missing, named; services, spoofing, flows."""

import json
import re
import subprocess

import pytest

from deploy.lab import ns, wait
from deploy.lab.cni import CniError
from deploy.lab.traffic import Flow

from ground import calico
from probe import Server, mistakes, reaches


def felix(spec, name="default"):
    return calico("FelixConfiguration", name, spec)


def save(node, table=None, tool="iptables-nft"):
    return ns.out(node.ns, f"{tool}-save", *(["-t", table] if table else []))


def rules(node, chain, table="filter", tool="iptables-nft"):
    """The rules of one chain, without hashes."""
    return [re.sub(r'-m comment --comment "cali:\S+" ?', "", x) for x in save(node, table, tool).splitlines()
            if x.startswith(f"-A {chain} ")]


@pytest.fixture
def one(labs):
    """One node with policy, on iptables-nft."""
    lab = labs(nodes=1, tor=False, start=False)
    [node] = lab.nodes
    node.start("--iptables-backend", "nft")
    return node


def eventually(what, test, seconds=60):
    wait.until(what, test, seconds)


# ---- FelixConfiguration, live

def test_settings_arrive_without_a_restart(one):
    one.add_pod("a")
    pid = one.process.pid
    one.lab.apply(felix({
        "failsafeInboundHostPorts": [{"protocol": "tcp", "port": 2222}, {"protocol": "udp", "port": 53, "net": "10.0.0.0/8"}],
        "failsafeOutboundHostPorts": [], "iptablesFilterDenyAction": "Reject", "defaultEndpointToHostAction": "ACCEPT",
        "disableConntrackInvalidCheck": True, "interfacePrefix": "cali,tap", "iptablesMarkMask": 0xff000000,
        "allowIPIPPacketsFromWorkloads": True}))
    eventually("its rules are there", lambda: "-i tap+" in save(one))
    one.settle_policy()
    text = save(one)
    assert "-i tap+" in text and "-i cali+" in text
    assert rules(one, "cali-wl-to-host")[-1].endswith("-j ACCEPT")
    assert "0x1000000/0x1000000" in text and "0x10000/0x10000" not in text
    own = [x.split()[1] for x in save(one, "filter").splitlines() if x.startswith("-A cali-fw-")][0]
    body = rules(one, own)
    assert not any("INVALID" in x for x in body) and body[-1].endswith("REJECT --reject-with icmp-port-unreachable")
    assert not any("-p ipencap" in x for x in body) and any("--dports 4789" in x for x in body)
    assert one.process.pid == pid and one.process.poll() is None
    one.lab.ctl("delete", "felixconfiguration", "default")
    eventually("the defaults are back", lambda: "-i tap+" not in save(one) and "0x10000/0x10000" in save(one))


def test_layers_by_weight_and_node(one):
    lab = one.lab
    lab.ctl("label", "node", one.name, "rack=7")
    lab.apply("---\n".join([
        felix({"defaultEndpointToHostAction": "Drop", "logPrefix": "all", "serviceLoopPrevention": "Reject"}),
        felix({"defaultEndpointToHostAction": "Accept", "logPrefix": "rack", "nodeSelector": "rack == '7'"}, "racks"),
        felix({"defaultEndpointToHostAction": "Return", "logPrefix": "other", "nodeSelector": "rack == '8'"}, "strangers"),
        felix({"logPrefix": "own"}, f"node.{one.name}"),
        calico("BGPConfiguration", "default", {"serviceClusterIPs": [{"cidr": "10.96.0.0/12"}],
                                              "serviceLoadBalancerIPs": [{"cidr": "198.51.100.0/24"}]}),
        calico("GlobalNetworkPolicy", "log", {"selector": "all()", "types": ["Ingress"], "ingress": [{"action": "Log"}]})]))
    one.add_pod("a")
    eventually("the services are shut", lambda: ["REJECT" in x for x in rules(one, "cali-cidr-block")] == [True, True])
    eventually("the selected layer holds", lambda: rules(one, "cali-wl-to-host")[-1].endswith("-j ACCEPT"))
    eventually("the node's own prefix is logged", lambda: '--log-prefix "own: "' in save(one))
    lab.ctl("label", "node", one.name, "rack-")
    eventually("without its label the node has the cluster's", lambda: rules(one, "cali-wl-to-host")[-1].endswith("-j DROP"))


def test_log_limits_and_words(one):
    one.lab.apply("---\n".join([
        felix({"logPrefix": "%t/%n", "logActionRateLimit": "10/minute", "logActionRateLimitBurst": 7}),
        calico("GlobalNetworkPolicy", "log", {"selector": "all()", "types": ["Ingress"], "ingress": [{"action": "Log"}]})]))
    one.add_pod("a")
    one.settle_policy()
    eventually("the limit is there", lambda: "--limit 10/min" in save(one))
    [line] = [x for x in save(one).splitlines() if "-j LOG" in x]
    assert '--log-prefix "default/log: "' in line and "--limit-burst 7" in line, line


def test_a_wrong_field_is_named_and_the_others_count(one):
    one.add_pod("a")
    lab = one.lab
    lab.apply(felix({"defaultEndpointToHostAction": "Accept", "logActionRateLimit": "10/minute"}))
    eventually("it holds", lambda: rules(one, "cali-wl-to-host")[-1].endswith("-j ACCEPT"))
    from test_policy import spoil
    spoil(lab, "felixconfigurations/default", '"10/minute"', '"often"')
    eventually("it is named", lambda: any("logActionRateLimit" in x and "FelixConfiguration default" in x
                                          for x in one.ctl_json("node", "status")["policyTroubles"]))
    one.settle_policy()
    assert one.health() == 200 and rules(one, "cali-wl-to-host")[-1].endswith("-j ACCEPT")
    said = one.ctl("node", "status").stdout
    assert "Policy: in force (iptables-nft; no IPv6: there is no IPv6 pool)" in said and "logActionRateLimit" in said, said
    said = lab.ctl("apply", "-f", "-", stdin=felix({"logActionRateLimit": "often"}), check=False)
    assert said.returncode == 1 and "logActionRateLimit" in said.stderr


def test_environment_over_objects(labs):
    lab = labs(nodes=1, tor=False, start=False)
    [node] = lab.nodes
    lab.apply(felix({"defaultEndpointToHostAction": "Drop", "failsafeInboundHostPorts": [{"protocol": "tcp", "port": 1}]}))
    node.start("--iptables-backend", "nft", env={
        "FELIX_DefaultEndpointToHostAction": "ACCEPT", "FELIX_FAILSAFEINBOUNDHOSTPORTS": "tcp:2022,udp:10.0.0.0/8:53,179",
        "FELIX_FailsafeOutboundHostPorts": "none", "FELIX_INTERFACEPREFIX": "cali,vm", "FELIX_LOGACTIONRATELIMIT": "now and then"})
    lab.apply(calico("HostEndpoint", "h", {"node": node.name, "interfaceName": "eth1"}) + "---\n" +
              calico("GlobalNetworkPolicy", "allow", {"selector": "all()", "types": ["Ingress", "Egress"], "ingress": [
                  {"action": "Allow"}], "egress": [{"action": "Allow"}]}))
    node.settle_policy()
    assert [re.findall(r"-p (\S+).*?dports (\d+)", x)[0] for x in rules(node, "cali-failsafe-in")] == \
        [("tcp", "2022"), ("udp", "53"), ("tcp", "179")]
    assert rules(node, "cali-failsafe-out") == [] and "-i vm+" in save(node)
    assert rules(node, "cali-wl-to-host")[-1].endswith("-j ACCEPT")
    assert any("FELIX_LOGACTIONRATELIMIT" in x for x in node.ctl_json("node", "status")["policyTroubles"])


# ---- on, off, and what is missing

def test_on_by_default_and_off_takes_its_rules_away(one):
    pod = one.add_pod("a")
    one.lab.apply(calico("NetworkPolicy", "deny", {"selector": "all()", "types": ["Ingress"]}, "default"))
    one.settle_policy()
    assert "cali-tw-" in save(one)
    assert one.stop() == 0
    one.start("--policy=false", "--iptables-backend", "nft")
    eventually("no rule of ours is left", lambda: "cali-FORWARD" not in save(one) and "cali40s" not in
               ns.out(one.ns, "ipset", "list", "-name"))
    assert one.health() == 200 and one.ctl_json("node", "status")["policy"]["on"] is False
    other = one.add_pod("b")
    assert other.ping(pod.ip)


def test_off_leaves_rules_that_others_made(labs):
    lab = labs(nodes=1, tor=False, start=False)
    [node] = lab.nodes
    ns.run(node.ns, "iptables-nft", "-N", "cali-FORWARD")
    ns.run(node.ns, "iptables-nft", "-A", "FORWARD", "-j", "cali-FORWARD")
    before = [x for x in save(node, "filter").splitlines() if not x.startswith("#")]
    node.start("--policy=false")
    node.add_pod("a")
    assert [x for x in save(node, "filter").splitlines() if not x.startswith("#")] == before


HIDDEN = ["/usr/sbin/xtables-nft-multi", "/usr/sbin/xtables-legacy-multi", "/usr/sbin/ipset"]


def test_without_tools_nothing_starts_open(labs):
    """No iptables, then no ipset: readiness and node status say so, ADDs fail with words, and installing them is enough."""
    lab = labs(nodes=1, tor=False, start=False)
    [node] = lab.nodes
    # The agent sees no such programs: in a mount namespace of its own they are covered.
    wrapped = lab.dir / "bin"
    (wrapped / "agent").mkdir(parents=True)
    cover = " && ".join(f"mount --bind /dev/null {x}" for x in HIDDEN)
    (wrapped / "agent/margayd").write_text(f"#!/bin/sh\nexec unshare -m sh -c '{cover} && exec {lab.agent} \"$@\"' margayd \"$@\"\n")
    (wrapped / "agent/margayd").chmod(0o755)
    built, lab.build = lab.build, wrapped
    node.start(wait_ready=False)
    lab.build = built

    def uncover(*paths):
        for path in paths:
            subprocess.run(["nsenter", "-t", str(node.process.pid), "-m", "umount", path], check=True)
    eventually("it is said", lambda: "package iptables" in node.health_text())
    with pytest.raises(CniError) as said:
        node.add_pod("a")
    assert said.value.code == 11 and "package iptables" in str(said.value)
    assert any("iptables" in x for x in node.ctl_json("node", "status")["notReady"])
    uncover(*HIDDEN[:2])
    eventually("now the sets are missed", lambda: "package ipset" in node.health_text())
    uncover(HIDDEN[2])
    node.wait_ready()
    node.add_pod("b")


# ---- services as peers

def slice_of(service, name, addresses, ports, space="default", kind="IPv4"):
    return json.dumps({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": kind,
                       "metadata": {"name": name, "namespace": space, "labels": {"kubernetes.io/service-name": service}},
                       "endpoints": [{"addresses": [a], "conditions": {"ready": True}} for a in addresses],
                       "ports": [{"name": f"p{p}", "port": p, "protocol": t} for t, p in ports]}) + "\n"


@pytest.fixture
def trio(one):
    pods = {name: one.add_pod(name) for name in "abc"}
    servers = [Server(p) for p in pods.values()]
    one.settle_policy()
    yield one, pods
    for s in servers:
        s.stop()


def test_services_as_destination_and_source(trio):
    node, pods = trio
    lab = node.lab
    a, b, c = (pods[x] for x in "abc")
    lab.apply(calico("NetworkPolicy", "out", {"selector": "projectcalico.org/name != 'x'", "types": ["Egress"], "egress": [
        {"action": "Allow", "destination": {"services": {"name": "web"}}}]}, "default"))
    node.settle_policy()
    asked = [f"tcp:{b.ip}:80", f"tcp:{b.ip}:81", f"udp:{b.ip}:80", f"tcp:{c.ip}:80"]

    def opens(*answers):
        return mistakes(a, dict(zip(asked, answers)), 0.7) == {}
    assert opens(False, False, False, False)
    lab.apply(slice_of("web", "web-1", [b.ip], [("TCP", 80)]))
    node.settle_policy()
    assert opens(True, False, False, False)
    lab.apply(slice_of("web", "web-2", [c.ip], [("TCP", 80), ("UDP", 81)]))
    node.settle_policy()
    assert opens(True, False, False, True)
    assert "web-1" in lab.ctl("get", "endpointslices").stdout
    lab.ctl("delete", "endpointslices.discovery.k8s.io", "web-1")
    node.settle_policy()
    assert opens(False, False, False, True)
    lab.ctl("delete", "networkpolicy", "out", "-n", "default")
    lab.apply(calico("NetworkPolicy", "in", {"selector": "all()", "types": ["Ingress"], "ingress": [
        {"action": "Allow", "source": {"services": {"name": "web", "namespace": "default"}}}]}, "default"))
    node.settle_policy()
    assert mistakes(c, {f"udp:{b.ip}:80": True}) == {} and not reaches(a, f"udp:{b.ip}:80")


def test_a_wrong_slice_is_refused_with_its_field(one):
    said = one.lab.ctl("apply", "-f", "-", stdin=slice_of("web", "w", ["10.0.0.256"], [("TCP", 80)]), check=False)
    assert said.returncode == 1 and "endpoints[0].addresses[0]" in said.stderr and "spec." not in said.stderr, said.stderr
    said = one.lab.ctl("apply", "-f", "-", stdin=slice_of("web", "w", ["10.0.0.1"], [("GRE", 80)]), check=False)
    assert said.returncode == 1 and "ports[0].protocol" in said.stderr, said.stderr


# ---- IPv6 that comes later

POOL6 = calico("IPPool", "six", {"cidr": "fd00:61::/116", "blockSize": 122})


def test_an_ipv6_pool_later_needs_no_restart(one):
    first = one.add_pod("a")
    assert one.ctl_json("node", "status")["policy"].get("ipv6") is None
    one.lab.apply(POOL6)
    eventually("IPv6 rules are there", lambda: "cali-FORWARD" in save(one, "filter", "ip6tables-nft"))
    one.settle_policy()
    ipam = {"type": "margay-ipam", "assign_ipv4": "true", "assign_ipv6": "true"}
    pod = one.add_pod("b", network=one.network(ipam=ipam))
    assert len(pod.result["ips"]) == 2
    chain = f"cali-tw-{pod.host_interface}"
    assert f"-A {chain} " in save(one, "filter", "ip6tables-nft") or "cali-tw-" in save(one, "filter", "ip6tables-nft")
    assert first.ping(pod.ip)


# ---- other sources of pods

def test_allowed_sources_of_a_pod(one):
    """Only the pod that is allowed, only from the sources allowed, and only where the setting says so."""
    target = one.add_pod("target")
    network = one.network(args={"margay": {"allowedSourcePrefixes": ["198.51.100.0/24"]}})
    pod, other = one.add_pod("spoof", network=network), one.add_pod("honest")
    for p in (pod, other):
        for address in ("198.51.100.7", "203.0.113.7"):
            p.run("ip", "addr", "add", f"{address}/32", "dev", "lo")

    def arrives(source, address):
        """Does a packet from this address come to the target? Its answer would not find back."""
        name = f"in-{address}"
        target.run("nft", "add", "table", "ip", "seen")
        target.run("nft", "flush", "table", "ip", "seen")
        target.run("nft", "add", "chain", "ip", "seen", "in", "{ type filter hook input priority 0; }")
        target.run("nft", "add", "rule", "ip", "seen", "in", "ip", "saddr", address, "counter")
        source.run("ping", "-n", "-q", "-c", "2", "-i", "0.1", "-W", "1", "-I", address, target.ip, check=False)
        return "packets 0 " not in target.run("nft", "list", "chain", "ip", "seen", "in").stdout, name
    one.settle_policy()
    assert not arrives(pod, "198.51.100.7")[0]
    one.lab.apply(felix({"workloadSourceSpoofing": "Any"}))
    eventually("the pod's exemption is there", lambda: len(rules(one, "cali-rpf-skip", "raw")) == 1)
    one.settle_policy()
    assert arrives(pod, "198.51.100.7")[0]
    assert not arrives(pod, "203.0.113.7")[0]
    assert not arrives(other, "198.51.100.7")[0]
    assert target.ping(pod.ip)
    one.lab.ctl("delete", "felixconfiguration", "default")
    eventually("and is gone", lambda: not rules(one, "cali-rpf-skip", "raw"))
    one.settle_policy()
    assert not arrives(pod, "198.51.100.7")[0]


def test_wrong_sources_are_refused(one):
    with pytest.raises(CniError) as said:
        one.add_pod("a", network=one.network(args={"margay": {"allowedSourcePrefixes": ["here"]}}))
    assert said.value.code == 7 and "allowedSourcePrefixes[0]" in str(said.value)
    annotated = one.network(runtimeConfig={"io.kubernetes.cri.pod-annotations": {
        "cni.projectcalico.org/allowedSourcePrefixes": '["192.0.2.5", "2001:db8::/32"]'}})
    one.add_pod("b", network=annotated)
    [wep] = [x for x in json.loads(one.lab.ctl("-o", "json", "get", "workloadendpoints").stdout)["items"]
             if x["spec"]["pod"] == "b"]
    assert wep["spec"]["allowSpoofedSourcePrefixes"] == ["192.0.2.5/32", "2001:db8::/32"]


# ---- the way round by IPv6

@pytest.mark.parametrize("policy", [True, False])
def test_no_way_round_policy_by_link_local_addresses(labs, policy):
    """On a node without IPv6 a pod's link carries none; with policy off it is as the kernel makes it."""
    lab = labs(nodes=1, tor=False, start=False)
    [node] = lab.nodes
    node.start(f"--policy={'true' if policy else 'false'}")
    pod = node.add_pod("a")
    pod.check()
    # The host's end has the MAC ee:ee:ee:ee:ee:ee.
    reached = lambda: pod.run("ping", "-6", "-n", "-q", "-c", "1", "-W", "1", "fe80::ecee:eeff:feee:eeee%eth0", check=False).returncode == 0  # noqa: E731
    if policy:
        assert ns.out(node.ns, "sysctl", "-n", f"net.ipv6.conf.{pod.host_interface}.disable_ipv6").strip() == "1"
        assert not reached()
    else:
        eventually("the host's link-local address answers", reached)


# ---- flows that a narrowed policy denies

def flows(node, port):
    return [x for x in ns.run(node.ns, "conntrack", "-L", "-p", "udp", check=False).stdout.splitlines() if f"dport={port}" in x]


@pytest.mark.parametrize("cut", [False, True])
def test_a_narrowed_policy_and_established_flows(labs, cut):
    """Off: what flows goes on. On: what is denied now is cut, and the others lose nothing."""
    lab = labs(nodes=1, tor=False, start=False)
    [node] = lab.nodes
    node.start("--iptables-backend", "nft", *(["--cut-denied-flows"] if cut else []))
    a, b, c = (node.add_pod(x, network=node.network(args={"margay": {"labels": {"pod": x}}})) for x in "abc")

    def allow(*who):
        lab.apply(calico("NetworkPolicy", "in", {"selector": "pod == 'c'", "types": ["Ingress"], "ingress": [
            {"action": "Allow", "source": {"selector": f"pod in {{{','.join(repr(x) for x in who)}}}"}}]}, "default"))
        node.settle_policy()
    allow("a", "b")
    shut, kept = Flow(a, c, port=7001), Flow(b, c, port=7002)
    host = Flow(Host(node), c, port=7003)
    assert flows(node, 7001) and flows(node, 7002)
    allow("b")
    if cut:
        eventually("the denied flow is cut", lambda: all("UNREPLIED" in x for x in flows(node, 7001)))
    assert b.ping(c.ip, count=12)  # meanwhile what is to stay stays
    done, others = shut.stop(), [kept.stop(), host.stop()]
    assert [(x["lost"], x["errors"]) for x in others] == [([], [])] * 2
    assert (len(done["lost"]) > 0) == cut, done
    if cut:
        eventually("it is counted", lambda: node.ctl_json("node", "status")["policy"]["flowsCut"] >= 1)
        eventually("it is said", lambda: "flows that policy denies now were cut" in node.log())


class Host:
    """The node itself as the source of a flow."""

    def __init__(self, node):
        self.ns = node.ns
