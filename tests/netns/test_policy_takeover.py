"""An agent comes to a node where rules are: its own, a Calico node's, other programs'; and others never sleep."""

import fcntl
import json
import random
import re
import signal
import subprocess
import time

import pytest

from deploy.lab import ns, wait

from conftest import POOL
from ground import Ground, calico, ground_fixture, k8s, space, start
from monitor import NftMonitor
from probe import Knocker, Server, mistakes

KILLS = 30
# What Calico's own agent writes, hash by hash (the frame is the same for every node).
RECORDED = {"FORWARD": ["wUHhoiAYhphO9Mso", "S93hcgKJrXEqnTfs", "mp77cMpurHhyjLrM"], "INPUT": ["Cz_u1IQiXIMmKD4c"],
            "OUTPUT": ["tVnHkvAo15HuiPy0"],
            "cali-FORWARD": ["W_vvds1Nw3n9QE2f", "ZfgmjuiLaA8Pg0kp", "tAzwBLPaV-j53OOZ", "4Z0Pf0byo05NFe-P",
                             "hQ7Oc16wmUtLuneJ", "rnKNH2WxGcRQcIlD"]}
OTHERS = """*filter
:KUBE-FORWARD - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-FIREWALL - [0:0]
:OPERATOR - [0:0]
-A INPUT -m comment --comment "kubernetes health check service ports" -j KUBE-SERVICES
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A FORWARD -i docker0 -m comment --comment "the operator's \\"own\\" cali rule" -j OPERATOR
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment "block incoming localnet connections" -j DROP
-A OPERATOR -s 198.51.100.0/24 -p tcp -m multiport --dports 22,80:90 -j REJECT --reject-with tcp-reset
COMMIT
*nat
:KUBE-SERVICES - [0:0]
:KUBE-SEP-ABCDEFGHIJKLMNOP - [0:0]
:KUBE-POSTROUTING - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE
-A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m comment --comment "default/web:http cluster IP" -m tcp --dport 80 -j KUBE-SEP-ABCDEFGHIJKLMNOP
-A KUBE-SEP-ABCDEFGHIJKLMNOP -p tcp -m comment --comment "default/web:http" -m tcp -j DNAT --to-destination 198.51.100.7:8080
COMMIT
*mangle
:KUBE-KUBELET-CANARY - [0:0]
COMMIT
"""


def make(lab, backend):
    lab.up(nodes=1, tor=False)
    node = lab.nodes[0]
    lab.apply(POOL + "---\n" + space("x", ns="x") + "---\n" + space("y", ns="y"))
    g = Ground(lab, backend)
    g.environment = {"XTABLES_LOCKFILE": str(lab.dir / "xtables.lock")}  # the machine's is not ours to hold
    g.options = ["--policy", "--iptables-backend", backend]
    as_calico(g)
    start(lab, backend, env=g.environment)
    for where, name in (("x", "s"), ("x", "a"), ("y", "c")):
        setattr(g, name, node.add_pod(name, where, node.network(args={"margay": {"labels": {"pod": name}}})))
    g.servers = [Server(p, (80, 81)) for p in (g.s, g.a, g.c)]
    wait.until("pods reach each other", lambda: not mistakes(g.a, {f"tcp:{g.s.ip}:80": True, f"tcp:{g.c.ip}:80": True}))
    restore(g, OTHERS)
    return g


def as_calico(g):
    """One chain of a pod, as Calico names it: in nft those of all pods are such from then on."""
    if g.backend == "nft":
        restore(g, "*filter\n:cali-tw-cali01234567890 - [0:0]\nCOMMIT\n")


ground = ground_fixture(make)


@pytest.fixture
def g(ground):
    if not ground.node.process:  # a test before this one has failed
        begin(ground)
    ground.clean()
    ground.apply(k8s("base", "x", {"podSelector": {"matchLabels": {"pod": "s"}}, "ingress": [
        {"ports": [{"port": 80}], "from": [{"namespaceSelector": {"matchLabels": {"ns": "y"}}}, {"podSelector": {}}]}]}))
    return ground


def begin(g, *options):
    g.node.start(*g.options, *options, env=g.environment)
    g.settle()


