"""Probes between pods: what a packet filter lets through, in TCP, UDP and ICMP.

    probe.py serve TCP_PORT,... UDP_PORT,...    answer on every address until told to end; prints "ready"
    probe.py ask SECONDS PROTO:ADDRESS:PORT ... prints one word for each, all asked at the same time: yes, no, or refused
"""

import os
import selectors
import socket
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from deploy.lab import ns  # noqa: E402


class Server:
    """Listens in a pod on TCP and UDP ports until stop()."""

    def __init__(self, pod, tcp=(80, 81), udp=(80, 81)):
        self.p = subprocess.Popen([*ns.enter(pod.ns), sys.executable, "-B", __file__, "serve",
                                   ",".join(map(str, tcp)), ",".join(map(str, udp))],
                                  stdout=subprocess.PIPE, text=True)
        assert self.p.stdout.readline() == "ready\n"

    def stop(self):
        self.p.kill()
        self.p.wait()
        self.p.stdout.close()


def ask(pod, targets, seconds=0.7):
    """{target: answer} for targets such as "tcp:10.0.0.1:80", "udp:...", "icmp:10.0.0.1"."""
    said = ns.out(pod.ns, sys.executable, "-B", __file__, "ask", seconds, *targets)
    return dict(zip(targets, said.split()))


def reaches(pod, target, seconds=0.7):
    return ask(pod, [target], seconds)[target] == "yes"


def serve(tcp, udp):
    sel = selectors.DefaultSelector()
    for port in tcp:
        s = socket.create_server(("", port), backlog=64)
        sel.register(s, selectors.EVENT_READ, "tcp")
    for port in udp:
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind(("", port))
        sel.register(s, selectors.EVENT_READ, "udp")
    print("ready", flush=True)
    while True:
        for key, _ in sel.select():
            if key.data == "tcp":
                key.fileobj.accept()[0].close()
            else:
                data, peer = key.fileobj.recvfrom(2048)
                key.fileobj.sendto(data, peer)


def begin(target):
    """A socket that becomes readable or writable when the target answers."""
    proto, address, *port = target.split(":")
    kind = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM, "icmp": socket.SOCK_RAW}[proto]
    s = socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP if proto == "icmp" else 0)
    s.setblocking(False)
    if proto == "icmp":
        s.connect((address, 0))
        packet = b"\x08\x00\x00\x00" + os.urandom(2) + b"\x00\x01"  # an identifier of its own: no flow of before
        total = sum(int.from_bytes(packet[i:i + 2], "big") for i in range(0, len(packet), 2))
        check = 0xffff - total % 0xffff
        s.send(packet[:2] + check.to_bytes(2, "big") + packet[4:])
        return s, selectors.EVENT_READ
    s.connect_ex((address, int(port[0])))
    if proto == "udp":
        s.send(b"?")
        return s, selectors.EVENT_READ
    return s, selectors.EVENT_WRITE


def outcome(s):
    if s.type == socket.SOCK_STREAM:
        return "refused" if s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) else "yes"
    try:
        data = s.recv(2048)
    except OSError:
        return "refused"
    if s.type == socket.SOCK_RAW:  # a raw socket also sees what is no echo reply
        return "yes" if data[20:21] == b"\x00" else None
    return "yes"


def ask_here(seconds, targets):
    sel = selectors.DefaultSelector()
    answer = dict.fromkeys(targets, "no")
    for t in targets:
        s, what = begin(t)
        sel.register(s, what, t)
    end = time.monotonic() + seconds
    while sel.get_map() and time.monotonic() < end:
        for key, _ in sel.select(max(0, end - time.monotonic())):
            said = outcome(key.fileobj)
            if said:
                answer[key.data] = said
                sel.unregister(key.fileobj)
    print(*answer.values())


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(*([int(x) for x in a.split(",") if x] for a in sys.argv[2:4]))
    else:
        ask_here(float(sys.argv[2]), sys.argv[3:])
