"""BIRD, FRR, GoBGP, OpenBGPD and ExaBGP as routers of a lab: one class each, with the same words for starting, asking and killing them."""

import json
import os
import pwd
import signal
from pathlib import Path

from deploy.lab import ns, wait

TOR, NODE, NETWORK = "192.168.61.1", "192.168.61.11", "203.0.113.0/24"


class Router:
    """A router in a namespace of the lab."""

    refreshes = True  # does it say its routes again when asked (RFC 2918)?
    stays = True  # and if not, does it at least stay?
    helps = True  # RFC 4724: keeps our routes while we are away
    long_lived = False  # RFC 9494: can it be told to speak it?

    def __init__(self, lab, host="tor", address=TOR, asn=65001, password=None, stale_s=0, graceful=True, gtsm=False, reflects=(),
                 feeder=None, many=0):
        """stale_s: graceful restart of one second, then RFC 9494 for so long. reflects: addresses of its clients, in its own AS.
        feeder: address and AS of another peer. many: so many networks more, from 10.1.0.0/30 upwards, where it makes its own."""
        self.lab, self.host, self.address, self.asn = lab, host, address, asn
        self.password, self.stale_s, self.graceful, self.gtsm = password, stale_s, graceful, gtsm
        self.feeder, self.many = feeder, many
        self.reflects = bool(reflects)
        self.again = False  # it has been killed: its next start is a restart
        self.network = NETWORK  # that it announces; BIRD alone looks here
        # address, AS
        self.peers = [(a, asn) for a in reflects] or [(NODE, 64512)]
        self.dir = lab.dir / ("router" if host == "tor" else host)
        self.dir.mkdir(exist_ok=True)

    def spawn(self, *cmd, env=None):
        self.proc = self.lab.spawn(self.dir.name, self.lab.ns(self.host), *cmd, env=env)

    def out(self, *cmd):
        return ns.run(self.lab.ns(self.host), *cmd, check=False).stdout

    def kill(self):
        os.killpg(self.proc.pid, signal.SIGKILL)
        self.proc.wait()
        # its children end a moment later, and hold the port as long
        wait.until("nobody listens at the router", lambda: not self.out("ss", "-Hltn", "sport = :179"))
        self.again = True

    def freeze(self):
        os.killpg(self.proc.pid, signal.SIGSTOP)

    def thaw(self):
        os.killpg(self.proc.pid, signal.SIGCONT)

    def everybody(self):
        return self.peers + ([self.feeder] if self.feeder else [])

    def count(self, *first):
        """How many of the prefixes that begin so it has."""
        return len({w for w in self.routes().replace('"', " ").replace(",", " ").split() if w.startswith(first) and "/" in w})


class Bird(Router):
    long_lived = True

    def peer(self, name, address, asn):
        lines = [f"local {self.address} as {self.asn}", f"neighbor {address} as {asn}", "connect delay time 1", "connect retry time 2",
                 "error wait time 1, 3", f"graceful restart {'on' if self.graceful else 'off'}"]
        if self.password:
            lines.append(f'password "{self.password}"')
        if self.stale_s:
            lines.append(f"graceful restart time 1; long lived graceful restart on; long lived stale time {self.stale_s}")
        if self.gtsm:
            lines.append("ttl security on")
        if self.reflects:
            lines += ["rr client", f"rr cluster id {self.address}"]
        told = "where source = RTS_STATIC || source = RTS_BGP"
        return f"protocol bgp {name} {{ {'; '.join(lines)};\n  ipv4 {{ import all; export {told}; add paths on; }}; }}\n"

    def start(self):
        peers = "".join(self.peer(f"node{i or ''}", a, asn) for i, (a, asn) in enumerate(self.everybody()))
        (self.dir / "bird.conf").write_text(f"""
router id {self.address};
protocol device {{ }}
protocol direct {{ ipv4; }}
protocol static {{ ipv4; route {self.network} blackhole; }}
{peers}""")
        recover = ["-R"] if self.again and self.graceful else []  # else it says that its forwarding was not kept
        self.spawn("bird", "-f", *recover, "-c", self.dir / "bird.conf", "-s", self.dir / "ctl")

    def routes(self):
        return self.out("birdc", "-r", "-s", self.dir / "ctl", "show", "route", "all", "protocol", "node")

    def count(self, *first):
        return len({w for w in self.out("birdc", "-r", "-s", self.dir / "ctl", "show", "route", "protocol", "node").split()
                    if w.startswith(first) and "/" in w})

    def community(self, high, low):
        return f"({high},{low})" in self.routes()

    def is_long_stale(self, block):
        return block in self.routes() and self.community(65535, 6)

    def local_pref(self, prefix, value):
        return f"BGP.local_pref: {value}" in self.out("birdc", "-r", "-s", self.dir / "ctl", "show", "route", "all", prefix)