def run(g, *words, **kw):
    return ns.run(g.node.ns, "env", *(f"{k}={v}" for k, v in g.environment.items()), *words, **kw)


def restore(g, text, *options):
    run(g, f"{g.tool}-restore", "-w", "10", "--noflush", *options, input=text)


def saved(g, *options):
    """Lines of the tables, without those that only say when, and without the chains' own counters."""
    text = run(g, f"{g.tool}-save", *options).stdout
    return [re.sub(r" \[\d+:\d+\]$", "", x) for x in text.splitlines() if not x.startswith("#")]


def is_ours(line):
    return re.match(r"(\[\d+:\d+\] )?(:cali-|-A cali-|-A .*--comment \"?cali:)", line)


def others(g):
    return [x for x in saved(g) if not is_ours(x)]


def chains(g):
    """{(table, chain): rules} of ours, the kernel's chains with only our rules."""
    found, table = {}, None
    for line in saved(g):
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(":cali"):
            found.setdefault((table, line.split()[0][1:]), [])
        elif line.startswith("-A") and is_ours(line):
            found.setdefault((table, line.split()[1]), []).append(line)
    return found


def sets(g):
    text, found = ns.out(g.node.ns, "ipset", "save"), {}
    for line in text.splitlines():
        verb, name, *rest = line.split()
        if verb == "create":
            found[name] = []
        else:
            found[name].append(" ".join(rest))
    return {k: sorted(v) for k, v in found.items()}


def is_right(g):
    """s lets in TCP 80 of x and y, and nothing else."""
    assert mistakes(g.a, {f"tcp:{g.s.ip}:80": True, f"tcp:{g.s.ip}:81": False, f"icmp:{g.s.ip}": False}) == {}
    assert mistakes(g.c, {f"tcp:{g.s.ip}:80": True, f"tcp:{g.s.ip}:81": False, f"tcp:{g.a.ip}:81": True}) == {}


def shut(g):
    """What nobody may reach while s has its policy."""
    return [f"tcp:{g.s.ip}:81", f"icmp:{g.s.ip}"]


def hashes(rules):
    return [re.search(r'--comment "?cali:([\w-]{16})', r)[1] for r in rules]


def test_what_is_right_is_what_calico_writes(g):
    """In nft, where its chains were found; legacy has fewer rules for a packet to meet (policy/render_lean.c)."""
    ours = chains(g)
    if g.backend == "nft":
        assert {name: hashes(ours["filter", name]) for name in RECORDED} == RECORDED
    else:
        assert not any(table == "mangle" for table, _ in ours) and ("filter", "cali-OUTPUT") not in ours
    is_right(g)


GONE = ("cali-tw-caliabcdefabcde", "cali-fw-caliabcdefabcde", "cali-pi-_gone-gone-gone-gone", "felix-FORWARD")
LEFT = """-A cali-tw-caliabcdefabcde -m comment --comment "cali:BBBBBBBBBBBBBBBB" -j cali-pi-_gone-gone-gone-gone
-A cali-fw-caliabcdefabcde -m comment --comment "cali:BBBBBBBBBBBBBBBB" -j cali-pi-_gone-gone-gone-gone
-A cali-pi-_gone-gone-gone-gone -m comment --comment "cali:CCCCCCCCCCCCCCCC" -m set --match-set cali40s:gonegonegonegonegonego src -j DROP
-A felix-FORWARD -j DROP
-A OUTPUT -d 203.0.113.77 -j felix-FORWARD"""


def spoiled(g):
    """A chain of which one rule is to be wrong, and the end of that rule."""
    return ("cali-OUTPUT", "-j RETURN") if g.backend == "nft" else ("cali-FORWARD", "-j cali-from-wl-dispatch")


