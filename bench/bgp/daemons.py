"""The BGP daemons that are compared, each in the namespace DUT with its peers in GEN."""

import contextlib
import os
import pathlib
import pwd
import signal
import subprocess
import time

DUT, GEN = "bgpbench-dut", "bgpbench-gen"
ADDRESS, FIRST_HOST, FIRST_AS = "10.99.0.1", 10, 65010
BUILD = pathlib.Path(os.environ.get("MARGAY_BUILD") or pathlib.Path(__file__).resolve().parents[2] / "build")


def ns(name, *cmd, **kw):
    return subprocess.Popen(["ip", "netns", "exec", name, *cmd], **kw)


def sh(cmd, check=True):
    return subprocess.run(cmd, shell=True, check=check, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make_net(peers):
    drop_net()
    for name in (DUT, GEN):
        sh(f"ip netns add {name}; ip -n {name} link set lo up")
    sh(f"ip -n {DUT} link add bb0 type veth peer name bb1 netns {GEN}")
    sh(f"ip -n {DUT} addr add {ADDRESS}/16 dev bb0; ip -n {DUT} link set bb0 up; ip -n {GEN} link set bb1 up")
    batch = "".join(f"addr add {address(i)}/16 dev bb1\n" for i in range(peers))
    subprocess.run(["ip", "-n", GEN, "-batch", "-"], input=batch, text=True, check=True)


def drop_net():
    for name in (DUT, GEN):
        sh(f"ip netns del {name}", check=False)


def address(i):
    host = FIRST_HOST + i
    return f"10.99.{host >> 8}.{host & 255}"


def peers_of(n):
    return [(i, address(i), FIRST_AS + i) for i in range(n)]


class Daemon:
    """Started by `start` for n peers, with or without routes into the kernel; `pids` are all of its processes."""

    def __init__(self, box, kernel=False):
        self.box = pathlib.Path(box)
        self.kernel = kernel
        self.procs = []

    def run(self, *cmd):
        log = open(self.box / "log", "ab")
        p = ns(DUT, *cmd, stdout=log, stderr=log)
        self.procs.append(p)
        return p

    def log(self):
        with contextlib.suppress(OSError):
            return (self.box / "log").read_text(errors="replace")
        return ""

    def pids(self):
        found, left = [], [p.pid for p in self.procs]
        while left:
            pid = left.pop()
            found.append(pid)
            try:
                for t in os.listdir(f"/proc/{pid}/task"):
                    left += [int(c) for c in pathlib.Path(f"/proc/{pid}/task/{t}/children").read_text().split()]
            except OSError:
                pass
        return found

    def stop(self):
        pids = self.pids()
        for pid in pids:
            try:
                os.kill(pid, signal.SIGTERM)
            except OSError:
                pass
        for p in self.procs:
            try:
                p.wait(10)
            except subprocess.TimeoutExpired:
                for pid in pids:
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except OSError:
                        pass
                p.wait()


class Margay(Daemon):
    """The speaker alone, or the whole agent where the kernel is asked for."""

    def start(self, n):
        if not self.kernel:
            self.run(BUILD / "bench/bench-bgp-speakerd", ADDRESS, str(n))
            return
        store = f"sqlite:{self.box}/store.db"
        objects = ["kind: BGPConfiguration\nmetadata: {name: default}\n"
                   "spec: {asNumber: 64512, nodeToNodeMeshEnabled: false}\n",
                   "kind: IPPool\nmetadata: {name: all}\nspec: {cidr: 20.0.0.0/6, blockSize: 26}\n"]
        objects += [f"kind: BGPPeer\nmetadata: {{name: p{i}}}\nspec: {{peerIP: {addr}, asNumber: {asn}}}\n"
                    for i, addr, asn in peers_of(n)]
        text = "---\n".join("apiVersion: projectcalico.org/v3\n" + o for o in objects)
        subprocess.run([BUILD / "ctl/margayctl", "--datastore", store, "apply", "-f", "-"], input=text, text=True,
                       check=True, stdout=subprocess.DEVNULL)
        self.run(BUILD / "agent/margayd", "--node", "dut", "--datastore", store, "--run-dir", f"{self.box}/run",
                 "--state-dir", f"{self.box}/state", "--ip", ADDRESS, "--policy=false")


class Bird(Daemon):
    def start(self, n):
        text = f"router id {ADDRESS};\nprotocol device {{ }}\nprotocol direct {{ ipv4; }}\n"
        if self.kernel:
            text += "protocol kernel { ipv4 { import none; export all; }; }\n"
        for i, addr, asn in peers_of(n):
            text += (f"protocol bgp p{i} {{ local {ADDRESS} as 64512; neighbor {addr} as {asn}; passive on; "
                     "ipv4 { import all; export all; }; }\n")
        (self.box / "bird.conf").write_text(text)
        self.run("bird", "-f", "-c", str(self.box / "bird.conf"), "-s", str(self.box / "bird.ctl"))


class Frr(Daemon):
    def start(self, n):
        text = ("router bgp 64512\n bgp router-id 10.99.0.1\n no bgp ebgp-requires-policy\n no bgp network import-check\n"
                " no bgp default ipv4-unicast\n")
        for i, addr, asn in peers_of(n):
            text += f" neighbor {addr} remote-as {asn}\n neighbor {addr} passive\n neighbor {addr} timers 80 240\n"
        text += " address-family ipv4 unicast\n"
        for i, addr, asn in peers_of(n):
            text += f"  neighbor {addr} activate\n"
        (self.box / "bgpd.conf").write_text(text)
        frr = pwd.getpwnam("frr")
        for p in (self.box, self.box / "bgpd.conf"):
            os.chown(p, frr.pw_uid, frr.pw_gid)
        os.chmod(self.box, 0o755)
        if self.kernel:
            (self.box / "zebra.conf").write_text("")
            os.chown(self.box / "zebra.conf", frr.pw_uid, frr.pw_gid)
            self.run("/usr/lib/frr/zebra", "-f", str(self.box / "zebra.conf"), "-i", str(self.box / "zpid"),
                     "-z", str(self.box / "zserv"), "--vty_socket", str(self.box))
        how = ["-z", str(self.box / "zserv")] if self.kernel else ["-Z", "-n"]
        self.run("/usr/lib/frr/bgpd", *how, "-f", str(self.box / "bgpd.conf"), "-i", str(self.box / "pid"),
                 "--vty_socket", str(self.box), "-l", ADDRESS, "-P", "0")


class GoBgp(Daemon):
    def start(self, n):
        text = f'[global.config]\n  as = 64512\n  router-id = "{ADDRESS}"\n'
        for i, addr, asn in peers_of(n):
            text += (f'[[neighbors]]\n  [neighbors.config]\n    neighbor-address = "{addr}"\n    peer-as = {asn}\n'
                     "  [neighbors.transport.config]\n    passive-mode = true\n")
        (self.box / "gobgpd.toml").write_text(text)
        self.run("gobgpd", "-f", str(self.box / "gobgpd.toml"), "-l", "error", "--api-hosts", "127.0.0.1:50051",
                 "--pprof-disable")


class OpenBgpd(Daemon):
    def start(self, n):
        text = f"AS 64512\nrouter-id {ADDRESS}\nlisten on {ADDRESS}\nfib-update {'yes' if self.kernel else 'no'}\nsocket \"{self.box}/ctl\"\n"
        for i, addr, asn in peers_of(n):
            text += f"neighbor {addr} {{\n\tremote-as {asn}\n\tpassive\n\tholdtime 240\n}}\n"
        text += "allow from ebgp\nallow to ebgp\n"
        conf = self.box / "bgpd.conf"
        conf.write_text(text)
        conf.chmod(0o600)
        home = pathlib.Path(pwd.getpwnam("_openbgpd").pw_dir)
        home.mkdir(parents=True, exist_ok=True)
        self.run("/usr/sbin/bgpd", "-d", "-f", str(conf))


DAEMONS = {"margay": Margay, "BIRD": Bird, "FRR": Frr, "GoBGP": GoBgp, "OpenBGPD": OpenBgpd}


def memory(pids, what):
    """KiB of a line of /proc/PID/status, over all of them."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith(what):
                    total += int(line.split()[1])
    return total


def wait_listening(daemon, seconds=60):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        out = subprocess.run(["ip", "netns", "exec", DUT, "ss", "-Hltn", "sport = :179"], capture_output=True, text=True)
        if out.stdout.strip():
            return
        if any(p.poll() is not None for p in daemon.procs):
            break
        time.sleep(0.1)
    raise RuntimeError("does not listen: " + daemon.log()[-300:])
