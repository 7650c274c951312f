#!/usr/bin/python3
"""margay's speaker beside BIRD, FRR, GoBGP and OpenBGPD: the same bytes to each, on one machine, in turn.

    run.py [--only NAME,...] [--rounds N] [--limit SECONDS] [--quick] [WHAT ...]

WHAT: titles of CASES and KERNEL below or how they begin, "idle", "bfd", "kernel"; none: the whole table. Each daemon runs in a
network namespace of its own; bgp-load plays its peers from another one. margay and BIRD take turns for N rounds and the
median counts; the others, which are far away, have one. Memory is that of all a daemon's processes, the most at any time;
what it had before the first route is taken off. Prints rates, bytes, how they compare with BIRD, and each goal; exit
status 1 when one is missed.
"""

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from daemons import ADDRESS, BUILD, DAEMONS, DUT, GEN, drop_net, make_net, memory, ns, wait_listening

# name: senders, receivers, routes, routes per UPDATE, same prefixes from every sender
CASES = {
    "1M, 100 per UPDATE": (1, 1, 1000000, 100, False),
    "1M, one per UPDATE": (1, 1, 1000000, 1, False),
    "500 peers x 20 blocks": (500, 1, 10000, 4, False),
    "50 peers x 100k same": (50, 1, 100000, 100, True),
}
QUICK = {
    "100k, 100 per UPDATE": (1, 1, 100000, 100, False),
    "100k, one per UPDATE": (1, 1, 100000, 1, False),
}
# name: senders, routes
KERNEL = {"kernel: 1M": (1, 1000000), "kernel: 500 peers x 20 blocks": (500, 10000)}
IDLE_PEERS, IDLE_S, CUTS = 1000, 20, 10
BARE = "bare netlink"

# title: (what, key, beside whom, at least; or at most, which is written as a negative number)
GOALS = {
    "1M, 100 per UPDATE": [("announce", "rate", "BIRD", 1), ("withdraw", "withdraw_rate", "BIRD", 1),
                           ("memory", "bytes_a_route", "BIRD", -1), ("first route after Established, ms", "first_ms", None, -20)],
    "1M, one per UPDATE": [("announce", "rate", "BIRD", 1.5), ("withdraw", "withdraw_rate", "BIRD", 1),
                           ("memory", "bytes_a_route", "BIRD", -1), ("first route after Established, ms", "first_ms", None, -20)],
    "500 peers x 20 blocks": [("announce", "rate", "BIRD", 1), ("withdraw", "withdraw_rate", "BIRD", 1),
                              ("memory", "bytes_a_route", "BIRD", -1)],
    "50 peers x 100k same": [("announce", "rate", "best", 1), ("memory", "bytes_a_route", "best", -1),
                             ("withdraw", "withdraw_rate", "BIRD", 1)],
    "kernel: 1M": [("in", "there", BARE, 0.85), ("in", "there", "BIRD", 1), ("out", "gone", "BIRD", 1)],
    "kernel: 500 peers x 20 blocks": [("in", "there", "BIRD", 1), ("out", "gone", "BIRD", 1)],
    "idle": [("KiB a peer", "kib_a_peer", None, -8), ("processor", "cpu", None, -0.01)],
    "bfd": [("p50, ms", "p50", None, -250), ("most, ms", "max", None, -250)],
}
missed = []


@contextlib.contextmanager
def started(name, peers, kernel=False):
    box = tempfile.mkdtemp(prefix="bgpbench-")
    daemon = DAEMONS[name](box, kernel)
    try:
        make_net(peers)
        daemon.start(peers)
        wait_listening(daemon)
        time.sleep(1)
        yield daemon
    finally:
        daemon.stop()
        drop_net()
        shutil.rmtree(box, ignore_errors=True)


