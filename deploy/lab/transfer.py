"""TCP between two namespaces: so many bytes, in so much time, or it stalled.

    transfer.py take ADDRESS PORT            take one connection, count its bytes, answer with the count
    transfer.py give ADDRESS PORT BYTES      send, shut down, print seconds and what the other end counted
"""

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

from . import ns

ROOT = Path(__file__).resolve().parents[2]  # python -m finds this module from there

STALL_S = 30  # without a byte moving


def transfer(source, target, size=4_000_000, port=7070):
    """Send size bytes from one pod to another; seconds it took. RuntimeError when it stalled."""
    def start(pod, *args):
        return subprocess.Popen([*ns.enter(pod.ns), sys.executable, "-B", "-m", "deploy.lab.transfer", *map(str, args)],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    take = start(target, "take", target.ip, port)
    take.stdout.readline()
    give = start(source, "give", target.ip, port, size)
    try:
        out, err = give.communicate(timeout=300)
    finally:
        give.kill()
        take.kill()
        give.wait()
        take.communicate()
    if not out:
        raise RuntimeError(f"{source.ip} to {target.ip}: {err.strip().splitlines()[-1:]}")
    said = json.loads(out)
    if said["counted"] != size:
        raise RuntimeError(f"{source.ip} to {target.ip}: {said['counted']} of {size} bytes arrived")
    return said["seconds"]


def take(address, port):
    s = socket.create_server((address, port))
    print("ready", flush=True)
    c, _ = s.accept()
    c.settimeout(STALL_S)
    n = 0
    while data := c.recv(1 << 16):
        n += len(data)
    c.sendall(str(n).encode())


def give(address, port, size):
    start = time.monotonic()
    c = socket.create_connection((address, port), timeout=STALL_S)
    chunk = bytes(1 << 16)
    left = size
    while left:
        left -= c.send(chunk[:left])
    c.shutdown(socket.SHUT_WR)
    counted = int(c.recv(64) or 0)
    print(json.dumps({"seconds": time.monotonic() - start, "counted": counted}), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "take":
        take(sys.argv[2], int(sys.argv[3]))
    else:
        give(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
