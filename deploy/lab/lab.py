"""A small data centre on one machine: nodes on one segment, a top-of-rack router, pods.

Every host is a network namespace LAB-HOST; the segment is a bridge in LAB-fabric. All that a lab makes
is recognisable by its name or lies in its directory, so a later process can take it down:

    lab = Lab("demo"); lab.up(nodes=3); ...; lab.down()
"""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

from . import cni, ns, wait

ROOT = Path(__file__).resolve().parents[2]
CNI_PLUGINS = "/usr/lib/cni"
SUBNET = "192.168.61"
SUBNET2 = "192.168.62"  # behind the router, when the lab is split
LINK = "eth1"  # the nodes' interface on the segment


class Lab:
    def __init__(self, name, build=None, directory=None):
        if not name.isalnum() or len(name) > 8:
            raise ValueError(f"lab name {name!r}: must be 1 to 8 letters and digits")
        self.name = name
        self.build = Path(build or os.environ.get("MARGAY_BUILD") or ROOT / "build")
        self.dir = Path(directory or f"/run/margay-lab-{name}")
        self.datastore = f"sqlite:{self.dir}/margay.db"
        self.nodes = []

    # -- names and programs

    def ns(self, host):
        return f"{self.name}-{host}"

    @property
    def agent(self):
        return self.build / "agent/margayd"

    @property
    def ctl_binary(self):
        return self.build / "ctl/margayctl"

    def ctl(self, *args, node=None, check=True, stdin=None):
        """margayctl on this lab's datastore; on a node when the command asks the agent."""
        words = [self.ctl_binary, "--datastore", self.datastore]
        if node:
            words += ["--run-dir", node.run_dir]
        return ns.run(node.ns if node else None, *words, *args, check=check, input=stdin)

    def apply(self, text):
        return self.ctl("apply", "-f", "-", stdin=text)

    # -- up and down

    def up(self, nodes=3, default_route=False, tor=True, split=None):
        """split: so many nodes are on the first segment, the others on a second one, the router between."""
        self.down()
        self.dir.mkdir(parents=True, mode=0o755)
        ns.add(self.ns("fabric"))
        ns.ip(self.ns("fabric"), "link", "add", "br0", "type", "bridge")
        ns.ip(self.ns("fabric"), "link", "set", "br0", "up")
        if split is not None:
            ns.ip(self.ns("fabric"), "link", "add", "br1", "type", "bridge")
            ns.ip(self.ns("fabric"), "link", "set", "br1", "up")
        for i in range(1, nodes + 1):
            subnet, bridge = (SUBNET, "br0") if split is None or i <= split else (SUBNET2, "br1")
            self.nodes.append(Node(self, i, subnet))
            self.join(f"node{i}", f"{subnet}.{10 + i}", bridge)
            if default_route:
                ns.ip(self.ns(f"node{i}"), "route", "add", "default", "via", f"{subnet}.1")
            elif split is not None:
                other = SUBNET2 if subnet == SUBNET else SUBNET
                ns.ip(self.ns(f"node{i}"), "route", "add", f"{other}.0/24", "via", f"{subnet}.1")
        if tor or split is not None:
            self.join("tor", f"{SUBNET}.1")
        if split is not None:
            self.leg("tor", f"{SUBNET2}.1", "br1", "eth2")

    def join(self, host, address, bridge="br0"):
        """A new host on a segment, forwarding like a router."""
        name = self.ns(host)
        ns.add(name)
        self.leg(host, address, bridge, LINK)
        ns.run(name, "sysctl", "-qw", "net.ipv4.ip_forward=1")

    def leg(self, host, address, bridge, link):
        """An interface of a host on a segment."""
        name, fabric = self.ns(host), self.ns("fabric")
        port = f"p-{host}" if link == LINK else f"p-{host}-{link}"
        ns.ip(fabric, "link", "add", port, "type", "veth", "peer", "name", link, "netns", name)
        ns.ip(fabric, "link", "set", port, "master", bridge, "up")
        ns.ip(name, "addr", "add", f"{address}/24", "dev", link)
        ns.ip(name, "link", "set", link, "up")

    def down(self):
        """Take away whatever a lab of this name left, also after a crash."""
        pids = []
        for f in self.dir.glob("*.pid"):
            pid = int(f.read_text() or 0)
            if pid and _is_ours(pid, self.dir):
                pids.append(pid)
        for pid in pids:
            _signal(pid, signal.SIGTERM)
        for pid in pids:
            _reap(pid)
        mine = [name for name in ns.names() if name.startswith(self.name + "-")]
        for pid in ns.processes(mine):  # helpers of a test that failed
            _signal(pid, signal.SIGKILL)
            _reap(pid)
        for name in mine:
            ns.delete(name)
        shutil.rmtree(self.dir, ignore_errors=True)
        self.nodes = []

    def exists(self):
        return self.dir.is_dir()

    # -- processes

    def spawn(self, name, namespace, *cmd, env=None):
        """Start a program in a namespace; its output goes to NAME.log, its id to NAME.ID.pid."""
        with open(self.dir / f"{name}.log", "ab") as log:
            p = subprocess.Popen([*ns.enter(namespace), *map(str, cmd)], stdin=subprocess.DEVNULL,
                                 stdout=log, stderr=log, start_new_session=True,
                                 env=os.environ | (env or {}))
        (self.dir / f"{name}.{p.pid}.pid").write_text(str(p.pid))
        return p

    def log(self, name):
        f = self.dir / f"{name}.log"
        return f.read_text(errors="replace") if f.exists() else ""

    # -- the top-of-rack router

    def start_tor(self, asn=65001, node_asn=64512, network="203.0.113.0/24", nodes=None):
        """BIRD as a top-of-rack router, with eBGP to every node and a network of its own to announce."""
        host = network.rsplit(".", 1)[0] + ".1"
        ns.ip(self.ns("tor"), "addr", "add", f"{host}/32", "dev", "lo")
        peers = "".join(f"protocol bgp {n.name} from node {{ neighbor {n.address} as {node_asn}; }}\n"
                        for n in nodes or self.nodes)
        conf = (ROOT / "deploy/quickstart/tor.conf").read_text()
        for key, value in {"@ADDRESS@": f"{SUBNET}.1", "@AS@": asn, "@NETWORK@": network,
                           "@PEERS@": peers}.items():
            conf = conf.replace(key, str(value))
        (self.dir / "tor.conf").write_text(conf)
        self.spawn("tor", self.ns("tor"), "bird", "-f", "-c", self.dir / "tor.conf", "-s", self.dir / "tor.ctl")
        wait.until("BIRD answers on its socket", lambda: "Daemon is up" in self.birdc("show", "status"))

    def birdc(self, *cmd):
        return ns.out(self.ns("tor"), "birdc", "-r", "-s", self.dir / "tor.ctl", *cmd)


