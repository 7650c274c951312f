"""Network namespaces and the commands that run inside them."""

import json
import os
import subprocess


def enter(name):
    """The words that run a command in the named network namespace."""
    return ["nsenter", f"--net=/run/netns/{name}", "--"]


def run(name, *cmd, check=True, timeout=60, **kw):
    """Run a command in a namespace (None: here); its completed process. A failure shows what it said."""
    words = [*(enter(name) if name else []), *map(str, cmd)]
    kw.setdefault("capture_output", True)
    done = subprocess.run(words, text=True, timeout=timeout, check=False, **kw)
    if check and done.returncode:
        raise RuntimeError(f"in {name or 'the root namespace'}: {' '.join(map(str, cmd))}: exit status "
                           f"{done.returncode}: {(done.stderr or done.stdout or '').strip()[-800:]}")
    return done


def out(name, *cmd, **kw):
    return run(name, *cmd, **kw).stdout


def ip(name, *cmd):
    return run(None, "ip", "-n", name, *cmd).stdout


def ip_json(name, *cmd):
    return json.loads(run(None, "ip", "-n", name, "-j", "-d", *cmd).stdout or "[]")


def names():
    """Every named network namespace of this machine."""
    try:
        return sorted(os.listdir("/run/netns"))
    except FileNotFoundError:  # before the first
        return []


def processes(names):
    """Ids of whoever lives in these namespaces, which are not our own."""
    wanted = {_identity(f"/run/netns/{name}") for name in names} - {None, _identity("/proc/self/ns/net")}
    return [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and _identity(f"/proc/{pid}/ns/net") in wanted]


def _identity(path):
    """Of a namespace; None when it is gone."""
    try:
        s = os.stat(path)
    except OSError:
        return None
    return s.st_dev, s.st_ino


def add(name):
    run(None, "ip", "netns", "add", name)
    ip(name, "link", "set", "lo", "up")


def delete(name):
    run(None, "ip", "netns", "del", name, check=False)
