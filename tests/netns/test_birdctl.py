"""Calico's tools ask BIRD on a socket; this agent answers in its place. Said here are exactly their requests, and what they
refuse to read is an error; and BIRD 2's own birdc."""

import re
import socket

import pytest

from deploy.lab import ns, wait
from deploy.lab.quickstart import missing

from conftest import finish, make_lab, new_name, taken_down_on_failure

HEADINGS = ["name", "proto", "table", "state", "since", "info"]
NAME = re.compile(r"^(Global|Node|Mesh)_(.+)$")
VIA = re.compile(r"(\S*)\s*via\s(\S*)\s*on\s(.*)\s\[(\S*)\s.*\].*")
OTHER = re.compile(r"(\S*)\s*(blackhole|unreachable)\s\[(\S*)\s.*\].*")


@pytest.fixture(scope="module")
def lab(request):
    lab = make_lab(new_name(), nodes=2, start=False)
    with taken_down_on_failure(lab):
        for node in lab.nodes:
            node.start("--bird-socket-dir", node.run_dir / "calico", wait_ready=False)
        lab.start_tor()
        for node in lab.nodes:
            node.wait_ready()
            node.add_pod(f"pod{node.index}")
        wait.until(lambda: f"the lab is settled: {missing(lab)}", lambda: not missing(lab))
    yield lab
    finish(request, [lab])


class Bird:
    def __init__(self, path):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(60)
        self.s.connect(str(path))
        self.f = self.s.makefile("r", newline="\n")

    def ask(self, question, ends=("0000",)):
        """Lines up to the one that ends an answer; a line that no answer can have is an error, as it is to calicoctl."""
        self.s.sendall(question.encode() + b"\n")
        lines = []
        while True:
            line = self.f.readline()
            assert line.endswith("\n"), lines
            lines.append(line[:-1])
            if line.startswith(ends):
                return lines
            assert re.match(r"(\d{4}[- ]| )", line), line


def rows(lines, code):
    got, seen = [], False
    for line in lines:
        if line.startswith(code + "-"):
            got.append(line[5:])
            seen = True
        elif line.startswith(" ") and seen:
            got.append(line[1:])
        else:
            seen = False
    return got


def peers(node, name="bird.ctl"):
    b = Bird(node.run_dir / "calico" / name)
    lines = b.ask("show protocols")
    assert lines[0].startswith("0001") and "ready" in lines[0]
    assert [line[5:].split() for line in lines if line.startswith("2002")] == [HEADINGS]
    assert all(line.startswith(("0001", "2002", "1002", " ", "0000")) for line in lines), lines
    return [row.split() for row in rows(lines, "1002")]


def test_what_node_status_reads(lab):
    one, two = lab.nodes
    wait.until("both are up", lambda: [p[3] for p in peers(one)] == ["up"] * 2)
    got = {p[0]: p for p in peers(one)}
    assert set(got) == {"Global_192_168_61_1", f"Mesh_{two.address.replace('.', '_')}"}
    for p in got.values():
        assert NAME.match(p[0]) and p[1] == "BGP" and p[5] == "Established" and len(p) >= 6
        assert re.fullmatch(r"\d\d:\d\d:\d\d|\d{4}-\d\d-\d\d", p[4]), p
    assert peers(one, "bird6.ctl") == []


def test_a_session_that_is_down_says_why(lab):
    one = lab.nodes[0]
    ns.out(lab.ns("tor"), "birdc", "-s", lab.dir / "tor.ctl", "disable", "node1")
    try:
        [down] = wait.until(lambda: f"it is down: {peers(one)}", lambda: [
            p for p in peers(one) if p[0].startswith("Global") and p[3] == "start" and "received" in p])
        assert down[5] in ("Idle", "Active", "Connect"), down
    finally:
        ns.out(lab.ns("tor"), "birdc", "-s", lab.dir / "tor.ctl", "enable", "node1")
    wait.until("it is up", lambda: [p[3] for p in peers(one)] == ["up"] * 2)