class Node:
    """One node: an agent with directories of its own, and its pods."""

    def __init__(self, lab, index, subnet=SUBNET):
        self.lab, self.index = lab, index
        self.name = f"node{index}"
        self.address = f"{subnet}.{10 + index}"
        self.ns = lab.ns(self.name)
        self.run_dir = lab.dir / self.name / "run"
        self.state_dir = lab.dir / self.name / "state"
        self.process = None
        self.pods = {}

    def start(self, *options, env=None, wait_ready=True):
        self.run_dir.mkdir(parents=True, exist_ok=True)
        self.state_dir.mkdir(parents=True, exist_ok=True)
        self.process = self.lab.spawn(f"{self.name}-agent", self.ns, self.lab.agent, "-c", "/dev/null", "--node",
                                      self.name, "--datastore", self.lab.datastore, "--run-dir", self.run_dir,
                                      "--state-dir", self.state_dir, *options, env=env)
        if wait_ready:
            self.wait_ready()

    def wait_ready(self, seconds=60):
        def ready():
            if self.process and self.process.poll() is not None:
                raise RuntimeError(f"the agent of {self.name} ended with status {self.process.returncode}: "
                                   f"{self.log()[-800:]}")
            return self.health("readiness") == 200
        wait.until(lambda: f"{self.name} ready: {self.health_text('readiness')}\n{self.log()[-800:]}", ready, seconds)

    def health_text(self, what="readiness"):
        return ns.run(self.ns, "python3", "-c", _HTTP_GET, f"http://127.0.0.1:9099/{what}", check=False).stdout

    def health(self, what="readiness"):
        said = self.health_text(what)
        return int(said.split(None, 1)[0]) if said[:1].isdigit() else 0

    def stop(self, how=signal.SIGTERM):
        """End the agent and wait for its end; the exit status."""
        if not self.process:
            return None
        _signal(self.process.pid, how)
        status = self.process.wait(timeout=60)
        self.process = None
        return status

    def kill(self):
        return self.stop(signal.SIGKILL)

    def log(self):
        return self.lab.log(f"{self.name}-agent")

    def nothing_waits(self, *which):
        """What came to sockets of this node, in the words of ss, has been taken from them."""
        queued = [line.split()[1] for line in ns.out(self.ns, "ss", "-Hn", *which).splitlines()]
        if not queued:
            raise RuntimeError(f"ss {which} shows no socket of {self.name}")
        return set(queued) == {"0"}

    def ctl(self, *args, **kw):
        return self.lab.ctl(*args, node=self, **kw)

    def ctl_json(self, *args):
        return json.loads(self.ctl("-o", "json", *args).stdout)

    def settle_policy(self):
        """Wait until this node's kernel enforces what the datastore says now."""
        db = sqlite3.connect(f"file:{self.lab.datastore.split(':', 1)[1]}?mode=ro", uri=True, timeout=10)
        [[now]] = db.execute("select max(rev) from log where key like '/calico/%'")
        db.close()

        def settled():
            status = self.ctl_json("node", "status")
            return status["datastore"]["revision"] >= now and status["policy"]["inForce"]
        wait.until(lambda: f"{self.name} enforces revision {now}: {self.health_text()}\n{self.log()[-800:]}", settled)

    # -- pods

    def conf(self, **more):
        return {"type": "margay", "agent_socket": str(self.run_dir / "cni.sock"), "state_dir": str(self.state_dir),
                "ipam": {"type": "margay-ipam"}, **more}

    def network(self, *chain, version="1.1.0", name="k8s-pod-network", **more):
        """The node's network: margay, then the plugins of the chain."""
        conflist = {"cniVersion": version, "name": name, "plugins": [self.conf(**more), *chain]}
        return cni.Network(conflist, [self.lab.build / "cni-plugin", CNI_PLUGINS], self.ns)

    def add_pod(self, name, namespace="default", network=None):
        pod = Pod(self, namespace, name, network or self.network())
        pod.add()
        self.pods[f"{namespace}.{name}"] = pod
        return pod

    def routes(self, *what):
        return ns.ip(self.ns, "route", "show", *what)


