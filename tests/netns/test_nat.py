"""What the network asks of the packet filter besides policy: NAT of pods, and tunnels that carry packets of nodes only.

With policy and without. Two nodes on one segment, and on it too a host that is no node: what it sees is what the
world sees, and what it sends is a stranger's. Cases of IPIP run where the kernel has it (tests/uml/run.sh).
"""

import contextlib
import os
import re

import pytest

from deploy.lab import ns, wait
from deploy.lab.lab import LINK, SUBNET, Lab
from deploy.lab.traffic import Flow

from conftest import finish, make_lab, new_name
from encap import IPIP, capture, pool, settle, spec
from forge import PORT, forge, knock
from monitor import NftMonitor

WORLD = f"{SUBNET}.200"
BACKEND = "legacy" if os.environ.get("MARGAY_KERNEL") == "uml" else "nft"  # that kernel takes no nft rules
TUNNELS = ["vxlan", *(["ipip"] if IPIP else [])]


def nat_pool(mode="none", nat=True, **more):
    return pool(mode, **more).replace("natOutgoing: false", f"natOutgoing: {str(nat).lower()}")


def felix(name="default", **fields):
    lines = "".join(f"  {k}: {v}\n" for k, v in fields.items())
    return f"apiVersion: projectcalico.org/v3\nkind: FelixConfiguration\nmetadata:\n  name: {name}\nspec:\n{lines or '  {}'}"


class Site:
    def __init__(self, lab, policy):
        self.lab, self.policy = lab, policy
        self.first, self.second = (n.add_pod(f"pod{n.index}") for n in lab.nodes)
        lab.join("world", WORLD)
        self.world = lab.ns("world")
        self.mode = "none"
        wait.until("pods reach each other", lambda: self.first.ping(self.second.ip, wait_s=1))

    def apply(self, *texts):
        self.lab.apply("---\n".join(texts))
        self.settle()

    def settle(self):
        for node in self.lab.nodes:
            node.settle_policy()

    def into(self, mode, nat=True):
        """The pool in a mode; both nodes' roads and rules are as it wants them."""
        self.apply(nat_pool(mode, nat))
        settle(self.lab, mode)
        tunnel = mode.split("-")[0]
        if tunnel != "none":
            for node in self.lab.nodes:
                wait.until(f"{node.name} guards {tunnel}",
                           lambda n=node: f"Drop {'IPv4 VXLAN' if tunnel == 'vxlan' else 'IPIP'}" in rules(n, "filter"))
        self.settle()
        wait.until("pods reach each other", lambda: self.first.ping(self.second.ip, wait_s=1))

    def seen_by_world(self, pod=None, target=WORLD):
        """The source address of the pod's next packet to the world."""
        pod = pod or self.first
        packet = lambda: knock(pod.ns, target, [PORT])
        [line] = capture(Host(self.world), packet, 1, f"udp dst port {PORT}")
        return source(line)[0]


class Host:
    def __init__(self, namespace):
        self.ns = namespace


def source(line):
    """Address and port that a packet came from. What follows is tcpdump's guess by the port, which is any."""
    found = re.search(r" ([\d.]+)\.(\d+) > [\d.]+\.\d+: ", line)
    assert found, line
    return found[1], int(found[2])


def rules(node, table, *options):
    return ns.out(node.ns, f"iptables-{BACKEND}-save", "-t", table, *options)


def ours(node):
    """Is any chain of ours in the kernel?"""
    return any("cali" in rules(node, t) for t in ("raw", "mangle", "nat", "filter"))


@pytest.fixture(scope="module", params=["policy", "bare"])
def site(request):
    lab = Lab(new_name())
    try:
        lab = make_lab(lab.name, nodes=2, tor=False, start=False, manifest=nat_pool())
        options = ["--iptables-backend", BACKEND, "--policy" if request.param == "policy" else "--policy=false"]
        for node in lab.nodes:
            node.start(*options, wait_ready=False)
        for node in lab.nodes:
            node.wait_ready()
        made = Site(lab, request.param == "policy")
    except BaseException:
        finish(request, [lab])
        raise
    yield made
    finish(request, [lab])


