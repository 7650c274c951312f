"""Random worlds of policy in two agents' kernels, judged packet by packet.

WORLDS=2000 SEED=1 BACKENDS=nft tests/run.sh packets; a mismatch names its seed and a file that tells the world, the
packets and the kernels' rules in full. CHANGES=20 is for the changes under traffic, ROUNDS=10 for fresh agents.
"""

import os
import re
import signal
import subprocess
import tempfile
import time

from deploy.lab import ns
from lab import start

WORLDS = os.environ.get("WORLDS", "60")
CHANGES = os.environ.get("CHANGES", "8")
KILLED_WORLDS = max(6, int(WORLDS) // 20)
CHANGED_WORLDS = max(4, int(WORLDS) // 10)
ROUNDS = int(os.environ.get("ROUNDS", "2"))
SEED = int(os.environ.get("SEED", "1"))
USUAL_S = 0.4  # of an agent from its start until all is in force
SET_PARAMETERS = re.compile(r" (hashsize|bucketsize|initval|maxelem) \S+")


def start_judge(bench, worlds, seed, changes=0):
    report = f"{tempfile.gettempdir()}/margay-packets-{bench.backend}-{os.getpid()}.txt"
    words = [bench.build / "tests/packets/packet-judge", bench.datastore, bench.name, *(n.run_dir for n in bench.nodes)]
    env = {"WORLDS": str(worlds), "SEED": str(seed), "CHANGES": str(changes), "REPORT": report}
    p = subprocess.Popen([*map(str, words)], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | env)
    p.report = report
    return p


def end_judge(bench, p):
    out, err = p.communicate()
    print(f"\n{bench.backend}: {out.strip()}")
    assert p.returncode == 0, f"{out}{err[-4000:]}\nin full: {p.report}"


def judge(bench, *args):
    end_judge(bench, start_judge(bench, *args))


def test_random_worlds(bench):
    judge(bench, WORLDS, SEED)


def test_changes_under_traffic(bench):
    """What is allowed before and after a change is allowed all the time, to the packet; what is denied is denied."""
    judge(bench, CHANGED_WORLDS, SEED, CHANGES)


def test_changes_while_agents_are_killed(bench):
    """What a dead agent leaves goes on enforcing, and the next one finds its way from there as well."""
    judge(bench, 1, SEED + 500)
    bench.nodes[0].kill()
    began = time.monotonic()
    restart(bench, bench.nodes[0])
    slow = max(1, (time.monotonic() - began) / USUAL_S)  # or nobody would live to see its work done
    running = start_judge(bench, KILLED_WORLDS, SEED + 501, 8)
    kills = 0
    try:
        while running.poll() is None:
            node = bench.nodes[kills % 2]
            node.kill()
            start(bench, node, bench.backend, wait_ready=False)
            kills += 1
            try:
                running.wait((0.3 + kills % 7 / 10) * slow)  # the lives of agents, some too short to do anything
            except subprocess.TimeoutExpired:
                pass
    finally:
        if running.poll() is None:
            running.kill()
    end_judge(bench, running)
    assert kills >= 3


def rules(node, tool):
    """The rules of each chain in their order, chains sorted; without counters."""
    table, found = "", {}
    for line in ns.out(node.ns, tool).splitlines():
        if line.startswith("*"):
            table = line
        elif line.startswith((":", "-A")):
            chain = re.split(r"[ :]", line.removeprefix("-A ").removeprefix(":"))[0]
            found.setdefault((table, chain), []).append(re.sub(r" \[\d+:\d+\]$", "", line))
    return found


def enforced(node, backend):
    """All that is in the node's kernel, with nothing in it that only says when."""
    out = {(tool, *where): lines for tool in (f"iptables-{backend}-save", f"ip6tables-{backend}-save")
           for where, lines in rules(node, tool).items()}
    for line in ns.out(node.ns, "ipset", "save").splitlines():
        out.setdefault(("ipset", line.split()[1]), []).append(SET_PARAMETERS.sub("", line))
    return {key: lines if key[0] != "ipset" else sorted(lines) for key, lines in out.items()}


def wipe(node, backend):
    """As if no agent had ever been here."""
    for family in ("iptables", "ip6tables"):
        for table in ("raw", "mangle", "nat", "filter"):
            ns.run(node.ns, f"{family}-{backend}", "-w", "-t", table, "-F")
            ns.run(node.ns, f"{family}-{backend}", "-w", "-t", table, "-X")
    ns.run(node.ns, "ipset", "destroy")


def differences(a, b):
    return {key: (a.get(key), b.get(key)) for key in a.keys() | b.keys() if a.get(key) != b.get(key)}


def restart(bench, node):
    # Not by its health over HTTP: a host endpoint of the world may shut loopback, too.
    start(bench, node, bench.backend, wait_ready=False)
    node.settle_policy()


def test_a_fresh_agent_makes_the_same(bench):
    """After many worlds in random order: a new life writes nothing, and one that finds nothing writes the same."""
    for i in range(ROUNDS):
        judge(bench, 5, SEED + 1000 * (i + 1), 2)
        for node in bench.nodes:
            grown = enforced(node, bench.backend)
            assert len(grown) > 50
            assert node.stop(signal.SIGTERM) == 0
            restart(bench, node)
            policy = node.ctl_json("node", "status")["policy"]
            for family in ("ipv4", "ipv6"):
                counts = [policy[family][k] for k in ("restores", "chainsWritten", "chainsRemoved", "errors")]
                assert counts == [0, 0, 0, 0], (SEED, i, family, policy)
            assert differences(grown, enforced(node, bench.backend)) == {}, (SEED, i)
            node.stop(signal.SIGTERM)
            wipe(node, bench.backend)
            restart(bench, node)
            assert differences(grown, enforced(node, bench.backend)) == {}, (SEED, i)