def spoil(g, lines):
    """Another life's tables: the same but for a rule that is wrong, one that is missing, pods and policies that are gone,
    and what Calico wrote in its first years."""
    out, wrong, missing = [], False, False
    table = None
    chain, end = spoiled(g)
    for line in lines:
        table = line[1:] if line.startswith("*") else table
        if f"-A {chain} " in line and end in line and not wrong:
            wrong = True
            line = re.sub(r"cali:[\w-]{16}", "cali:AAAAAAAAAAAAAAAA", line).replace("-j RETURN", "-j ACCEPT")
        if "-A cali-wl-to-host" in line and not missing:
            missing = True
            continue
        if line == "COMMIT" and table == "filter":
            out += [f"[7777:7000] {x}" for x in LEFT.splitlines()]
        out.append(line + " [0:0]" if line.startswith(":") else line)
        if line == "*filter":
            out += [f":{c} - [0:0]" for c in GONE]
    assert wrong and missing
    return "\n".join(out) + "\n"


def take_over(g, done):
    """Begin on spoiled tables; what nft monitor said, and the agent's counts."""
    assert g.node.stop(signal.SIGTERM) == 0
    ns.run(g.node.ns, "ipset", "create", "cali40s:gonegonegonegonegonego", "hash:net", "family", "inet")
    ns.run(g.node.ns, "ipset", "add", "cali40s:gonegonegonegonegonego", "198.51.100.9")
    ns.run(g.node.ns, "ipset", "create", "operator", "hash:ip")
    run(g, f"{g.tool}-restore", "-w", "10", "-c",
        input=spoil(g, [re.sub(r"^\[\d+:\d+\]", "[7777:7000]", x) for x in saved(g, "-c")]))
    assert any("felix" in x for x in saved(g))
    with NftMonitor(g.node.ns) as monitor:
        begin(g)
        wait.until(lambda: f"leftovers go: {[x for x in saved(g) if 'gone' in x or 'felix' in x]} {list(sets(g))}", done, 60)
        status = g.node.ctl_json("node", "status")["policy"]["ipv4"]
        return "\n".join(monitor.stop()), status


def test_takeover_of_a_node(g):
    """Rules that are right keep their counters, the wrong are repaired, leftovers go, strangers' stay byte for byte."""
    want, want_sets, strangers = chains(g), sets(g), others(g)
    with Knocker(g.a, shut(g)) as knocker:
        said, status = take_over(g, lambda: chains(g) == want and sets(g) == want_sets | {"operator": []})
        opened = knocker.stop()
    assert opened == []
    assert others(g) == strangers
    assert not any("felix" in x for x in saved(g))
    # Nothing else was written: two chains were wrong, three hung loose, one is of old.
    assert status["chainsWritten"] <= 3, status
    touched = set(re.findall(r"(?:add|insert|replace|delete) rule ip \w+ ([\w-]+)", said))
    chain = spoiled(g)[0]
    assert touched <= {chain, "cali-wl-to-host", "OUTPUT", "cali-tw-caliabcdefabcde", "cali-fw-caliabcdefabcde",
                       "cali-pi-_gone-gone-gone-gone", "felix-FORWARD"}, touched
    assert g.backend == "legacy" or {chain, "cali-wl-to-host"} <= touched, said
    counted = [x for x in saved(g, "-c") if "cali:" in x and not re.search(rf"-A ({chain}|cali-wl-to-host)", x)]
    lost = [x for x in counted if int(x[1:].split(":")[0]) < 7777]
    assert counted and lost == []
    if g.backend == "legacy":  # there even the other rules of a chain that was wrong keep theirs
        again = [int(x[1:].split(":")[0]) for x in saved(g, "-c") if f"-A {chain}" in x]
        assert sorted(again)[0] < 7777 <= sorted(again)[1], again
    ns.run(g.node.ns, "ipset", "destroy", "operator")
    is_right(g)


def test_what_an_agent_left_in_the_other_backend_goes(g):
    """Rules of both would decide twice."""
    other = "iptables-legacy" if g.backend == "nft" else "iptables-nft"
    assert g.node.stop(signal.SIGTERM) == 0
    old = [x for x in saved(g, "-t", "filter") if not x.startswith(("-A KUBE", "-A OPERATOR"))]
    text = "\n".join(f"{x} [0:0]" if x.startswith(":") else x for x in old) + "\n"
    run(g, f"{other}-restore", "-w", "10", "--noflush", input=text)

    def left():
        return [x for x in run(g, f"{other}-save", "-t", "filter").stdout.splitlines() if "cali-" in x]
    assert len(left()) > 20
    before, want = others(g), chains(g)
    begin(g)
    wait.until(lambda: f"leftovers in {other} go: {left()[:3]}", lambda: not left())
    assert ":KUBE-FORWARD" in run(g, f"{other}-save", "-t", "filter").stdout
    run(g, other, "-w", "-F")
    assert (others(g), chains(g)) == (before, want)
    is_right(g)