class Frr(Router):
    long_lived = True

    def start(self):
        peers = families = ""
        for address, asn in self.everybody():
            peers += f" neighbor {address} remote-as {asn}\n neighbor {address} timers connect 2\n"
            peers += f" neighbor {address} password {self.password}\n" if self.password else ""
            peers += f" neighbor {address} ttl-security hops 1\n" if self.gtsm else ""
            if self.reflects:
                families += f"  neighbor {address} route-reflector-client\n  neighbor {address} addpath-tx-all-paths\n"
        graceful = " bgp graceful-restart\n bgp graceful-restart preserve-fw-state\n" if self.graceful else " bgp graceful-restart-disable\n"
        stale = f" bgp graceful-restart restart-time 1\n bgp long-lived-graceful-restart stale-time {self.stale_s}\n" \
            if self.stale_s else ""
        (self.dir / "bgpd.conf").write_text(f"""
router bgp {self.asn}
 bgp router-id {self.address}
 no bgp ebgp-requires-policy
 no bgp network import-check
{graceful}{stale}{peers} address-family ipv4 unicast
  network {NETWORK}
{families}""")
        frr = pwd.getpwnam("frr")
        for p in (self.dir, self.dir / "bgpd.conf"):
            os.chown(p, frr.pw_uid, frr.pw_gid)
        self.spawn("/usr/lib/frr/bgpd", "-Z", "-n", "-f", self.dir / "bgpd.conf", "-i", self.dir / "pid",
                   "--vty_socket", self.dir, "-l", self.address, "-P", "0")

    def routes(self):
        return self.out("vtysh", "--vty_socket", self.dir, "-c", "show bgp ipv4 unicast json")

    def community(self, high, low):
        return "172.30." in self.out("vtysh", "--vty_socket", self.dir, "-c", f"show bgp ipv4 unicast community {high}:{low}")

    def is_long_stale(self, block):
        return "llgr-stale" in self.out("vtysh", "--vty_socket", self.dir, "-c", f"show bgp ipv4 unicast {block}")

    def local_pref(self, prefix, value):
        return f"localpref {value}" in self.out("vtysh", "--vty_socket", self.dir, "-c", f"show bgp ipv4 unicast {prefix}")


class GoBgp(Router):
    long_lived = True

    def start(self):
        stale = f"""    [neighbors.afi-safis.long-lived-graceful-restart.config]
      enabled = true
      restart-time = {self.stale_s}
""" if self.stale_s else ""
        long_lived = "    long-lived-enabled = true\n" if self.stale_s else ""
        peers = ""
        for address, asn in self.everybody():
            peers += f"""[[neighbors]]
  [neighbors.config]
    neighbor-address = "{address}"
    peer-as = {asn}
"""
            peers += f'    auth-password = "{self.password}"\n' if self.password else ""
            peers += "  [neighbors.timers.config]\n    connect-retry = 5\n    idle-hold-time-after-reset = 1\n"
            peers += "  [neighbors.ttl-security.config]\n    enabled = true\n    ttl-min = 255\n" if self.gtsm else ""
            peers += f'  [neighbors.route-reflector.config]\n    route-reflector-client = true\n    route-reflector-cluster-id = "{self.address}"\n' \
                if self.reflects else ""
            peers += f"""  [neighbors.graceful-restart.config]
    enabled = true
    restart-time = {1 if self.stale_s else 120}
    notification-enabled = true
{long_lived}""" if self.graceful else ""
            peers += """  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "ipv4-unicast"
"""
            peers += f"    [neighbors.afi-safis.mp-graceful-restart.config]\n      enabled = true\n{stale}" if self.graceful else ""
            peers += "    [neighbors.afi-safis.add-paths.config]\n      receive = true\n      send-max = 8\n"
        (self.dir / "gobgpd.toml").write_text(f'[global.config]\n  as = {self.asn}\n  router-id = "{self.address}"\n'
                                              f'  local-address-list = ["{self.address}"]\n{peers}')
        self.spawn("gobgpd", "-f", self.dir / "gobgpd.toml", "-l", "error", "--pprof-disable")
        wait.until("gobgp announces", lambda: ns.run(self.lab.ns(self.host), "gobgp", "global", "rib", "add", NETWORK, "origin", "igp",
                                                     check=False).returncode == 0)

    def routes(self):
        return self.out("gobgp", "global", "rib")

    def community(self, high, low):
        return f"{high}:{low}" in self.out("gobgp", "global", "rib")

    def is_long_stale(self, block):
        shown = self.out("gobgp", "global", "rib", block)
        return "llgr-stale" in shown.lower() or "65535:6" in shown

    def local_pref(self, prefix, value):
        return f"LocalPref: {value}" in self.out("gobgp", "global", "rib", prefix)