def test_what_the_node_status_reporter_reads(lab):
    one, two = lab.nodes
    wait.until("both are up", lambda: [p[3] for p in peers(one)] == ["up"] * 2)
    b = Bird(one.run_dir / "calico/bird.ctl")
    status = b.ask("show status", ("0013",))
    assert any(line.startswith("1000-BIRD v") for line in status)
    words = rows(status, "1011")
    assert words[0] == f"Router ID is {one.address}"
    assert [w.rsplit(" on ", 1)[0] for w in words[2:]] == ["Last reboot", "Last reconfiguration"]
    # the same connection, session by session
    for name, state, address in [("Global_192_168_61_1", "Established", "192.168.61.1")]:
        lines = b.ask(f"show protocols all {name}")
        said = {}
        for line in lines:
            for key in ("BGP state:", "Neighbor address:"):
                if key in line:
                    said[key] = line.replace(key, " ").strip()
        assert said == {"BGP state:": state, "Neighbor address:": address}, lines
    assert b.ask("show protocols all Mesh_1_2_3_4", ("0000", "8003"))[-1].startswith("8003")


def test_routes_as_the_reporter_reads_them(lab):
    one, two = lab.nodes
    [own] = one.ctl_json("node", "status")["blocks"]
    [other] = two.ctl_json("node", "status")["blocks"]
    wait.until("the others' routes", lambda: other in one.routes() and "203.0.113.0/24" in one.routes())
    lines = Bird(one.run_dir / "calico/bird.ctl").ask("show route")
    assert all(line.startswith(("0001", "1007", " ", "0000")) for line in lines), lines
    got, dest = {}, ""
    for row in rows(lines, "1007"):
        m = VIA.match(row) if " via " in row else OTHER.match(row)
        assert m, row
        dest = m[1] or dest
        assert dest, row
        if "] *" in row:
            got[dest] = m.groups()[1:]
    assert got[own] == ("blackhole", "static1")
    assert got[other][0] == two.address and got[other][2] == f"Mesh_{two.address.replace('.', '_')}"
    assert got["203.0.113.0/24"][2] == "Global_192_168_61_1"


def test_birds_own_client(lab):
    one = lab.nodes[0]

    def birdc(*words):
        return ns.run(one.ns, "birdc", "-s", one.run_dir / "calico/bird.ctl", *words, check=False)
    shown = birdc("show", "protocols")
    assert shown.returncode == 0 and shown.stdout.startswith("BIRD v"), shown
    assert "Global_192_168_61_1" in shown.stdout
    assert "Router ID is" in birdc("show", "status").stdout
    assert "static1" in birdc("-r", "show", "route").stdout
    assert "Access denied" in birdc("configure").stdout
    assert "syntax error" in birdc("show", "interfaces").stdout


def test_bad_clients(lab):
    one = lab.nodes[0]
    path = one.run_dir / "calico/bird.ctl"
    b = Bird(path)
    b.s.sendall(b"x" * 5000)  # a line without an end
    with pytest.raises((AssertionError, ConnectionError)):
        b.ask("show status", ("0013",))
    b = Bird(path)
    b.s.sendall(b"\0\xff show\n\nshow protocols all " + b"a" * 900 + b"\n" + b"show status\n" * 50)  # and does not read
    many = [Bird(path) for _ in range(40)]  # more than there are places: the oldest go
    assert many[-1].ask("show status", ("0013",))[-1].startswith("0013")
    b = Bird(path)
    assert b.ask("\x01\xff", ("9001",))[-1].startswith("9001")
    b.s.sendall(b"quit\n")
    assert b.f.readline() == ""


def test_off_unless_named_and_a_real_bird_is_not_pushed_aside(labs):
    lab = labs(nodes=1, tor=False)
    node = lab.nodes[0]
    assert not list(node.run_dir.glob("**/bird.ctl"))
    node.stop()
    (node.run_dir / "calico").mkdir()
    real = socket.socket(socket.AF_UNIX)
    real.bind(str(node.run_dir / "calico/bird.ctl"))
    real.listen()
    node.start("--bird-socket-dir", node.run_dir / "calico")
    wait.until("it is said", lambda: "is BIRD still running" in node.log())
    wait.until("the other one is there", lambda: (node.run_dir / "calico/bird6.ctl").exists())
    real.close()
    node.stop()
    assert not (node.run_dir / "calico/bird6.ctl").exists()