def way_from(g):
    """The number of the rule that packets of pods meet first in cali-FORWARD."""
    rules = chains(g)["filter", "cali-FORWARD"]
    return str(1 + next(i for i, r in enumerate(rules) if "cali-from-wl-dispatch" in r))


def tampering(g):
    """{what is done: command}, each of which is to be undone."""
    to_s = f"cali-tw-{g.s.host_interface}"
    to_s = to_s if ("filter", to_s) in chains(g) else next(
        re.search(r"-g (\S+)", r)[1] for r in sum(chains(g).values(), []) if f"-o {g.s.host_interface} " in r)
    done = {"a chain is flushed": ["-F", to_s], "the way to all pods is flushed": ["-F", "cali-to-wl-dispatch"],
            "a rule is deleted": ["-D", "cali-FORWARD", way_from(g)], "our jump is deleted": ["-D", "FORWARD", "1"],
            "somebody inserts above us": ["-I", "cali-FORWARD", "-j", "ACCEPT"],
            "the kernel's chain is flushed": ["-F", "INPUT"], "raw is flushed": ["-t", "raw", "-F"]}
    if g.backend == "nft":  # of a change that leaves sizes and hashes as they are the kernel tells only here
        done["a rule is exchanged, its hash kept"] = [
            "-R", "cali-FORWARD", way_from(g), "-i", "nobody+", "-m", "comment", "--comment",
            "cali:tAzwBLPaV-j53OOZ", "-j", "cali-from-wl-dispatch"]
        done["our jump is exchanged, its hash kept"] = [
            "-R", "FORWARD", "1", "-m", "comment", "--comment", "cali:wUHhoiAYhphO9Mso", "-j", "ACCEPT"]
    return done


def repairs(g):
    status = g.node.ctl_json("node", "status")["policy"]["ipv4"]
    return status["repairs"], status["lastRepairMs"]


def test_tampering_is_repaired(g):
    """From the kernel's word to rules that are right again the agent's own clock counts; where the kernel says nothing
    (legacy), what is seen from here must do."""
    want, took = chains(g), []
    for what, words in tampering(g).items():
        before, n = others(g), repairs(g)[0]
        run(g, g.tool, "-w", *words)
        wait.until(lambda w=what: f"{w}: {[k for k in want if chains(g).get(k) != want[k]]}", lambda: chains(g) == want, 60)
        if what != "the kernel's chain is flushed":
            assert others(g) == before, what
        if g.backend == "nft":
            wait.until("the agent knows that it is repaired", lambda m=n: repairs(g)[0] > m)
            took.append(repairs(g)[1])
    # Among other work on the machine the tools themselves take their time; a look at intervals would not often be so soon.
    assert g.backend == "legacy" or sorted(took)[2] <= 1000, took
    if g.backend == "nft":
        assert "rules of this agent were changed by somebody else" in g.node.log() and "by=iptables" in g.node.log()
    restore(g, "*filter\n" + next(x for x in OTHERS.splitlines() if x.startswith("-A INPUT")) + "\nCOMMIT\n")
    is_right(g)


def test_a_rule_above_our_jump_goes_below(g):
    run(g, g.tool, "-w", "-I", "FORWARD", "-p", "tcp", "--dport", "81", "-j", "ACCEPT")
    try:
        wait.until("ours is first again", lambda: "cali-FORWARD" in run(g, g.tool, "-w", "-S", "FORWARD", "1").stdout)
        is_right(g)
    finally:
        run(g, g.tool, "-w", "-D", "FORWARD", "-p", "tcp", "--dport", "81", "-j", "ACCEPT")