@contextlib.contextmanager
def load(*args):
    p = ns(GEN, str(BUILD / "bench/bench-bgp-load"), ADDRESS, *map(str, args), stdin=subprocess.PIPE,
           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield p
    finally:
        p.kill()
        p.wait()


def measure(name, case, limit):
    senders, receivers, routes, per, same = case
    try:
        with started(name, senders + receivers + 1) as daemon, \
                load(senders, receivers, routes, per, "same" if same else "share") as p:
            before = memory(daemon.pids(), "VmRSS:")
            try:
                out, err = p.communicate(timeout=limit)
            except subprocess.TimeoutExpired:
                had = memory(daemon.pids(), "VmHWM:") // 1024
                raise RuntimeError(f"not through after {limit} s; {had} MB then") from None
            if p.returncode:
                raise RuntimeError(err.strip()[-200:] + " | " + daemon.log()[-200:])
            r = json.loads(out)
            paths = routes * (senders if same else 1)
            r["rate"] = paths / r["announce_s"]
            r["withdraw_rate"] = paths / r["withdraw_s"]
            r["first_ms"] = r["first_s"] * 1e3
            r["bytes_a_route"] = (memory(daemon.pids(), "VmHWM:") - before) * 1024 / paths
            return r
    except RuntimeError as e:
        return {"error": str(e)}


def cpu_s(pids):
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as f:
            total += sum(map(int, f.read().rsplit(")", 1)[1].split()[11:13]))
    return total / os.sysconf("SC_CLK_TCK")


def all_up(p, daemon):
    if p.stdout.readline() != "up\n":
        raise RuntimeError(p.communicate()[1][-200:] + " | " + daemon.log()[-200:])


def idle(name):
    """Established sessions with nothing to say, their configuration included."""
    try:
        with started(name, 1) as daemon:
            before = memory(daemon.pids(), "VmRSS:")
        with started(name, IDLE_PEERS) as daemon, load(IDLE_PEERS, 0, 1000, 1, "hold") as p:
            all_up(p, daemon)
            held, cpu = memory(daemon.pids(), "VmRSS:") - before, cpu_s(daemon.pids())
            time.sleep(IDLE_S)
            cpu = cpu_s(daemon.pids()) - cpu
            return {"kib_a_peer": held / IDLE_PEERS, "cpu": cpu / IDLE_S}
    except RuntimeError as e:
        return {"error": str(e)}


def kernel(name, case, limit):
    """From the first byte of the first UPDATE to the last route in the kernel, and out of it again."""
    senders, routes = case
    if name == BARE:
        out = subprocess.run(["unshare", "-n", str(BUILD / "bench/routes"), str(routes), "bare"], capture_output=True,
                             text=True, check=True).stdout.split()
        return {"there": float(out[0]), "gone": float(out[1]), "there_count": routes, "gone_count": 0}
    try:
        with started(name, senders, kernel=True) as daemon, \
                load(senders, 0, routes, min(100, routes // senders), "hold") as p:
            all_up(p, daemon)
            r = {}
            for order, what in (("announce", "there"), ("withdraw", "gone")):
                wait = ns(DUT, str(BUILD / "bench/bench-bgp-fibwait"), str(routes), what, str(limit), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)
                begin = time.monotonic()
                p.stdin.write(order + "\n")
                p.stdin.flush()
                out, err = wait.communicate()
                if wait.returncode:
                    raise RuntimeError(err.strip() + " | " + daemon.log()[-300:])
                r[what] = routes / (float(out.split()[0]) - begin)
                r[what + "_count"] = int(out.split()[1])
            return r
    except RuntimeError as e:
        return {"error": str(e)}


def bfd(name):
    out = subprocess.run([sys.executable, "-B", pathlib.Path(__file__).with_name("failover.py"), "--json", "--only", name,
                          "--build", BUILD, "--cuts", str(CUTS)], capture_output=True, text=True)
    if out.returncode:
        return {"error": out.stderr.strip()[-300:]}
    ms = json.loads(out.stdout)[name]
    return {"p50": statistics.median(ms), "max": max(ms)}


# ---- tables ----

def ratio(r, bird, key):
    return f"{r[key] / bird[key]:.2f}" if bird.get(key) else "-"


def rounds(names, many, one):
    """Each name's median of `many` rounds (its only one for whoever is slow), in turns."""
    got = {n: [] for n in names}
    for i in range(many):
        for n in names:
            if i == 0 or n in ("margay", "BIRD", BARE):
                got[n].append(one(n))
    for n, all_of_it in got.items():
        bad = next((r for r in all_of_it if "error" in r), None)
        got[n] = bad or {k: statistics.median(r[k] for r in all_of_it) for k in all_of_it[0]}
    return got


def beside(results, key, whom, low):
    if whom != "best":
        return results.get(whom, {}).get(key)
    others = [r[key] for n, r in results.items() if n != "margay" and key in r]
    return (min if low else max)(others, default=None)


def check(title, results):
    r = results.get("margay")
    if r is None:
        return
    if "error" in r:
        missed.append(f"{title}: {r['error']}")
        return
    for what, key, whom, goal in GOALS.get(title, []):
        low = goal < 0
        other = beside(results, key, whom, low) if whom else 1
        if not other:
            continue
        value = r[key] / other
        held = value <= -goal if low else value >= goal
        of = f" of {'the best other' if whom == 'best' else whom}'s" if whom else ""
        print(f"  {what + of:44s}{value:9.2f}  goal {'<=' if low else '>='} {abs(goal):g}{'' if held else '   MISSED'}", flush=True)
        if not held:
            missed.append(f"{title}: {what}{of}: {value:.2f}")


def table(title, head, results, line):
    bird = results.get("BIRD", {})
    print(f"\n{title}\n{'':12} {head}")
    for name, r in results.items():
        print(f"{name:12} {r['error'] if 'error' in r else line(r, bird)}", flush=True)
    check(title, results)


def case_line(r, bird):
    return (f"{r['announce_s']:8.3f}s {r['rate']:10.0f} {ratio(r, bird, 'rate'):>7} {r['withdraw_rate']:11.0f} "
            f"{ratio(r, bird, 'withdraw_rate'):>7} {r['bytes_a_route']:8.0f} {ratio(r, bird, 'bytes_a_route'):>7} "
            f"{r['first_ms']:9.1f} {r['late_s'] * 1e3:9.0f}")


def kernel_line(r, bird):
    return (f"{r['there']:10.0f} {ratio(r, bird, 'there'):>7} {r['gone']:10.0f} {ratio(r, bird, 'gone'):>7} "
            f"{r['there_count']:>9.0f} {r['gone_count']:.0f}")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--only", default=",".join(DAEMONS))
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--limit", type=int, default=300, help="seconds for one daemon and case")
    p.add_argument("--quick", action="store_true")
    p.add_argument("what", nargs="*")
    args = p.parse_args()
    names = args.only.split(",")
    if [n for n in names if n not in DAEMONS]:
        p.error(f"--only takes {', '.join(DAEMONS)}")

    def wanted(title):
        return not args.what or any(title.startswith(w) for w in args.what)

    for title, case in (QUICK if args.quick else CASES).items():
        if wanted(title):
            table(title, "announce   routes/s  x BIRD  withdraw/s  x BIRD  B/route  x BIRD  first ms   late ms",
                  rounds(names, args.rounds, lambda n: measure(n, case, args.limit)), case_line)
    for title, case in {} if args.quick else KERNEL.items():
        if wanted(title):
            able = [n for n in names if n != "GoBGP"]  # it has no kernel part of its own
            able += [BARE] if case[1] >= 1000000 else []
            table(title, "      in/s  x BIRD      out/s  x BIRD   counted",
                  rounds(able, args.rounds, lambda n: kernel(n, case, args.limit)), kernel_line)
    if not args.quick and wanted("idle"):
        table("idle", f"{IDLE_PEERS} peers: KiB each, CPU", {n: idle(n) for n in names},
              lambda r, bird: f"{r['kib_a_peer']:8.1f} {r['cpu']:6.1%}")
    if not args.quick and wanted("bfd"):
        table("bfd", f"3 x 50 ms, {CUTS} cuts: p50, most ms", {n: bfd(n) for n in names if n in ("margay", "BIRD")},
              lambda r, bird: f"{r['p50']:8.0f} {r['max']:8.0f}")
    for m in missed:
        print("MISSED", m)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
