"""Everything that goes wrong gets words, and nothing is lost or half done."""

import json
import os
import signal
import socket
import subprocess

import pytest

from deploy.lab import cni, ns, wait
from deploy.lab.cni import CniError
from deploy.lab.lab import Node, Pod

POOL = """
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {{name: {name}}}
spec: {{cidr: {cidr}{more}}}
"""


def pool(name, cidr, more=""):
    return POOL.format(name=name, cidr=cidr, more=more)


@pytest.fixture
def store(labs):
    """A datastore without agents."""
    return labs(nodes=0, tor=False, start=False, manifest=pool("pods", "172.31.0.0/16"))


BAD_MANIFESTS = [
    ("unknown field", pool("p", "10.1.0.0/16", ", blockSice: 26"), ["blockSice", "blockSize"]),
    ("wrong type", pool("p", "10.1.0.0/16", ", blockSize: many"), ["blockSize", "number"]),
    ("host bits", pool("p", "10.1.2.3/16"), ["10.1.2.3/16", "10.1.0.0/16"]),
    ("not a CIDR", pool("p", "10.1.0.0"), ["cidr", "10.1.0.0"]),
    ("overlap", pool("p", "172.31.128.0/17"), ["172.31.128.0/17", "172.31.0.0/16", "pods"]),
    ("pool smaller than a block", pool("p", "10.1.0.0/28"), ["blockSize", "/28"]),
    ("block size out of range", pool("p", "10.1.0.0/16", ", blockSize: 9"), ["blockSize", "20"]),
    ("both encapsulations", pool("p", "10.1.0.0/16", ", ipipMode: Always, vxlanMode: Always"), ["ipipMode", "vxlanMode"]),
    ("bad selector", pool("p", "10.1.0.0/16", ", nodeSelector: 'a ='"), ["nodeSelector"]),
    ("unknown kind", "apiVersion: projectcalico.org/v3\nkind: IPPol\nmetadata: {name: x}\n", ["IPPol"]),
    ("wrong version", pool("p", "10.1.0.0/16").replace("/v3", "/v9"), ["projectcalico.org/v9", "projectcalico.org/v3"]),
    ("no name", "apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {}\nspec: {cidr: 10.1.0.0/16}\n", ["name"]),
    ("broken YAML", "apiVersion: [", ["stdin:2"]),
    ("twice the same key", pool("p", "10.1.0.0/16", ", cidr: 10.2.0.0/16"), ["cidr"]),
]


@pytest.mark.parametrize("what,manifest,words", BAD_MANIFESTS, ids=[b[0] for b in BAD_MANIFESTS])
def test_bad_manifest_is_refused_with_words(store, what, manifest, words):
    said = store.ctl("apply", "-f", "-", stdin=manifest, check=False)
    assert said.returncode == 1
    text = said.stdout + said.stderr
    for word in words:
        assert word in text, text
    listed = json.loads(store.ctl("-o", "json", "get", "ippools").stdout)
    assert [p["metadata"]["name"] for p in listed["items"]] == ["pods"]


def test_the_line_of_the_mistake_is_named(store):
    manifest = pool("good", "10.1.0.0/16") + "---" + pool("bad", "10.2.0.0/16").replace(
        "spec: {cidr: 10.2.0.0/16}", "spec:\n  cidr: 10.2.0.0/16\n  disabled: maybe")
    line = manifest.splitlines().index("  disabled: maybe") + 1
    said = store.ctl("apply", "-f", "-", check=False, stdin=manifest)
    assert said.returncode == 1
    assert f"stdin:{line}: spec.disabled" in said.stderr, said.stderr
    assert "good" not in store.ctl("get", "ippools").stdout, "a file with a mistake writes nothing"


def test_two_agents_with_one_name(labs):
    lab = labs(nodes=2, tor=False)
    first, second = lab.nodes
    second.stop()
    second.name = first.name
    second.start(wait_ready=False)
    assert second.process.wait(timeout=60) != 0
    second.process = None
    assert "another agent runs with this node's name" in lab.log("node1-agent")
    assert first.ctl_json("node", "status")["blocks"] == [] and first.health("liveness") == 200


