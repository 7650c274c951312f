"""The same conversation with BIRD, FRR, GoBGP, OpenBGPD and ExaBGP as top-of-rack routers: docs/rfc.md says what each RFC wants,
this that others understand it the same way."""

import json
import os
import pwd
import signal
from pathlib import Path

import pytest

from deploy.lab import ns, wait

TOR, NODE, NETWORK = "192.168.61.1", "192.168.61.11", "203.0.113.0/24"

MANIFEST = """
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: pool}
spec: {cidr: 172.30.0.0/16, blockSize: 26}
---
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: tor}
spec: {peerIP: 192.168.61.1, asNumber: 65001, filters: [tor]%s}
"""


class Router:
    """A top-of-rack router in the lab's namespace `tor`, AS 65001."""

    refreshes = True  # does it say its routes again when asked (RFC 2918)?
    stays = True  # and if not, does it at least stay?
    helps = True  # RFC 4724: keeps our routes while we are away
    long_lived = False  # RFC 9494: can it be told to speak it?

    def __init__(self, lab, password=None, stale_s=0):
        """stale_s: graceful restart of one second, then RFC 9494 for so long."""
        self.lab, self.password, self.stale_s = lab, password, stale_s
        self.dir = lab.dir / "router"
        self.dir.mkdir(exist_ok=True)

    def spawn(self, *cmd, env=None):
        self.proc = self.lab.spawn("router", self.lab.ns("tor"), *cmd, env=env)

    def out(self, *cmd):
        return ns.run(self.lab.ns("tor"), *cmd, check=False).stdout

    def kill(self):
        os.killpg(self.proc.pid, signal.SIGKILL)
        self.proc.wait()


class Bird(Router):
    long_lived = True

    def start(self):
        password = f'password "{self.password}";' if self.password else ""
        stale = f"graceful restart time 1; long lived graceful restart on; long lived stale time {self.stale_s};" if self.stale_s else ""
        (self.dir / "bird.conf").write_text(f"""
router id {TOR};
protocol device {{ }}
protocol direct {{ ipv4; }}
protocol static {{ ipv4; route {NETWORK} blackhole; }}
protocol bgp node {{ local {TOR} as 65001; neighbor {NODE} as 64512; {password} graceful restart on; {stale}
  ipv4 {{ import all; export where source = RTS_STATIC; add paths on; }}; }}
""")
        self.spawn("bird", "-f", "-c", self.dir / "bird.conf", "-s", self.dir / "ctl")

    def routes(self):
        return self.out("birdc", "-r", "-s", self.dir / "ctl", "show", "route", "all", "protocol", "node")

    def community(self, high, low):
        return f"({high},{low})" in self.routes()

    def is_long_stale(self, block):
        return block in self.routes() and self.community(65535, 6)


class Frr(Router):
    long_lived = True

    def start(self):
        password = f" neighbor {NODE} password {self.password}\n" if self.password else ""
        stale = f" bgp graceful-restart restart-time 1\n bgp long-lived-graceful-restart stale-time {self.stale_s}\n" \
            if self.stale_s else ""
        (self.dir / "bgpd.conf").write_text(f"""
router bgp 65001
 bgp router-id {TOR}
 no bgp ebgp-requires-policy
 no bgp network import-check
 bgp graceful-restart
{stale} neighbor {NODE} remote-as 64512
{password} address-family ipv4 unicast
  network {NETWORK}
""")
        frr = pwd.getpwnam("frr")
        for p in (self.dir, self.dir / "bgpd.conf"):
            os.chown(p, frr.pw_uid, frr.pw_gid)
        self.spawn("/usr/lib/frr/bgpd", "-Z", "-n", "-f", self.dir / "bgpd.conf", "-i", self.dir / "pid",
                   "--vty_socket", self.dir, "-l", TOR, "-P", "0")

    def routes(self):
        return self.out("vtysh", "--vty_socket", self.dir, "-c", "show bgp ipv4 unicast json")

    def community(self, high, low):
        return "172.30." in self.out("vtysh", "--vty_socket", self.dir, "-c", f"show bgp ipv4 unicast community {high}:{low}")

    def is_long_stale(self, block):
        return "llgr-stale" in self.out("vtysh", "--vty_socket", self.dir, "-c", f"show bgp ipv4 unicast {block}")


