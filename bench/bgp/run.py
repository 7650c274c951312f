#!/usr/bin/python3
"""margay's speaker beside BIRD, FRR, GoBGP and OpenBGPD: the same bytes to each, on one machine, in turn.

    run.py [--only NAME,...] [--quick] [WHAT ...]

WHAT: titles of the tables below, "idle" and "kernel"; none: all of them. Each daemon runs in a network namespace of its
own; bgp-load plays its peers from another one. Memory is that of all its processes, the most at any time, and what it had
before the first route is taken off. Prints a table of each: rates, bytes, and how they compare with BIRD.
"""

import argparse
import contextlib
import json
import os
import shutil
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
KERNEL = {"1M into the kernel": (1, 1000000), "500 peers x 20 blocks into the kernel": (500, 10000)}
IDLE_PEERS, IDLE_S = 1000, 20


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


def load(*args):
    return ns(GEN, str(BUILD / "bench/bench-bgp-load"), ADDRESS, *map(str, args), stdin=subprocess.PIPE,
              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def measure(name, case):
    senders, receivers, routes, per, same = case
    try:
        with started(name, senders + receivers + 1) as daemon:
            before = memory(daemon.pids(), "VmRSS:")
            p = load(senders, receivers, routes, per, "same" if same else "share")
            out, err = p.communicate(timeout=900)
            if p.returncode:
                raise RuntimeError(err.strip()[-200:] + " | " + daemon.log()[-200:])
            r = json.loads(out)
            paths = routes * (senders if same else 1)
            r["rate"] = paths / r["announce_s"]
            r["withdraw_rate"] = paths / r["withdraw_s"]
            r["bytes_a_route"] = (memory(daemon.pids(), "VmHWM:") - before) * 1024 / paths
            return r
    except (RuntimeError, subprocess.TimeoutExpired) as e:
        return {"error": str(e)}


def cpu_s(pids):
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as f:
            total += sum(map(int, f.read().rsplit(")", 1)[1].split()[11:13]))
    return total / os.sysconf("SC_CLK_TCK")


def idle(name):
    """Established sessions with nothing to say, their configuration included."""
    try:
        with started(name, 1) as daemon:
            before = memory(daemon.pids(), "VmRSS:")
        with started(name, IDLE_PEERS) as daemon:
            p = load(IDLE_PEERS, 0, 1000, 1, "hold")
            if p.stdout.readline() != "up\n":
                raise RuntimeError(p.communicate()[1][-200:] + " | " + daemon.log()[-200:])
            held, cpu = memory(daemon.pids(), "VmRSS:") - before, cpu_s(daemon.pids())
            time.sleep(IDLE_S)
            cpu = cpu_s(daemon.pids()) - cpu
            p.communicate("")
            return {"kib_a_peer": held / IDLE_PEERS, "cpu": cpu / IDLE_S}
    except RuntimeError as e:
        return {"error": str(e)}


def fibwait(routes, what):
    p = ns(DUT, str(BUILD / "bench/bench-bgp-fibwait"), str(routes), what, "300", stdout=subprocess.PIPE,
           stderr=subprocess.PIPE, text=True)
    return p


def kernel(name, case):
    """From the first byte of the first UPDATE to the last route in the kernel, and out of it again."""
    senders, routes = case
    try:
        with started(name, senders, kernel=True) as daemon:
            p = load(senders, 0, routes, min(100, routes // senders), "hold")
            if p.stdout.readline() != "up\n":
                raise RuntimeError(p.communicate()[1][-200:] + " | " + daemon.log()[-200:])
            r = {}
            for order, what in (("announce", "there"), ("withdraw", "gone")):
                wait = fibwait(routes, what)
                begin = time.monotonic()
                p.stdin.write(order + "\n")
                p.stdin.flush()
                out, err = wait.communicate()
                if wait.returncode:
                    raise RuntimeError(err.strip() + " | " + daemon.log()[-300:])
                r[what] = routes / (float(out.split()[0]) - begin)
                r[what + "_count"] = int(out.split()[1])
            p.communicate("")
            return r
    except RuntimeError as e:
        return {"error": str(e)}


def ratio(r, bird, key):
    return f"{r[key] / bird[key]:.2f}" if bird.get(key) else "-"


def table(title, head, results, line):
    bird = results.get("BIRD", {})
    print(f"\n{title}\n{'':10} {head}")
    for name, r in results.items():
        print(f"{name:10} {r['error'] if 'error' in r else line(r, bird)}", flush=True)


def case_line(r, bird):
    return (f"{r['announce_s']:8.3f}s {r['rate']:10.0f} {ratio(r, bird, 'rate'):>7} {r['withdraw_rate']:11.0f} "
            f"{ratio(r, bird, 'withdraw_rate'):>7} {r['bytes_a_route']:8.0f} {ratio(r, bird, 'bytes_a_route'):>7} "
            f"{r['first_s'] * 1e3:9.1f} {r['late_s'] * 1e3:9.0f}")


def bare_kernel():
    """What batched netlink alone does here: the kernel's limit."""
    return subprocess.run(["unshare", "-n", str(BUILD / "bench/routes"), "1000000"], capture_output=True, text=True,
                          check=True).stdout.strip()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--only", default=",".join(DAEMONS))
    p.add_argument("--quick", action="store_true")
    p.add_argument("what", nargs="*")
    args = p.parse_args()
    names = args.only.split(",")
    wanted = [n for n in names if n in DAEMONS]
    if wanted != names:
        p.error(f"--only takes {', '.join(DAEMONS)}")
    for title, case in (QUICK if args.quick else CASES).items():
        if not args.what or title in args.what:
            table(title, " announce   routes/s  x BIRD  withdraw/s  x BIRD  B/route  x BIRD  first ms   late ms",
                  {n: measure(n, case) for n in names}, case_line)
    if "idle" in args.what or not (args.what or args.quick):
        table(f"{IDLE_PEERS} idle peers", "KiB/peer    CPU", {n: idle(n) for n in names},
              lambda r, bird: f"{r['kib_a_peer']:8.1f} {r['cpu']:6.1%}")
    for title, case in {} if args.quick else KERNEL.items():
        if not args.what or "kernel" in args.what or title in args.what:
            able = [n for n in names if n != "GoBGP"]  # it has no kernel part of its own
            table(title, "      in/s  x BIRD      out/s  x BIRD   counted", {n: kernel(n, case) for n in able},
                  lambda r, bird: f"{r['there']:10.0f} {ratio(r, bird, 'there'):>7} {r['gone']:10.0f} {ratio(r, bird, 'gone'):>7} "
                                  f"{r['there_count']:>9} {r['gone_count']}")
            print(bare_kernel())
    return 0


if __name__ == "__main__":
    sys.exit(main())