def test_second_agent_in_one_run_directory(labs):
    lab = labs(nodes=1, tor=False)
    node = lab.nodes[0]
    done = ns.run(node.ns, lab.agent, "-c", "/dev/null", "--node", "node1", "--datastore", lab.datastore, "--run-dir",
                  node.run_dir, "--state-dir", node.state_dir, check=False)
    assert done.returncode != 0
    assert str(node.process.pid) in done.stderr + done.stdout
    assert node.health() == 200


def add_fails(node, name, **kw):
    pod = Pod(node, "default", name, node.network(**kw))
    with pytest.raises(CniError) as e:
        pod.add()
    assert [x["ifname"] for x in ns.ip_json(pod.ns, "link", "show")] == ["lo"]
    return pod, e.value


def test_agent_absent(labs):
    lab = labs(nodes=1, tor=False)
    node = lab.nodes[0]
    pod = node.add_pod("web")
    address = pod.ip
    node.stop()
    _, said = add_fails(node, "later")
    assert said.code == 11 and "cni.sock" in said.msg + said.details
    with pytest.raises(CniError) as e:
        node.network().status()
    assert e.value.code == 50
    pod.delete(keep_ns=True)  # DEL succeeds without an agent, and leaves a journal entry
    assert [x["ifname"] for x in ns.ip_json(pod.ns, "link", "show")] == ["lo"]
    assert len(list((node.state_dir / "cni-journal").glob("*.json"))) == 1
    assert "is in use" in lab.ctl("ipam", "show", f"--ip={address}").stdout
    node.start()
    wait.until("the journal is worked off", lambda: not list((node.state_dir / "cni-journal").glob("*.json")))
    assert "is not assigned" in lab.ctl("ipam", "show", f"--ip={address}").stdout
    assert f"{address} dev" not in node.routes()


def test_agent_killed_between_the_halves_of_add(labs):
    """The first half gives an address; the agent dies; the next one takes the address back."""
    lab = labs(nodes=1, tor=False)
    node = lab.nodes[0]
    half = half_add(node, "cut")
    address = half["ips"][0]["address"].split("/")[0]
    assert "is in use" in lab.ctl("ipam", "show", f"--ip={address}").stdout
    node.kill()
    half["socket"].close()
    node.start()
    wait.until("the half ADD is undone", lambda: "is not assigned" in
               lab.ctl("ipam", "show", f"--ip={address}").stdout)
    assert f"{address} dev" not in node.routes()


def test_plugin_gone_between_the_halves_of_add(labs):
    lab = labs(nodes=1, tor=False)
    node = lab.nodes[0]
    half = half_add(node, "cut")
    address = half["ips"][0]["address"].split("/")[0]
    half["socket"].close()
    wait.until("the half ADD is undone", lambda: "is not assigned" in
               lab.ctl("ipam", "show", f"--ip={address}").stdout)


def half_add(node, name):
    """Speak the first half of an ADD as the plugin does, and stop there."""
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(60)
    s.connect(str(node.run_dir / "cni.sock"))
    pod = Pod(node, "default", name, node.network())
    pod.make_ns()
    conf = cni.plugin_config(pod.network.list, pod.network.list["plugins"][0])
    s.sendall(json.dumps({"op": "ADD", "containerID": pod.container_id, "netns": pod.netns, "ifname": "eth0",
                          "args": pod.args, "config": conf}).encode() + b"\n")
    answer = json.loads(s.makefile().readline())
    assert answer["ok"], answer
    return answer | {"socket": s}


def test_netns_gone_before_del_and_del_again(labs):
    lab = labs(nodes=1, tor=False)
    node = lab.nodes[0]
    pod = node.add_pod("web")
    address = pod.ip
    ns.delete(pod.ns)
    pod.delete(keep_ns=True)
    assert "is not assigned" in lab.ctl("ipam", "show", f"--ip={address}").stdout
    pod.delete(keep_ns=True)
    pod.network.delete(pod.container_id)  # and without any namespace
    assert f"{address} dev" not in node.routes()