class GoBgp(Router):
    long_lived = True

    def start(self):
        stale = f"""    [neighbors.afi-safis.long-lived-graceful-restart.config]
      enabled = true
      restart-time = {self.stale_s}
""" if self.stale_s else ""
        long_lived = "    long-lived-enabled = true\n" if self.stale_s else ""
        password = f'    auth-password = "{self.password}"\n' if self.password else ""
        (self.dir / "gobgpd.toml").write_text(f"""
[global.config]
  as = 65001
  router-id = "{TOR}"
[[neighbors]]
  [neighbors.config]
    neighbor-address = "{NODE}"
    peer-as = 64512
{password}  [neighbors.graceful-restart.config]
    enabled = true
    restart-time = {1 if self.stale_s else 120}
    notification-enabled = true
{long_lived}  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "ipv4-unicast"
    [neighbors.afi-safis.mp-graceful-restart.config]
      enabled = true
{stale}    [neighbors.afi-safis.add-paths.config]
      receive = true
      send-max = 8
""")
        self.spawn("gobgpd", "-f", self.dir / "gobgpd.toml", "-l", "error", "--pprof-disable")
        wait.until("gobgp announces", lambda: ns.run(self.lab.ns("tor"), "gobgp", "global", "rib", "add", NETWORK,
                                                     check=False).returncode == 0)

    def routes(self):
        return self.out("gobgp", "global", "rib")

    def community(self, high, low):
        return f"{high}:{low}" in self.out("gobgp", "global", "rib")

    def is_long_stale(self, block):
        shown = self.out("gobgp", "global", "rib", block)
        return "llgr-stale" in shown.lower() or "65535:6" in shown


class OpenBgpd(Router):
    # Captured with 7.7: both OPENs have IPv4 unicast and route refresh, the request is the 23 bytes of RFC 2918 with AFI 1 and
    # SAFI 1; it logs "route refresh: AID IPv4 unicast not negotiated", says nothing and stays.
    refreshes = False
    helps = False  # its capability has no family

    def start(self):
        password = f'\ttcp md5sig password "{self.password}"\n' if self.password else ""
        conf = self.dir / "bgpd.conf"
        conf.write_text(f"""AS 65001
router-id {TOR}
fib-update no
listen on {TOR}
socket "{self.dir}/ctl"
network {NETWORK}
neighbor {NODE} {{
	remote-as 64512
{password}}}
allow from ebgp
allow to ebgp
""")
        conf.chmod(0o600)
        Path(pwd.getpwnam("_openbgpd").pw_dir).mkdir(parents=True, exist_ok=True)
        self.spawn("/usr/sbin/bgpd", "-d", "-f", conf)

    def routes(self):
        return self.out("bgpctl", "-s", self.dir / "ctl", "show", "rib", "detail")

    def community(self, high, low):
        return f"{high}:{low}" in self.routes()


class ExaBgp(Router):
    """It keeps no table: what it heard is in a file."""

    # Captured with 4.2.21: it offers route refresh, gets the 23 bytes of RFC 2918 with AFI 1 and SAFI 1, and closes the connection
    # a millisecond later without a NOTIFICATION.
    refreshes = stays = False
    helps = False  # what it heard is gone when the connection is

    def start(self):
        password = f"md5-password '{self.password}';" if self.password else ""
        reader = self.dir / "reader"
        reader.write_text(f"#!/bin/sh\nwhile read -r line; do echo \"$line\" >> {self.dir}/heard; done\n")
        reader.chmod(0o755)
        (self.dir / "heard").touch()
        (self.dir / "heard").chmod(0o666)
        self.dir.chmod(0o777)
        (self.dir / "exabgp.conf").write_text(f"""
process reader {{ run {reader}; encoder json; }}
neighbor {NODE} {{ router-id {TOR}; local-address {TOR}; local-as 65001; peer-as 64512; hold-time 90; {password}
  family {{ ipv4 unicast; }}
  capability {{ graceful-restart 120; add-path send/receive; route-refresh enable; }}
  api {{ processes [ reader ]; neighbor-changes; receive {{ parsed; update; }} }}
  static {{ route {NETWORK} next-hop self; }} }}
""")
        self.spawn("exabgp", self.dir / "exabgp.conf", env={"exabgp_daemon_user": "root", "exabgp_daemon_drop": "false",
                                                            "exabgp_api_cli": "false", "exabgp_log_destination": "stderr",
                                                            "exabgp_log_processes": "true"})

    def routes(self):
        has = set()
        for line in (self.dir / "heard").read_text().splitlines():
            try:
                said = json.loads(line)["neighbor"]
            except (ValueError, KeyError):
                continue
            if said.get("state") in ("down", "connected", "up"):
                has = set()
            update = said.get("message", {}).get("update", {})
            for family in update.get("withdraw", {}).values():
                has -= {n["nlri"] for n in family}
            for family in update.get("announce", {}).values():
                for hop in family.values():
                    has |= {n["nlri"] for n in hop}
        return " ".join(sorted(has))

    def community(self, high, low):
        return f"[ {high}, {low} ]" in (self.dir / "heard").read_text() or \
            f"[{high}, {low}]" in (self.dir / "heard").read_text()


ROUTERS = [Bird, Frr, GoBgp, OpenBgpd, ExaBgp]


@pytest.fixture(params=ROUTERS, ids=lambda r: r.__name__)
def pair(request, labs):
    """One node and one router of each kind, which know of each other; pod p on the node."""
    lab = labs(nodes=1, tor=True, start=False, manifest=MANIFEST % "")
    router = request.param(lab)
    router.start()
    node = lab.nodes[0]
    node.start()
    established(node)
    node.add_pod("p")
    return lab, node, router


LONG = MANIFEST.replace("metadata: {name: tor}", 'metadata: {name: tor, annotations: {margay.io/longLivedGracefulRestart: 1h}}') \
    % ", maxRestartTime: 1s"