@pytest.fixture
def s(site):
    site.lab.ctl("delete", "felixconfiguration", "default", check=False)
    site.lab.ctl("delete", "felixconfiguration", "node.node1", check=False)
    site.into("none")
    return site


# ---- NAT

def test_the_world_sees_the_node(s):
    assert s.seen_by_world() == s.first.node.address
    assert s.seen_by_world(s.second) == s.second.node.address
    assert s.first.ping(WORLD)  # and the answer comes back


def test_pods_see_each_other(s):
    [line] = capture(s.second, lambda: knock(s.first.ns, s.second.ip, [PORT]), 1, f"udp port {PORT}", interface="eth0")
    assert source(line)[0] == s.first.ip


def test_on_and_off_live(s):
    for nat in (False, True, False, True):
        s.apply(nat_pool(nat=nat))
        assert s.seen_by_world() == (s.first.node.address if nat else s.first.ip)


def test_rules_and_sets_are_felix_own(s):
    node = s.first.node
    assert ("-A cali-nat-outgoing -m set --match-set cali40masq-ipam-pools src -m set ! --match-set cali40all-ipam-pools dst "
            '-m comment --comment "cali:flqWnvo8yq4ULQLa" -j MASQUERADE --random-fully') in rules(node, "nat")
    for name in ("cali40all-ipam-pools", "cali40masq-ipam-pools"):
        held = ns.out(node.ns, "ipset", "list", name)
        assert "Type: hash:net" in held and "maxelem 1048576" in held and "172.31.0.0/16" in held
    s.apply(nat_pool(nat=False))
    assert "MASQUERADE" not in rules(node, "nat")
    wait.until("the sets are gone", lambda: "ipam-pools" not in ns.out(node.ns, "ipset", "list", "-n"))


def test_a_disabled_pool_exempts_its_range(s):
    exempt = pool("none", "exempt", f"{SUBNET}.192/26") + "  disabled: true\n"
    s.apply(exempt)
    assert s.seen_by_world() == s.first.ip
    s.lab.ctl("delete", "ippool", "exempt")
    s.settle()
    assert s.seen_by_world() == s.first.node.address


def test_an_address_of_its_own(s):
    other = f"{SUBNET}.77"
    ns.ip(s.first.node.ns, "addr", "add", f"{other}/24", "dev", LINK)
    s.apply(felix("node.node1", natOutgoingAddress=other))
    assert s.seen_by_world() == other
    assert s.seen_by_world(s.second) == s.second.node.address  # the setting is node1's
    s.lab.ctl("delete", "felixconfiguration", "node.node1")
    s.settle()
    assert s.seen_by_world() == s.first.node.address


@pytest.mark.parametrize("kind", ["udp", "tcp"])
@pytest.mark.parametrize("address", ["", f"{SUBNET}.78"])
def test_a_range_of_ports(s, kind, address):
    if address:
        ns.ip(s.first.node.ns, "addr", "replace", f"{address}/24", "dev", LINK)
    fields = {"natPortRange": '"41000:41031"', **({"natOutgoingAddress": address} if address else {})}
    s.apply(felix("node.node1", **fields))
    what = "udp" if kind == "udp" else "tcp[tcpflags] & tcp-syn != 0 and tcp"
    seen = capture(Host(s.world), lambda: knock(s.first.ns, WORLD, range(PORT, PORT + 10), kind), 10,
                   f"src net {SUBNET}.0/24 and dst host {WORLD} and {what}")
    ports = {source(line) for line in seen}
    assert {a for a, _ in ports} == {address or s.first.node.address}
    assert all(41000 <= p <= 41031 for _, p in ports), ports


def test_nodes_may_be_excluded(s):
    node = s.second.node
    heard = lambda: source(capture(node, lambda: knock(s.first.ns, node.address, [PORT]), 1, f"udp port {PORT}")[0])[0]
    assert heard() == s.first.node.address
    s.apply(felix(natOutgoingExclusions="IPPoolsAndHostIPs"))
    # With sets that hold the nodes; pods' packets go as they are, the world's do not.
    held = ns.out(s.first.node.ns, "ipset", "list", "cali40all-hosts-net")
    assert all(f"\n{n.address}\n" in held for n in s.lab.nodes)
    ns.run(s.first.node.ns, "conntrack", "-F", check=False)
    assert heard() == s.first.ip
    assert s.seen_by_world() == s.first.node.address