def test_add_again_gives_the_same_address(labs):
    lab = labs(nodes=1, tor=False)
    node = lab.nodes[0]
    pod = node.add_pod("web")
    first = pod.ip
    ns.run(pod.ns, "ip", "link", "del", "eth0")
    pod.add()
    assert pod.ip == first
    assert pod.ping(node.address)
    # The same pod in a new sandbox, the old one never deleted: as after a crash of the runtime.
    again = Pod(node, "default", "web", node.network())
    again.ns, again.netns = pod.ns + "b", pod.netns + "b"
    again.container_id += "2"
    again.add()
    assert again.ping(node.address)
    pod.delete()
    assert again.ping(node.address), "the old sandbox's DEL must not touch the new one"
    again.delete()


def test_exhausted_pool(labs):
    lab = labs(nodes=1, tor=False, manifest=pool("tiny", "172.31.0.0/30", ", blockSize: 30"))
    node = lab.nodes[0]
    pods = [node.add_pod(f"p{i}") for i in range(4)]
    assert len({p.ip for p in pods}) == 4
    _, said = add_fails(node, "fifth")
    assert "tiny" in said.msg + said.details
    pods[2].delete()
    sixth = node.add_pod("sixth")
    assert sixth.ip == pods[2].ip


def test_no_pool_at_all(labs):
    lab = labs(nodes=1, tor=False, manifest=pool("shut", "172.31.0.0/16", ", disabled: true"))
    _, said = add_fails(lab.nodes[0], "web")
    assert "pool" in said.msg + said.details


SOCKET_GARBAGE = [b"", b"\n", b"{", b"{}\n", b"[]\n", b"null\n", b"\0" * 64 + b"\n", b'{"op":"ADD"}\n',
                  b'{"op":"NO"}\n', b'{"op":"ADD","config":' + b"[" * 5000 + b"\n", b"x" * 300_000 + b"\n",
                  b'{"op":"DEL","containerID":"../../etc","config":{}}\n', b"\xff\xfe\n",
                  b'{"op":"ADD","op":"DEL"}\n', b'{"cmd":"status","n":1e999}\n', b'{"cmd":5}\n']


@pytest.mark.parametrize("sock", ["cni.sock", "ctl.sock"])
def test_garbage_on_the_sockets(three, sock):
    node = three.nodes[0]
    path = str(node.run_dir / sock)
    assert os.stat(path).st_mode & 0o777 == 0o600
    for bytes_in in SOCKET_GARBAGE:
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(60)
        s.connect(path)
        try:
            s.sendall(bytes_in)
            s.shutdown(socket.SHUT_WR)
            said = s.makefile("rb").read()
        except (BrokenPipeError, ConnectionResetError):
            said = b""  # refused before all of it was read
        if said:
            answer = json.loads(said)
            assert answer["ok"] is False and answer["msg"], (bytes_in[:40], answer)
        s.close()
    # Many that say nothing do not keep others out.
    idle = []
    for _ in range(30):
        s = socket.socket(socket.AF_UNIX)
        s.connect(path)
        idle.append(s)
    node.network().status()
    assert node.ctl_json("node", "status")["blocks"]
    for s in idle:
        s.close()
    assert node.health("liveness") == 200


def test_full_disk_under_the_datastore(labs, tmp_path):
    lab = labs(nodes=0, tor=False, start=False, manifest=pool("pods", "172.31.0.0/16"))
    small = lab.dir / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(small)], check=True)
    try:
        lab.datastore = f"sqlite:{small}/margay.db"
        lab.apply(pool("pods", "172.31.0.0/16"))
        node = add_node(lab)
        node.start()
        node.add_pod("first")
        (small / "filler").write_bytes(b"")
        with open(small / "filler", "wb") as f, pytest.raises(OSError):
            while True:
                f.write(b"x" * 65536)
                f.flush()
        failed = None
        for i in range(400):  # until a write meets the end of the disk
            try:
                node.add_pod(f"p{i}")
            except CniError as e:
                failed = e
                break
        assert failed is not None and failed.code == 11, failed
        assert node.health("liveness") == 200
        (small / "filler").unlink()
        wait.until("ADD works again when there is space", lambda: try_pod(node, "after"))
        check = lambda: lab.ctl("ipam", "check", check=False).stdout
        wait.until(check, lambda: "found 0 problems" in check())
    finally:
        for n in lab.nodes:
            n.stop()
        subprocess.run(["umount", "-l", str(small)], check=True)