@pytest.fixture(params=[r for r in ROUTERS if r.long_lived], ids=lambda r: r.__name__)
def long_pair(request, labs):
    """Both are to be kept for a second, and then as the last resort for an hour."""
    lab = labs(nodes=1, tor=True, start=False, manifest=LONG)
    router = request.param(lab, stale_s=3600)
    router.start()
    node = lab.nodes[0]
    node.start()
    established(node)
    node.add_pod("p")
    return lab, node, router


def neighbor(node):
    return next(n for n in node.ctl_json("bgp", "neighbors")["neighbors"] if n["address"] == TOR)


def established(node, seconds=40):
    wait.until("Established", lambda: neighbor(node)["state"] == "Established", seconds)


def block_of(node):
    return node.ctl_json("node", "status")["blocks"][0]


def test_routes_go_both_ways_and_come_back(pair):
    lab, node, router = pair
    block = block_of(node)
    wait.until("the block at the router", lambda: block in router.routes())
    wait.until("the router's network in the kernel", lambda: NETWORK in node.routes())
    # a filter that puts a community on: the route is told again, the session stays
    lab.apply("""
apiVersion: projectcalico.org/v3
kind: BGPFilter
metadata: {name: tor}
spec: {exportV4: [{cidr: 172.30.0.0/16, matchOperator: In, action: Accept, operations: [{addCommunity: {value: "64512:77"}}]}]}
""")
    wait.until("the community at the router", lambda: router.community(64512, 77))
    # one that rejects: it goes
    lab.apply("""
apiVersion: projectcalico.org/v3
kind: BGPFilter
metadata: {name: tor}
spec: {exportV4: [{action: Reject}], importV4: [{cidr: 203.0.113.0/24, matchOperator: Equal, action: Reject}]}
""")
    wait.until("the block gone from the router", lambda: block not in router.routes())
    wait.until("the router's network gone", lambda: NETWORK not in node.routes())
    assert neighbor(node)["state"] == "Established"
    lab.ctl("delete", "bgpfilter", "tor")
    wait.until("the block is back", lambda: block in router.routes())
    if router.stays:
        assert neighbor(node).get("flaps", 0) == 0
    if not router.refreshes:
        router.kill()
        router.start()
        wait.until("the router's network is back", lambda: NETWORK in node.routes())
        return
    wait.until("the router's network is back", lambda: NETWORK in node.routes())
    assert neighbor(node).get("flaps", 0) == 0


def test_the_router_is_killed_and_comes_back(pair):
    lab, node, router = pair
    block = block_of(node)
    wait.until("the router's network in the kernel", lambda: NETWORK in node.routes())
    router.kill()
    wait.until("the end is seen", lambda: neighbor(node)["state"] != "Established")
    router.start()
    established(node)
    wait.until("the block at the router", lambda: block in router.routes())
    wait.until("the router's network in the kernel", lambda: NETWORK in node.routes())


def test_the_node_is_killed_and_comes_back(pair):
    lab, node, router = pair
    block = block_of(node)
    wait.until("the block at the router", lambda: block in router.routes())
    wait.until("the router's network in the kernel", lambda: NETWORK in node.routes())
    kept, forwarded = [], []
    node.kill()
    kept.append(block in router.routes())
    node.start()

    def back():
        kept.append(block in router.routes())
        forwarded.append(NETWORK in node.routes())
        return neighbor(node)["state"] == "Established"
    wait.until("Established", back, 40)
    wait.until("the block at the router", lambda: block in router.routes())
    kept.append(block in router.routes())
    assert all(forwarded), "the kernel keeps forwarding all the time"
    if router.helps:
        assert all(kept), "the router keeps the block over the restart"


def path(node):
    return next(iter(node.ctl_json("bgp", "routes", NETWORK)["routes"]), {})


def test_the_router_is_away_for_long(long_pair):
    """RFC 9494: past the restart time its network is a last resort, until it is back and has said its End-of-RIB."""
    lab, node, router = long_pair
    block = block_of(node)
    wait.until("the router's network in the kernel", lambda: NETWORK in node.routes())
    offered = neighbor(node)["capabilities"]["received"]["long-lived-graceful-restart"]
    assert offered["seconds"] == {"ipv4-unicast": 3600}, offered
    router.kill()
    wait.until("kept as the last resort", lambda: path(node).get("longStale"), 20)
    assert NETWORK in node.routes()
    router.start()
    established(node, 60)
    wait.until("fresh again", lambda: path(node).get("longStale") is False, 60)
    assert NETWORK in node.routes()
    wait.until("the block at the router", lambda: block in router.routes(), 60)


def test_the_node_is_away_for_long(long_pair):
    """The other way round: the router keeps our block with LLGR_STALE, and lets the mark go when we are back."""
    lab, node, router = long_pair
    block = block_of(node)
    wait.until("the block at the router", lambda: block in router.routes())
    node.kill()
    wait.until("marked at the router", lambda: router.is_long_stale(block), 60)
    node.start()
    established(node, 60)
    wait.until("the block without the mark", lambda: block in router.routes() and not router.is_long_stale(block), 60)
