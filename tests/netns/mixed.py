"""A node that runs Calico's BGP and not ours: BIRD 2 with what confd renders for BIRD 1.6, and pods as Felix would have wired them.

Calico's BIRD is 1.6 with patches of its own. What Debian's BIRD 2 cannot say, and what stands here instead:
    krt_tunnel          the kernel filter refuses the pools that are tunnelled and Felix (these tests) writes their routes, which is
                        what Calico 3.33 does by default (programClusterRoutes: EnabledNoEncapOnly)
    listen bgp port     not needed, it is 179
    defined(ifname)     BIRD 2's ifname is always there, and empty where there is none
    one daemon for all  BIRD 2 could speak both families; Calico runs two daemons, so these do: `bird`, and `bird6` with strict bind
"""

import signal

from deploy.lab import ns, wait
from deploy.lab.lab import LINK

NORMAL = 1024  # Calico's priority of a route; LOCAL_PREF is 2147483647 less this

CONF = """
# what bird_aggr.cfg has
protocol static {{
  {channel};
  route {block} blackhole;
}}
function calico_aggr() {{
  if (net = {block}) then {{ accept; }}
  if (net ~ {block}) then {{ reject; }}
}}

# what bird_ipam.cfg has
function apply_communities() {{
{communities}
}}
function reject_disabled_pools() {{
{disabled}
}}
function reject_tunnel_routes() {{
  if (ifname ~ "*.cali" || ifname ~ "*.calico" || ifname ~ "tunl0") then {{ reject; }}
}}
function reject_local_routes() {{
  if (ifname ~ "bpf*.cali") then {{ reject; }}
}}
function set_priority() {{
  if (!defined(krt_metric)) then {{ krt_metric = {normal}; }}
  if (!defined(bgp_local_pref)) then {{ bgp_local_pref = 2147483647 - krt_metric; }}
}}
function calico_export_to_bgp_peers(bool internal_peer) {{
  set_priority();
  reject_disabled_pools();
  if (internal_peer) then {{ reject_tunnel_routes(); }}
  reject_local_routes();
  apply_communities();
  calico_aggr();
  if (net ~ {pool}) then {{ accept; }}
}}
filter calico_kernel_programming {{
  if (source = RTS_BGP && defined(bgp_local_pref)) then {{ krt_metric = 2147483647 - bgp_local_pref; }}
{kernel}
  accept;
}}

router id {router_id};
protocol kernel {{
  learn;
  persist;
  scan time 2;
  metric 0;
  merge paths on;
  graceful restart;
  {channel} {{ import all; export filter calico_kernel_programming; }};
}}
protocol device {{ scan time 2; }}
protocol direct {{
  {channel};
  interface -"cali*", -"kube-ipvs*", "*";
}}
template bgp bgp_template {{
  description "Connection to BGP peer";
  local {address} as {asn};
  multihop;
  graceful restart;
  connect delay time 2;
  connect retry time 5;
  error wait time 5, 30;
  {channel} {{
    gateway recursive;
    add paths on;
    import all;
    export filter {{ calico_export_to_bgp_peers({internal}); reject; }};
  }};
}}
{peers}
"""