class Pod:
    """A pod: a network namespace that the node's CNI network is asked to connect."""

    def __init__(self, node, namespace, name, network):
        self.node, self.namespace, self.name, self.network = node, namespace, name, network
        self.ns = f"{node.lab.name}-{namespace}.{name}"
        self.netns = f"/run/netns/{self.ns}"
        self.container_id = f"{node.lab.name}{node.index}{namespace}{name}".replace(".", "")
        self.args = f"IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={name};" \
                    f"K8S_POD_INFRA_CONTAINER_ID={self.container_id}"
        self.result = None

    def make_ns(self):
        if self.ns not in ns.names():
            ns.add(self.ns)

    def add(self, ifname="eth0", caps=None):
        self.make_ns()
        self.result = self.network.add(self.container_id, self.netns, ifname, self.args, caps)
        return self.result

    def check(self, **kw):
        self.network.check(self.container_id, self.netns, args=self.args, **kw)

    def delete(self, keep_ns=False, **kw):
        self.network.delete(self.container_id, self.netns, args=self.args, **kw)
        if not keep_ns:
            ns.delete(self.ns)
        self.node.pods.pop(f"{self.namespace}.{self.name}", None)

    @property
    def ip(self):
        return self.result["ips"][0]["address"].split("/")[0]

    @property
    def host_interface(self):
        return self.result["interfaces"][0]["name"]

    def run(self, *cmd, **kw):
        return ns.run(self.ns, *cmd, **kw)

    def ping(self, address, count=1, wait_s=2):
        """True when every echo came back."""
        return ns.run(self.ns, "ping", "-n", "-q", "-c", count, "-i", "0.05", "-W", wait_s, address,
                      check=False).returncode == 0


_HTTP_GET = """
import sys, urllib.request, urllib.error
try:
    with urllib.request.urlopen(sys.argv[1], timeout=10) as r: print(r.status, r.read().decode())
except urllib.error.HTTPError as e: print(e.code, e.read().decode())
except OSError as e: print("no answer:", e)
"""


def _is_ours(pid, directory):
    """Is pid still the process that the lab started, not a stranger that got its number?"""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return False
    return str(directory) in words


def _signal(pid, sig):
    try:
        os.kill(pid, sig)
    except ProcessLookupError:
        pass


def _reap(pid, seconds=5.0):
    """Wait for a process to end, as its parent or not; after `seconds` end it hard."""
    deadline = time.monotonic() + seconds
    killed = False
    while True:
        try:
            if os.waitpid(pid, os.WNOHANG)[0] == pid:
                return
        except ChildProcessError:
            pass
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return
        except OSError:
            return
        if time.monotonic() > deadline and not killed:
            _signal(pid, signal.SIGKILL)
            killed = True
        time.sleep(0.01)