def add_node(lab):
    node = Node(lab, 1)
    lab.join("node1", node.address)
    lab.nodes.append(node)
    return node


def try_pod(node, name):
    try:
        return node.add_pod(name)
    except CniError:
        return None


@pytest.mark.parametrize("damage", ["header", "truncated", "foreign"])
def test_corrupt_database_is_reported_and_left_alone(store, damage):
    path = store.dir / "bad.db"
    good = (store.dir / "margay.db").read_bytes()
    if damage == "header":
        path.write_bytes(b"garbage!" * 64 + good[512:])
    elif damage == "truncated":
        path.write_bytes(good[:len(good) // 2 - 100])
    else:
        subprocess.run(["python3", "-c", f"import sqlite3; c=sqlite3.connect({str(path)!r}); "
                        "c.execute('create table mine(a)'); c.commit()"], check=True)
    before = path.read_bytes()
    store.datastore = f"sqlite:{path}"
    said = store.ctl("apply", "-f", "-", stdin=pool("p", "10.1.0.0/16"), check=False)
    assert said.returncode == 1 and str(path) in said.stderr + said.stdout
    assert path.read_bytes() == before
    node = add_node(store)
    node.start(wait_ready=False)
    assert node.process.wait(timeout=60) != 0
    node.process = None
    assert str(path) in node.log()
    assert path.read_bytes() == before


def test_bad_configuration_names_file_line_and_remedy(store):
    node = add_node(store)
    conf = store.dir / "bad.yaml"
    conf.write_text("node: node1\nlistenPrt: 179\n")
    done = ns.run(node.ns, store.agent, "-c", conf, check=False)
    assert done.returncode != 0
    assert f"{conf}:2" in done.stderr and "listenPrt" in done.stderr
    conf.write_text("datastore: mysql:x\n")
    done = ns.run(node.ns, store.agent, "-c", conf, check=False)
    assert done.returncode != 0 and "mysql" in done.stderr and "sqlite:" in done.stderr


def test_pod_that_is_stopped_in_the_middle_is_cleaned_up(labs):
    """SIGTERM to the plugin while it waits for an agent that does not answer."""
    lab = labs(nodes=1, tor=False)
    node = lab.nodes[0]
    os.kill(node.process.pid, signal.SIGSTOP)
    pod = Pod(node, "default", "slow", node.network())
    pod.make_ns()
    conf = cni.plugin_config(pod.network.list, pod.network.list["plugins"][0])
    env = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": pod.container_id, "CNI_NETNS": pod.netns, "CNI_IFNAME": "eth0",
           "CNI_ARGS": pod.args, "CNI_PATH": "/usr/lib/cni", "PATH": os.environ["PATH"]}
    p = subprocess.Popen([*ns.enter(node.ns), str(lab.build / "cni-plugin/margay")], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, env=env, text=True)
    try:
        p.stdin.write(json.dumps(conf))
        p.stdin.close()
        wait.until("the plugin waits in its socket", lambda: "unix" in open(f"/proc/{p.pid}/wchan").read() or
                   "poll" in open(f"/proc/{p.pid}/wchan").read())
        p.send_signal(signal.SIGTERM)
        assert p.wait(timeout=60) != 0
    finally:
        p.kill()
        os.kill(node.process.pid, signal.SIGCONT)
    assert [x["ifname"] for x in ns.ip_json(pod.ns, "link", "show")] == ["lo"]
    pod.delete()