class CalicoNode:
    """A host of the lab with BIRD as Calico's; start() it when its peers are known. family 6 needs an address on the segment first."""

    def __init__(self, lab, host, number, family=4, block=None, pool=None, asn=64512):
        self.lab, self.host, self.family, self.asn = lab, host, family, asn
        self.ns = lab.ns(host)
        self.address = f"192.168.61.{number}" if family == 4 else f"fd61::{number}"
        self.router_id = f"192.168.61.{number}"
        self.pool = pool or {4: "172.31.0.0/16", 6: "fd00:172::/64"}[family]
        self.block = block or {4: "172.31.255.192/26", 6: "fd00:172::ffff:ff80/122"}[family]
        self.daemon = f"{host}-bird{'6' if family == 6 else ''}"
        self.dir = lab.dir / self.daemon
        self.dir.mkdir()
        self.peers, self.options = {}, {}
        self.communities = self.disabled = self.kernel = ""
        self.process = None

    @property
    def node(self):
        """Calico's Node, as calico-node writes it at its start."""
        key = "ipv4Address" if self.family == 4 else "ipv6Address"
        return f"apiVersion: projectcalico.org/v3\nkind: Node\nmetadata: {{name: {self.host}}}\n" \
               f"spec: {{bgp: {{{key}: \"{self.address}/{24 if self.family == 4 else 64}\", asNumber: {self.asn}}}}}\n"

    def render(self):
        """What confd does when something has changed."""
        peers = ""
        for address, asn in self.peers.items():
            name = "Mesh_" + address.replace(".", "_").replace(":", "_")
            passive = "  passive on;\n" if address > self.address else ""  # texts are compared
            more = passive + self.options.get(address, "")
            peers += f"protocol bgp {name} from bgp_template {{\n  neighbor {address} as {asn};\n{more}}}\n"
        conf = CONF.format(channel=f"ipv{self.family}", block=self.block, pool=self.pool, normal=NORMAL, router_id=self.router_id,
                           address=self.address, asn=self.asn, peers=peers, communities=self.communities, disabled=self.disabled,
                           kernel=self.kernel, internal="true" if all(a == self.asn for a in self.peers.values()) else "false")
        if self.family == 6:
            conf = conf.replace("  multihop;\n", "  multihop;\n  strict bind;\n")
        (self.dir / "bird.cfg").write_text(conf)

    def start(self):
        """As the runit service does: -R, for graceful restart's recovery."""
        self.render()
        self.process = self.lab.spawn(self.daemon, self.ns, "bird", "-f", "-R", "-c", self.dir / "bird.cfg", "-s", self.dir / "bird.ctl")
        wait.until(f"{self.daemon} answers: {self.lab.log(self.daemon)[-500:]}", lambda: "BIRD" in self.birdc("show", "status"))

    def configure(self):
        self.render()
        said = self.birdc("configure")
        assert "Reconfigur" in said, said

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def birdc(self, *words):
        return ns.out(self.ns, "birdc", "-s", self.dir / "bird.ctl", *words, check=False)

    def up(self):
        """Addresses of the peers that are Established."""
        shown = self.birdc("show", "protocols").splitlines()
        return {a for a in self.peers if any(a.replace(".", "_").replace(":", "_") in line.split()[0] and "Established" in line
                                             for line in shown if line.startswith("Mesh_"))}

    def route(self, prefix):
        """All that BIRD has for a prefix."""
        return self.birdc("show", "route", "all", prefix)

    def routes(self):
        """Its kernel's."""
        return ns.ip(self.ns, f"-{self.family}", "route", "show")

    def add_pod(self, name, last):
        return CalicoPod(self, name, f"{self.block.split('/')[0].rsplit(':' if self.family == 6 else '.', 1)[0]}"
                         f"{':' if self.family == 6 else '.'}{last}")


class CalicoPod:
    """A pod as Calico's CNI plugin and Felix leave it: a veth, a /32, a route to it."""

    def __init__(self, node, name, ip):
        self.node, self.name, self.ip = node, name, ip
        self.ns = f"{node.lab.name}-{name}"
        self.host_interface = f"cali{name}{node.family}"
        ns.add(self.ns)
        ns.ip(node.ns, "link", "add", self.host_interface, "type", "veth", "peer", "name", "eth0", "netns", self.ns)
        ns.ip(node.ns, "link", "set", self.host_interface, "up")
        ns.ip(self.ns, "link", "set", "eth0", "up")
        if node.family == 4:
            gateway = "169.254.1.1"
            ns.ip(self.ns, "addr", "add", f"{ip}/32", "dev", "eth0")
        else:
            gateway = wait.until("the gateway", lambda: link_local(node.ns, self.host_interface))
            ns.ip(self.ns, "-6", "addr", "add", f"{ip}/128", "dev", "eth0", "nodad")
        # Calico's proxy ARP answers only where the host has a default route, which hosts of the lab have not
        [link] = ns.ip_json(node.ns, "link", "show", "dev", self.host_interface)
        ns.ip(self.ns, "neigh", "replace", gateway, "lladdr", link["address"], "dev", "eth0", "nud", "permanent")
        family = f"-{node.family}"
        ns.ip(self.ns, family, "route", "add", gateway, "dev", "eth0")
        ns.ip(self.ns, family, "route", "add", "default", "via", gateway, "dev", "eth0")
        ns.ip(node.ns, family, "route", "add", ip, "dev", self.host_interface, "scope", "link")

    def ping(self, address, count=1, wait_s=2):
        return ns.run(self.ns, "ping", "-n", "-q", "-c", count, "-i", "0.05", "-W", wait_s, address, check=False).returncode == 0


def link_local(namespace, link):
    for a in ns.ip_json(namespace, "-6", "addr", "show", "dev", link, "scope", "link"):
        for i in a["addr_info"]:
            if i.get("local") and not i.get("tentative"):
                return i["local"]
    return None


def join(lab, host, number):
    """A host on the segment, for a CalicoNode of either family."""
    lab.join(host, f"192.168.61.{number}")
    ns.ip(lab.ns(host), "-6", "addr", "add", f"fd61::{number}/64", "dev", LINK, "nodad")
    ns.run(lab.ns(host), "sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