def test_only_out_of_an_interface(s):
    s.apply(felix(iptablesNATOutgoingInterfaceFilter="nowhere0"))
    assert s.seen_by_world() == s.first.ip
    s.apply(felix(iptablesNATOutgoingInterfaceFilter=LINK[:3] + "+"))
    assert s.seen_by_world() == s.first.node.address


def test_toggling_hurts_no_flow(s):
    flow = Flow(s.first, s.second)
    for i in range(6):
        s.apply(nat_pool(nat=bool(i % 2)), felix(natOutgoingExclusions="IPPoolsAndHostIPs" if i % 3 else "IPPoolsOnly"))
    said = flow.stop()
    assert not said["lost"] and not said["errors"], said


def test_a_new_life_changes_nothing(s):
    s.into("vxlan-always")
    node = s.first.node

    def state():
        tables = "".join(rules(node, t) for t in ("raw", "mangle", "nat", "filter"))
        return re.sub(r"(?m)^#.*\n|\[\d+:\d+\]", "", tables), sorted(ns.out(node.ns, "ipset", "save").splitlines())
    before = state()
    flow = Flow(s.first, s.second)
    # Nothing is written at all, where the kernel can tell.
    with NftMonitor(node.ns) if BACKEND == "nft" else contextlib.nullcontext() as watch:
        node.kill()
        node.start("--iptables-backend", BACKEND, "--policy" if s.policy else "--policy=false")
        node.settle_policy()
        said = watch.stop() if watch else []
    assert flow.stop()["lost"] == []
    assert state() == before
    assert [x for x in said if "cali" in x] == []


# ---- tunnels

def forged(s, where, tunnel, target, *source, to=None):
    """A tunnel's packet to the node of a pod, for the pod, as if from the other pod."""
    inner = s.second.ip if target is s.first else s.first.ip
    if tunnel == "ipip":
        forge(where, "ipip", target.node.address, inner, target.ip, *source)
    else:
        mac = spec(target.node)["vxlanTunnelMACAddr"]
        forge(where, "vxlan", to or target.node.address, mac, inner, target.ip, *source)


def is_let_in(s, where, tunnel, target, *source, to=None):
    """Does the packet in the tunnel come out at the pod? An echo behind it says when to stop waiting."""
    def action():
        forged(s, where, tunnel, target, *source, to=to)
        ns.run(target.node.ns, "ping", "-n", "-c", "1", "-W", "20", target.ip)
    [first] = capture(target, action, 1, f"udp port {PORT} or icmp[icmptype] == icmp-echo", interface="eth0")
    return "ICMP" not in first


@pytest.mark.parametrize("tunnel", TUNNELS)
def test_strangers_are_not_let_in(s, tunnel):
    s.into(f"{tunnel}-always")
    node = s.second.node
    assert is_let_in(s, s.first.node.ns, tunnel, s.second)
    assert not is_let_in(s, s.world, tunnel, s.second)
    if tunnel == "vxlan":  # whose socket hears what is sent to all, too
        assert not is_let_in(s, s.world, tunnel, s.second, to=f"{SUBNET}.255")
    # The same host as a node: it is no stranger now; and one again.
    s.lab.apply(f"apiVersion: projectcalico.org/v3\nkind: Node\nmetadata:\n  name: world\nspec:\n  bgp:\n    ipv4Address: {WORLD}/24\n")
    s.settle()
    assert is_let_in(s, s.world, tunnel, s.second)
    s.lab.ctl("delete", "node", "world")
    s.settle()
    assert not is_let_in(s, s.world, tunnel, s.second)
    s.apply(felix(externalNodesList=f"[{WORLD}]"))
    assert is_let_in(s, s.world, tunnel, s.second)
    assert f"{WORLD}\n" in ns.out(node.ns, "ipset", "list", "cali40all-hosts-net" if tunnel == "ipip" else "cali40all-vxlan-net")