def test_sets_are_looked_at_again(g):
    """The kernel does not tell of sets: they are read at the refresh interval."""
    assert g.node.stop(signal.SIGTERM) == 0
    begin(g, "--ipsets-refresh-interval", "1", "--iptables-refresh-interval", "2")
    want, rules = sets(g), chains(g)
    name = next(k for k, v in want.items() if g.c.ip in " ".join(v) and k.startswith("cali40s"))
    ns.run(g.node.ns, "ipset", "del", name, g.c.ip)
    wait.until("a member that was removed is back", lambda: sets(g) == want)
    ns.run(g.node.ns, "ipset", "add", name, "198.51.100.7")
    wait.until("a stranger is gone", lambda: sets(g) == want)
    ns.run(g.node.ns, "ipset", "flush", name)
    wait.until("all members are back", lambda: sets(g) == want)
    # Legacy: the same number of rules, other hashes.
    run(g, g.tool, "-w", "-R", "cali-FORWARD", way_from(g), "-i", "nobody+", "-j", "cali-from-wl-dispatch")
    wait.until("the rule is right again", lambda: chains(g) == rules)
    is_right(g)
    assert g.node.stop(signal.SIGTERM) == 0
    begin(g)


def test_the_xtables_lock_is_waited_for(g):
    """Somebody holds it for three seconds, the agent's tool waits one; nothing is lost, and the agent answers meanwhile."""
    assert g.node.stop(signal.SIGTERM) == 0
    begin(g, "--iptables-lock-timeout", "1")
    with open(g.environment["XTABLES_LOCKFILE"], "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        until, took = time.monotonic() + 3, []
        g.lab.apply(k8s("more", "x", {"podSelector": {"matchLabels": {"pod": "a"}}, "ingress": [{"ports": [{"port": 80}]}]}))
        stored = json.loads(g.lab.ctl("-o", "json", "get", "netpol", "more", "-n", "x").stdout)["metadata"]["resourceVersion"]
        while time.monotonic() < until or len(took) < 5:
            began = time.monotonic()
            status = g.node.ctl_json("node", "status")
            took.append(time.monotonic() - began)
            if g.backend == "legacy" and status["datastore"]["revision"] >= int(stored):
                assert not status["policy"]["inForce"], status
    assert sorted(took)[1] < 0.5, f"the loop stood still with the tool: {took}"
    g.settle()
    assert mistakes(g.c, {f"tcp:{g.a.ip}:80": True, f"tcp:{g.a.ip}:81": False, f"tcp:{g.s.ip}:81": False}) == {}
    assert g.node.stop(signal.SIGTERM) == 0
    begin(g)


def churn(i):
    """One of many policies over changing sets; s stays shut but for TCP 80 whatever they say."""
    where = f"198.51.{i}.0/24"
    return calico("GlobalNetworkSet", f"n{i % 3}", {"nets": [where, f"203.0.113.{i}/32"]}, labels={"role": f"r{i % 4}"}), \
        calico("NetworkPolicy", f"p{i % 5}", {"order": i, "selector": "pod == 's'", "types": ["Ingress"], "ingress": [
            {"action": "Allow", "protocol": "TCP", "source": {"selector": f"role == 'r{i % 4}' || pod == '{'ac'[i % 2]}'"},
             "destination": {"ports": [80, 1000 + i]}}]}, "x")


def wipe(g):
    """End the agent, and leave nothing of ours on the node."""
    assert g.node.stop(signal.SIGTERM) == 0
    for table in ("filter", "raw", "mangle", "nat"):
        names = [c for t, c in chains(g) if t == table]
        rules = [r for (t, _), rs in chains(g).items() if t == table for r in rs if not r.startswith("-A cali")]
        restore(g, "\n".join([f"*{table}", *("-D" + r[2:] for r in rules), *(f"-F {c}" for c in names if c.startswith("cali")),
                              "COMMIT", ""]))
        restore(g, "\n".join([f"*{table}", *(f"-X {c}" for c in names if c.startswith("cali")), "COMMIT", ""]))
    for name in sets(g):
        ns.run(g.node.ns, "ipset", "destroy", name)
    assert chains(g) == {} and sets(g) == {}


def fresh(g):
    """Chains and sets that an agent makes on a node where there was nothing of ours."""
    wipe(g)
    as_calico(g)
    begin(g)
    return chains(g), sets(g)


def test_without_calicos_chains_pods_share(g):
    """What applies to a pod is in a chain named by its content; a restart finds that and writes nothing."""
    def of_pods():
        return {c for _, c in chains(g) if c.startswith(("cali-tw-", "cali-fw-"))}
    alone = of_pods()
    assert any("cali-tw-" + p.host_interface in alone for p in (g.s, g.a, g.c)) == (g.backend == "nft")
    wipe(g)
    begin(g)
    shared = of_pods()
    assert shared and all(len(c) > len("cali-tw-") + 15 for c in shared)
    is_right(g)
    assert g.node.stop(signal.SIGTERM) == 0
    begin(g)
    assert of_pods() == shared
    assert g.node.ctl_json("node", "status")["policy"]["ipv4"]["chainsWritten"] == 0
    is_right(g)
    assert fresh(g)  # for the tests that follow


def live(process, seconds):
    """Let it live for so long: the moment is what is tried."""
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(seconds)


def test_killed_at_any_moment_it_leaves_all_in_force(g):
    """Thirty ends by KILL while policies come and go: nothing opens, and the last life has what a fresh one makes."""
    rng = random.Random(7)
    strangers = others(g)
    with Knocker(g.a, shut(g)) as knocker:
        for i in range(KILLS):
            g.lab.apply("---\n".join(churn(i)))
            if i % 3 == 2:
                g.lab.ctl("delete", "networkpolicy", f"p{(i + 2) % 5}", "-n", "x", check=False)
            live(g.node.process, rng.uniform(0, 0.12))
            g.node.kill()
            assert any("cali-tw" in x for x in saved(g, "-t", "filter"))
            g.node.start(*g.options, env=g.environment, wait_ready=i % 4 == 0)
        g.node.wait_ready()
        g.settle()
        opened = knocker.stop()
    assert opened == []
    is_right(g)
    wait.until("leftovers are gone", lambda: not g.node.health_text().count("policy"), 60)
    got = chains(g), sets(g)
    want = fresh(g)
    assert got[0].keys() == want[0].keys()
    assert [k for k in want[0] if got[0][k] != want[0][k]] == []
    assert got[1] == want[1]
    assert others(g) == strangers


LOOP = """
i=0
while [ ! -e "$1" ]; do
	i=$((i + 1))
	n=KUBE-LOOP-$((i % 7))
	printf '*filter\\n:%s - [0:0]\\n:KUBE-LOOP - [0:0]\\n-A KUBE-LOOP -s 198.51.100.%d -j %s\\n-A %s -j RETURN\\nCOMMIT\\n' \
		$n $((i % 250)) $n $n | "$2" -w 10 --noflush || echo "failed $i"
done
echo "rounds $i"
"""


def test_another_program_restores_at_the_same_time(g):
    stop = g.lab.dir / "stop"
    stop.unlink(missing_ok=True)
    other = subprocess.Popen([*ns.enter(g.node.ns), "env", *(f"{k}={v}" for k, v in g.environment.items()), "sh", "-c", LOOP,
                              "sh", str(stop), f"{g.tool}-restore"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    with Knocker(g.a, shut(g)) as knocker:
        try:
            for i in range(12):
                g.apply(*churn(i))
        finally:
            stop.touch()
            said = other.communicate(timeout=120)[0].split("\n")
        opened = knocker.stop()
    assert opened == []
    turns = int(said[-2].split()[1])
    assert said[:-2] == [] and turns > 5, said
    want = [f"-A KUBE-LOOP -s 198.51.100.{turns % 250}/32 -j KUBE-LOOP-{turns % 7}"]
    assert [x for x in saved(g, "-t", "filter") if x.startswith("-A KUBE-LOOP ")] == want
    is_right(g)
    status = g.node.ctl_json("node", "status")["policy"]["ipv4"]
    assert status["chainsRefused"] == 0
    got = chains(g), sets(g)
    assert got == fresh(g)
