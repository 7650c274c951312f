"""Probes between pods: what a packet filter lets through, in TCP, UDP, UDP-Lite, SCTP, ICMP and bare IP.

    probe.py serve PROTO=PORT,... ...       answer on every address until told to end; prints "ready"
    probe.py ask SECONDS TARGET ...         prints one word for each, all asked at the same time: yes, no, or refused
    probe.py knock TARGET ...               ask them again and again until TERM; prints rounds and what opened

A target is PROTO:ADDRESS, :PORT where the protocol has ports, @PORT to ask from a port; IPv6 addresses in brackets:
tcp:10.0.0.1:80, udp:[fd00::1]:80@5000, icmp:10.0.0.1, icmp/13:10.0.0.1 (a type), icmp/8/5:10.0.0.1 (and a code),
ip/99:10.0.0.1 (a protocol). SCTP needs no kernel that speaks it: INIT and INIT ACK are written here.
"""

import ctypes
import os
import select
import selectors
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from deploy.lab import ns  # noqa: E402

SCTP, UDPLITE = 132, 136
INIT, INIT_ACK = 1, 2
REPLIES = {socket.AF_INET: {8: 0, 13: 14}, socket.AF_INET6: {128: 129}}


class Server:
    """Listens in a pod until stop(). more: sctp, udplite ports; ip: protocols."""

    def __init__(self, pod, tcp=(80, 81), udp=(80, 81), **more):
        words = [f"{proto}={','.join(map(str, what))}" for proto, what in {"tcp": tcp, "udp": udp, **more}.items()]
        self.p = subprocess.Popen([*ns.enter(pod.ns), sys.executable, "-B", __file__, "serve", *words],
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


def mistakes(pod, wanted, seconds=0.25):
    """What of {target: whether it is reached} is not so. Whoever is to answer gets more time on a busy machine."""
    said = ask(pod, list(wanted), seconds)
    late = [t for t, yes in wanted.items() if yes and said[t] != "yes"]
    if late:
        said |= ask(pod, late, 5)
    return {t: said[t] for t, yes in wanted.items() if (said[t] == "yes") != bool(yes)}


KNOCKS_MIN = 6


class Knocker:
    """Asks for what is to stay shut, ten times a second and at least KNOCKS_MIN times, inside a with; stop() says what opened."""

    def __init__(self, pod, targets):
        self.p = subprocess.Popen([*ns.enter(pod.ns), sys.executable, "-B", __file__, "knock", *targets],
                                  stdout=subprocess.PIPE, text=True)
        assert self.p.stdout.readline() == "knocking\n"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.p.kill()
        self.p.communicate()

    def stop(self):
        self.p.terminate()
        rounds, *opened = self.p.stdout.read().split()
        assert int(rounds) >= KNOCKS_MIN
        return opened


# -- packets

def parse(target):
    """Protocol, its numbers, family, address, port, source port of a target."""
    proto, rest = target.split(":", 1)
    rest, _, source = rest.partition("@")
    if rest.startswith("["):
        address, _, port = rest[1:].partition("]")
        port = port.lstrip(":")
    else:
        address, _, port = rest.partition(":")
    proto, *numbers = proto.split("/")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return proto, [int(n) for n in numbers], family, address, int(port or 0), int(source or 0)


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def sctp_packet(kind, source, port, vtag):
    """INIT, or its acknowledgement, which carries the least of a cookie."""
    more = b"\0\7\0\10bake" if kind == INIT_ACK else b""
    chunk = struct.pack("!BBHIIHHI", kind, 0, 20 + len(more), 0x6d617267, 65536, 1, 1, 1) + more
    head = struct.pack("!HHI", source, port, vtag)
    return head + struct.pack("<I", crc32c(head + bytes(4) + chunk)) + chunk


def sctp_parse(data, family):
    """(source port, port, kind of chunk, its initiate tag) of what a raw socket read."""
    data = payload(data, family)
    if len(data) < 20:
        return 0, 0, None, 0
    source, port = struct.unpack("!HH", data[:4])
    return source, port, data[12], struct.unpack("!I", data[16:20])[0]


def payload(data, family):
    """A raw IPv4 socket reads the header, too."""
    return data[(data[0] & 15) * 4:] if family == socket.AF_INET else data


def echo_packet(family, kind, code, number):
    """An ICMP request; the kernel adds the checksum of ICMPv6."""
    packet = bytes([kind, code, 0, 0]) + number + b"\0\1" + bytes(12)
    if family == socket.AF_INET6:
        return packet
    total = sum(int.from_bytes(packet[i:i + 2], "big") for i in range(0, len(packet), 2))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return packet[:2] + (~total & 0xffff).to_bytes(2, "big") + packet[4:]


# -- answering

def listen(sel, proto, port):
    if proto == "tcp":
        s = socket.create_server(("", port), family=socket.AF_INET6, backlog=64, dualstack_ipv6=True)
        sel.register(s, selectors.EVENT_READ, answer_tcp)
        return
    for family in (socket.AF_INET, socket.AF_INET6):  # UDP-Lite has no socket for both
        s = socket.socket(family, socket.SOCK_DGRAM, UDPLITE if proto == "udplite" else 0)
        if family == socket.AF_INET6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        s.bind(("", port))
        sel.register(s, selectors.EVENT_READ, answer_datagram)


def listen_raw(sel, protocol, answer):
    for family in (socket.AF_INET, socket.AF_INET6):
        s = socket.socket(family, socket.SOCK_RAW, protocol)
        sel.register(s, selectors.EVENT_READ, answer)


def answer_tcp(s):
    s.accept()[0].close()


def answer_datagram(s):
    data, peer = s.recvfrom(2048)
    s.sendto(data, peer)


def answer_raw(s):
    data, peer = s.recvfrom(2048)
    s.sendto(b"answer", (peer[0], 0))


def sctp_answerer(ports):
    def answer(s):
        data, peer = s.recvfrom(2048)
        source, port, kind, tag = sctp_parse(data, s.family)
        if kind == INIT and port in ports:
            s.sendto(sctp_packet(INIT_ACK, port, source, tag), (peer[0], 0))
    return answer


def serve(words):
    sel = selectors.DefaultSelector()
    for word in words:
        proto, _, numbers = word.partition("=")
        numbers = [int(x) for x in numbers.split(",") if x]
        if proto == "sctp":
            listen_raw(sel, SCTP, sctp_answerer(numbers))
            continue
        for n in numbers:
            if proto == "ip":
                listen_raw(sel, n, answer_raw)
            else:
                listen(sel, proto, n)
    print("ready", flush=True)
    while True:
        for key, _ in sel.select():
            try:
                key.data(key.fileobj)
            except OSError:  # the way back is shut: that is what the asker is to see
                pass


# -- asking

class Question:
    """A target that was asked; what its socket reads says whether it answered."""

    def __init__(self, target):
        self.target = target
        self.proto, self.numbers, self.family, address, port, source = parse(target)
        kind, protocol = {"tcp": (socket.SOCK_STREAM, 0), "udp": (socket.SOCK_DGRAM, 0),
                          "udplite": (socket.SOCK_DGRAM, UDPLITE), "sctp": (socket.SOCK_RAW, SCTP),
                          "icmp": (socket.SOCK_RAW, 1 if self.family == socket.AF_INET else 58),
                          "ip": (socket.SOCK_RAW, self.numbers[0] if self.numbers else 0)}[self.proto]
        self.s = socket.socket(self.family, kind, protocol)
        self.s.setblocking(False)
        self.events = selectors.EVENT_WRITE if self.proto == "tcp" else selectors.EVENT_READ
        raw = kind == socket.SOCK_RAW
        if source and not raw:
            self.s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.s.bind(("", source))
        self.source = source or 32768 + int.from_bytes(os.urandom(2), "big") // 4
        self.port = port
        try:
            self.s.connect_ex((address, 0 if raw else port)) if self.proto == "tcp" else \
                self.s.connect((address, 0 if raw else port))
            self.say()
        except OSError:  # a rule of the sender's own host may refuse it to its face
            pass

    def say(self):
        if self.proto == "icmp":
            self.type = self.numbers[0] if self.numbers else 8 if self.family == socket.AF_INET else 128
            self.number = os.urandom(2)  # an identifier of its own: no flow of before
            self.s.send(echo_packet(self.family, self.type, (self.numbers + [0, 0])[1], self.number))
        elif self.proto == "sctp":
            self.s.send(sctp_packet(INIT, self.source, self.port, 0))
        elif self.proto != "tcp":
            self.s.send(b"?")

    def outcome(self):
        """yes, refused, or None: what came is something else."""
        if self.proto == "tcp":
            return "refused" if self.s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) else "yes"
        try:
            data = self.s.recv(2048)
        except OSError:
            return "refused"
        if self.proto == "icmp":
            data = payload(data, self.family)
            return "yes" if data[0] == REPLIES[self.family].get(self.type) and data[4:6] == self.number else None
        if self.proto == "sctp":
            said = sctp_parse(data, self.family)
            return "yes" if said[:3] == (self.port, self.source, INIT_ACK) else None
        return "yes"


def answers(seconds, targets):
    sel = selectors.DefaultSelector()
    answer = dict.fromkeys(targets, "no")
    for t in targets:
        q = Question(t)
        sel.register(q.s, q.events, q)
    end = time.monotonic() + seconds
    while sel.get_map() and time.monotonic() < end:
        for key, _ in sel.select(max(0, end - time.monotonic())):
            said = key.data.outcome()
            if said:
                answer[key.data.target] = said
                sel.unregister(key.fileobj)
    return answer


def knock(targets):
    stop, opened, rounds = [], set(), 0
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
    print("knocking", flush=True)
    while not stop or rounds < KNOCKS_MIN:
        began = time.monotonic()
        opened |= {f"{t}={said}" for t, said in answers(0.1, targets).items() if said != "no"}
        rounds += 1
        select.select([], [], [], max(0, began + 0.1 - time.monotonic()))  # each open flow uses up an ICMP number
    print(rounds, *opened)


if __name__ == "__main__":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: end with the tests, however they end
    if sys.argv[1] == "serve":
        serve(sys.argv[2:])
    elif sys.argv[1] == "knock":
        knock(sys.argv[2:])
    else:
        print(*answers(float(sys.argv[2]), sys.argv[3:]).values())