@pytest.mark.parametrize("tunnel", TUNNELS)
def test_host_endpoints_change_nothing_of_it(s, tunnel):
    """A host endpoint that denies all lets tunnels of nodes pass, in and out, and no stranger's; nor does one that allows all."""
    if not s.policy:  # host endpoints are policy
        return
    s.into(f"{tunnel}-always")
    host = "".join(f"apiVersion: projectcalico.org/v3\nkind: HostEndpoint\nmetadata: {{name: {n.name}, labels: {{host: y}}}}\n"
                   f"spec: {{node: {n.name}, interfaceName: {LINK}}}\n---\n" for n in s.lab.nodes)
    allow = ("apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: hosts}\n"
             "spec: {selector: has(host), types: [Ingress, Egress], ingress: [{action: Allow}], egress: [{action: Allow}]}\n")
    try:
        for texts in ((host,), (host, allow)):
            s.apply(*texts)
            assert is_let_in(s, s.first.node.ns, tunnel, s.second)
            assert not is_let_in(s, s.world, tunnel, s.second)
            assert s.first.ping(s.second.ip) and s.second.ping(s.first.ip)
            assert s.seen_by_world() == s.first.node.address
    finally:
        for n in s.lab.nodes:
            s.lab.ctl("delete", "hostendpoint", n.name, check=False)
        s.lab.ctl("delete", "globalnetworkpolicy", "hosts", check=False)
        s.settle()


@pytest.mark.parametrize("tunnel", TUNNELS)
def test_pods_send_no_tunnel_packets(s, tunnel):
    """Neither to another node, where NAT would make them a node's, nor to their own; nor with a node's address as source."""
    s.into(f"{tunnel}-always")
    for target in (s.second, s.first):
        assert not is_let_in(s, s.first.ns, tunnel, target)
        assert not is_let_in(s, s.first.ns, tunnel, target, s.second.node.address)
    what = "proto 4" if tunnel == "ipip" else "udp port 4789"

    def action():
        forged(s, s.first.ns, tunnel, s.second)
        knock(s.first.ns, WORLD, [PORT])
    [line] = capture(s.first.node, action, 1, f"src host {s.first.node.address} and ({what} or dst port {PORT})")
    assert f"> {WORLD}.{PORT}: " in line


@pytest.mark.parametrize("tunnel", TUNNELS)
def test_pods_may_be_let(s, tunnel):
    """A virtual network inside of the pods' one: not between nodes, but from pod to pod."""
    s.into(f"{tunnel}-always")
    s.apply(felix(allowVXLANPacketsFromWorkloads="true", allowIPIPPacketsFromWorkloads="true"))

    def action():
        if tunnel == "ipip":
            forge(s.first.ns, "ipip", s.second.ip, "10.9.9.1", "10.9.9.2")
        else:
            forge(s.first.ns, "vxlan", s.second.ip, "02:00:00:00:00:01", "10.9.9.1", "10.9.9.2")
        ns.run(s.second.node.ns, "ping", "-n", "-c", "1", "-W", "20", s.second.ip)
    what = "proto 4" if tunnel == "ipip" else "udp port 4789"
    [line] = capture(s.second, action, 1, f"{what} or icmp[icmptype] == icmp-echo", interface="eth0")
    assert "10.9.9.1" in line, line


@pytest.mark.parametrize("tunnel", TUNNELS)
def test_guards_come_and_go_with_the_tunnel(s, tunnel):
    """While they change, what is between nodes is never lost."""
    flow = Flow(s.first, s.second)
    for mode in (f"{tunnel}-always", "none", f"{tunnel}-always"):
        s.into(mode)
    said = flow.stop()
    assert len(said["lost"]) <= 3 and not said["errors"], said
    if tunnel == "vxlan":
        text = rules(s.first.node, "raw")
        assert re.search(r"--dport 4789 .*-j (NOTRACK|CT --notrack)", text)


def test_another_port(s):
    s.into("vxlan-always")
    s.apply(felix(vxlanPort="4790"))
    for node in s.lab.nodes:
        wait.until("the port is the rules' too", lambda n=node: "--dport 4790" in rules(n, "filter")
                   and "4789" not in rules(n, "raw"))
    wait.until("pods reach each other by it", lambda: s.first.ping(s.second.ip, wait_s=1))