class OpenBgpd(Router):
    # Captured with 7.7: both OPENs have IPv4 unicast and route refresh, the request is the 23 bytes of RFC 2918 with AFI 1 and
    # SAFI 1; it logs "route refresh: AID IPv4 unicast not negotiated", says nothing and stays.
    refreshes = False
    helps = False  # its capability has no family

    def start(self):
        conf = self.dir / "bgpd.conf"
        peers = ""
        for address, asn in self.everybody():
            peers += f"neighbor {address} {{\n\tremote-as {asn}\n\tholdtime 90\n"
            peers += f'\ttcp md5sig password "{self.password}"\n' if self.password else ""
            peers += "\tttl-security yes\n" if self.gtsm else ""
            peers += "\troute-reflector\n\tannounce add-path send all\n" if self.reflects else ""
            peers += "}\n"
        conf.write_text(f"""AS {self.asn}{' 23456' if self.asn > 65535 else ''}
router-id {self.address}
fib-update no
listen on {self.address}
socket "{self.dir}/ctl"
network {NETWORK}
{peers}allow from any
allow to any
""")
        conf.chmod(0o600)
        Path(pwd.getpwnam("_openbgpd").pw_dir).mkdir(parents=True, exist_ok=True)
        self.spawn("/usr/sbin/bgpd", "-d", "-f", conf)

    def routes(self):
        return self.out("bgpctl", "-s", self.dir / "ctl", "show", "rib", "detail")

    def count(self, *first):
        return len({w for w in self.out("bgpctl", "-s", self.dir / "ctl", "show", "rib").split() if w.startswith(first) and "/" in w})

    def community(self, high, low):
        return f"{high}:{low}" in self.routes()

    def local_pref(self, prefix, value):
        return f"localpref {value}" in self.out("bgpctl", "-s", self.dir / "ctl", "show", "rib", "detail", prefix)


class ExaBgp(Router):
    """It keeps no table: what it heard is in a file."""

    # Captured with 4.2.21: it offers route refresh, gets the 23 bytes of RFC 2918 with AFI 1 and SAFI 1, and closes the connection
    # a millisecond later without a NOTIFICATION.
    refreshes = stays = False
    helps = False  # what it heard is gone when the connection is

    def start(self):
        password = f"md5-password '{self.password}';" if self.password else ""
        gtsm = "outgoing-ttl 255; incoming-ttl 255;" if self.gtsm else ""
        restart = "graceful-restart 120;" if self.graceful else ""
        reader = self.dir / "reader"
        reader.write_text(f"#!/bin/sh\nwhile read -r line; do echo \"$line\" >> {self.dir}/heard; done\n")
        reader.chmod(0o755)
        (self.dir / "heard").write_text("")
        (self.dir / "heard").chmod(0o666)
        self.dir.chmod(0o777)
        [(address, asn)] = self.peers
        many = "".join(f"route 10.1.{i * 4 // 256}.{i * 4 % 256}/30 next-hop self; " for i in range(self.many))
        (self.dir / "exabgp.conf").write_text(f"""
process reader {{ run {reader}; encoder json; }}
neighbor {address} {{ router-id {self.address}; local-address {self.address}; local-as {self.asn}; peer-as {asn}; hold-time 90;
  {password} {gtsm}
  family {{ ipv4 unicast; }}
  capability {{ {restart} add-path send/receive; route-refresh enable; }}
  api {{ processes [ reader ]; neighbor-changes; receive {{ parsed; update; }} }}
  static {{ route {NETWORK} next-hop self; {many}}} }}
""")
        self.spawn("exabgp", self.dir / "exabgp.conf", env={
            "exabgp_daemon_user": "root", "exabgp_daemon_drop": "false", "exabgp_api_cli": "false", "exabgp_tcp_bind": self.address,
            "exabgp_log_destination": "stderr", "exabgp_log_processes": "true"})

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

    def local_pref(self, prefix, value):
        return prefix in self.routes() and f'"local-preference": {value}' in (self.dir / "heard").read_text()


ROUTERS = [Bird, Frr, GoBgp, OpenBgpd, ExaBgp]