if not IPIP:
    def test_rules_of_ipip_where_the_kernel_has_none(s):
        """They need no device: loaded and read back, and a stranger's packet counts as one."""
        s.apply(nat_pool("ipip-always"))
        node = s.second.node
        wait.until("the rules are there", lambda: "Drop IPIP packets from non-Calico hosts" in rules(node, "filter"))
        drops = lambda: int(re.search(r"\[(\d+):\d+\] -A (?:cali-)?INPUT .*Drop IPIP packets from non-Calico hosts",
                                      rules(node, "filter", "-c"))[1])
        assert drops() == 0
        forge(s.first.node.ns, "ipip", node.address, s.first.ip, s.second.ip)
        forge(s.world, "ipip", node.address, s.first.ip, s.second.ip)
        wait.until("the stranger's was dropped, the node's was not", lambda: drops() == 1)


# ---- policy off

def test_nothing_where_nothing_is_asked(labs):
    """Without policy, NAT and tunnels no rule and no set is ours; and what policy had written goes."""
    lab = labs(nodes=1, tor=False, start=False, manifest=nat_pool(nat=False))
    [node] = lab.nodes
    node.start("--iptables-backend", BACKEND)
    node.settle_policy()
    pod = node.add_pod("pod1")
    assert "cali-FORWARD" in rules(node, "filter")
    node.stop()
    node.start("--iptables-backend", BACKEND, "--policy=false")
    wait.until("nothing is left", lambda: not ours(node))
    wait.until("nor a set", lambda: "cali" not in ns.out(node.ns, "ipset", "list", "-n"))
    assert pod.ping(node.address)
    # A pool asks: its rules are there, and no others.
    lab.apply(nat_pool())
    wait.until("NAT is there", lambda: "MASQUERADE" in rules(node, "nat"))
    assert "cali" not in rules(node, "filter") + rules(node, "raw") + rules(node, "mangle")
    lab.apply(nat_pool(nat=False))
    wait.until("and gone", lambda: not ours(node))


def test_somebody_else_does_it(labs):
    """networkRules false: another agent holds the rules, and they stay as they are."""
    lab = labs(nodes=1, tor=False, start=False, manifest=nat_pool())
    [node] = lab.nodes
    ns.run(node.ns, f"iptables-{BACKEND}-restore", "-w", input="*nat\n:cali-nat-outgoing - [0:0]\n-A cali-nat-outgoing -j RETURN\nCOMMIT\n")
    node.start("--iptables-backend", BACKEND, "--policy=false", "--network-rules=false")
    pod = node.add_pod("pod1")
    assert pod.ping(node.address)
    assert "-A cali-nat-outgoing -j RETURN\n" in rules(node, "nat") and "MASQUERADE" not in rules(node, "nat")


def test_rules_of_another_agent(labs):
    """Policy is off here, and in the kernel is policy of somebody else: all of it stays, and it is said."""
    lab = labs(nodes=1, tor=False, start=False, manifest=nat_pool())
    [node] = lab.nodes
    ns.run(node.ns, f"iptables-{BACKEND}-restore", "-w", input="*filter\n:cali-from-wl-dispatch - [0:0]\n:cali-FORWARD - [0:0]\n"
           "-A cali-FORWARD -i cali+ -j cali-from-wl-dispatch\nCOMMIT\n")
    before = rules(node, "filter")
    node.start("--iptables-backend", BACKEND, "--policy=false", wait_ready=False)
    wait.until("it is said", lambda: "left to the agent (Calico's?) whose policy is in the kernel" in node.health_text())
    strip = lambda text: re.sub(r"(?m)^#.*\n|\[\d+:\d+\]", "", text)
    assert strip(rules(node, "filter")) == strip(before) and "cali" not in rules(node, "nat")
    node.stop()
    node.start("--iptables-backend", BACKEND, "--policy=false", "--network-rules=false")
    assert strip(rules(node, "filter")) == strip(before)


def test_the_tools_decide(labs):
    """Where no backend is named: the one that the kernel takes."""
    lab = labs(nodes=1, tor=False, start=False, manifest=nat_pool())
    [node] = lab.nodes
    node.start()
    node.settle_policy()
    assert "MASQUERADE" in rules(node, "nat")
