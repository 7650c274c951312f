"""Malformed BGP messages, said to a daemon that runs in another namespace; what does it make of each?

Run inside the peers' namespace: malformed.py ADDRESS [CASE-TO-LEAVE-OUT...]. Peers are 10.99.0.10 upwards in AS 65010 upwards: one for each case, so
that a session that ends is nobody else's, and the last one as receiver. Each case's peer announces a good route, then the
case's bytes, which speak of the same prefix by another path, then a good route to another prefix. Prints JSON: a verdict a case.

    accepted    the receiver hears the new path
    withdrawn   the receiver hears that the route has gone
    kept        the route stays as it was
    reset C/S   the session ends with this NOTIFICATION; "reset" without one
"""

import contextlib
import json
import selectors
import socket
import struct
import sys
import time

FIRST_HOST, FIRST_AS = 10, 65010
OLD, NEW = 64998, 64999  # last AS of the good path and of the case's
QUIET_S, GIVE_UP_S = 2, 120
MARKER = b"\xff" * 16


def attr(kind, value, flags=0x40):
    if len(value) > 255:
        return struct.pack("!BBH", flags | 0x10, kind, len(value)) + value
    return struct.pack("!BBB", flags, kind, len(value)) + value


def segment(kind, *ases):
    return struct.pack("!BB", kind, len(ases)) + b"".join(struct.pack("!I", a) for a in ases)


def message(kind, body):
    return MARKER + struct.pack("!HB", 19 + len(body), kind) + body


def nlri(addr, length=26):
    return bytes([length]) + socket.inet_aton(addr)[:(length + 7) // 8]


def update(attrs, routes=b"", withdrawn=b""):
    return message(2, struct.pack("!H", len(withdrawn)) + withdrawn + struct.pack("!H", len(attrs)) + attrs + routes)


class Sender:
    """What a case needs to know of its peer: the usual attributes, one by one."""

    def __init__(self, index, me, asn):
        self.me, self.asn = me, asn
        self.prefix, self.other = f"20.{index}.0.0", f"21.{index}.0.0"
        self.route = nlri(self.prefix)
        self.origin = attr(1, b"\0")
        self.path = self.path_of(NEW)
        self.hop = attr(3, socket.inet_aton(me))
        self.usual = self.origin + self.path + self.hop

    def path_of(self, *behind):
        return attr(2, segment(2, self.asn, *behind))

    def good(self, prefix, last):
        return update(self.origin + self.path_of(last) + self.hop, nlri(prefix))

    def plus(self, *more):
        return update(self.usual + b"".join(more), self.route)


OPT, OPT_TRANS = 0x80, 0xc0
MP_V6 = struct.pack("!HBB", 2, 1, 16) + socket.inet_pton(socket.AF_INET6, "2001:db8::1") + b"\0"

# name: bytes by sender
CASES = {
    "nothing wrong": lambda s: s.plus(),
    "ORIGIN of 2 bytes": lambda s: update(attr(1, b"\0\0") + s.path + s.hop, s.route),
    "ORIGIN of 0 bytes": lambda s: update(attr(1, b"") + s.path + s.hop, s.route),
    "ORIGIN 3": lambda s: update(attr(1, b"\3") + s.path + s.hop, s.route),
    "ORIGIN said to be optional": lambda s: update(attr(1, b"\0", OPT_TRANS) + s.path + s.hop, s.route),
    "ORIGIN twice": lambda s: update(s.origin + s.usual, s.route),
    "ORIGIN missing": lambda s: update(s.path + s.hop, s.route),
    "ORIGIN with extended length": lambda s: update(b"\x50\x01\0\1\0" + s.path + s.hop, s.route),
    "AS_PATH missing": lambda s: update(s.origin + s.hop, s.route),
    "AS_PATH segment of type 9": lambda s: update(s.origin + attr(2, segment(9, s.asn, NEW)) + s.hop, s.route),
    "AS_PATH segment of no AS": lambda s: update(s.origin + attr(2, segment(2, s.asn, NEW) + segment(2)) + s.hop, s.route),
    "AS_PATH segment cut off": lambda s: update(s.origin + attr(2, segment(2, s.asn, NEW)[:-1]) + s.hop, s.route),
    "AS_PATH with one byte behind": lambda s: update(s.origin + attr(2, segment(2, s.asn, NEW) + b"\2") + s.hop, s.route),
    "AS_PATH with AS 0": lambda s: update(s.origin + s.path_of(0, NEW) + s.hop, s.route),
    "AS_PATH begins with another AS": lambda s: update(s.origin + attr(2, segment(2, 64990, NEW)) + s.hop, s.route),
    "AS_PATH with the daemon's AS": lambda s: update(s.origin + s.path_of(64512, NEW) + s.hop, s.route),
    "AS_PATH with an AS_SET": lambda s: update(s.origin + attr(2, segment(2, s.asn) + segment(1, NEW)) + s.hop, s.route),
    "AS_PATH with a confederation": lambda s: update(s.origin + attr(2, segment(3, 64990) + segment(2, s.asn, NEW)) + s.hop,
                                                     s.route),
    "NEXT_HOP of 3 bytes": lambda s: update(s.origin + s.path + attr(3, b"\x0a\x63\0"), s.route),
    "NEXT_HOP missing": lambda s: update(s.origin + s.path, s.route),
    "NEXT_HOP 0.0.0.0": lambda s: update(s.origin + s.path + attr(3, b"\0\0\0\0"), s.route),
    "NEXT_HOP 224.0.0.1": lambda s: update(s.origin + s.path + attr(3, b"\xe0\0\0\1"), s.route),
    "MED of 3 bytes": lambda s: s.plus(attr(4, b"\0\0\1", OPT)),
    "MED said to be well-known": lambda s: s.plus(attr(4, b"\0\0\0\1", 0x40)),
    "LOCAL_PREF of 3 bytes from eBGP": lambda s: s.plus(attr(5, b"\0\0\1")),
    "LOCAL_PREF from eBGP": lambda s: s.plus(attr(5, b"\0\0\0\1")),
    "ATOMIC_AGGREGATE of 1 byte": lambda s: s.plus(attr(6, b"\0")),
    "AGGREGATOR of 5 bytes": lambda s: s.plus(attr(7, b"\0\0\0\1\1", OPT_TRANS)),
    "COMMUNITIES of 3 bytes": lambda s: s.plus(attr(8, b"\0\1\2", OPT_TRANS)),
    "COMMUNITIES of 0 bytes": lambda s: s.plus(attr(8, b"", OPT_TRANS)),
    "ORIGINATOR_ID from eBGP": lambda s: s.plus(attr(9, b"\1\2\3\4", OPT)),
    "CLUSTER_LIST of 3 bytes from eBGP": lambda s: s.plus(attr(10, b"\1\2\3", OPT)),
    "MP_REACH with a next hop of 5 bytes": lambda s: s.plus(attr(14, struct.pack("!HBB", 1, 1, 5) + b"\1\2\3\4\5\0", OPT)),
    "MP_REACH twice": lambda s: s.plus(attr(14, MP_V6, OPT), attr(14, MP_V6, OPT)),
    "MP_UNREACH of 2 bytes": lambda s: s.plus(attr(15, b"\0\1", OPT)),
    "EXTENDED_COMMUNITIES of 7 bytes": lambda s: s.plus(attr(16, b"\0\2\0\0\0\0\0", OPT_TRANS)),
    "AS4_PATH from a four-octet speaker": lambda s: s.plus(attr(17, segment(2, 1), OPT_TRANS)),
    "LARGE_COMMUNITIES of 11 bytes": lambda s: s.plus(attr(32, b"\0" * 11, OPT_TRANS)),
    "ONLY_TO_CUSTOMER of 3 bytes": lambda s: s.plus(attr(35, b"\0\0\1", OPT_TRANS)),
    "unknown well-known attribute": lambda s: s.plus(attr(99, b"\0")),
    "unknown optional attribute": lambda s: s.plus(attr(99, b"\0", OPT)),
    "unknown transitive attribute": lambda s: s.plus(attr(99, b"\0", OPT_TRANS)),
    "no attributes": lambda s: update(b"", s.route),
    "an attribute longer than the rest": lambda s: update(s.usual + b"\xc0\x08\x20\0\0\0\1", s.route),
    "one byte where an attribute should begin": lambda s: update(s.usual + b"\x40", s.route),
    "attributes longer than the message": lambda s: message(2, struct.pack("!HH", 0, 500) + s.usual + s.route),
    "withdrawn routes longer than the message": lambda s: message(2, struct.pack("!H", 500) + s.usual),
    "prefix of length 33": lambda s: update(s.usual, bytes([33]) + b"\x14\0\0\0\0"),
    "prefix cut off": lambda s: update(s.usual, s.route + b"\x18\x14"),
    "withdrawn prefix of length 33": lambda s: update(s.usual, s.route, b"\x21\x14\0\0\0\0"),
    "prefix with host bits": lambda s: update(s.usual, bytes([26]) + socket.inet_aton(s.prefix)[:3] + b"\x3f"),
    "the prefix announced and withdrawn": lambda s: update(s.usual, s.route, s.route),
    "marker that is not all ones": lambda s: b"\0" + s.plus()[1:],
    "message of 18 bytes": lambda s: MARKER + struct.pack("!HB", 18, 4),
    "message of 4097 bytes": lambda s: MARKER + struct.pack("!HB", 4097, 2) + b"\0" * 4078,
    "UPDATE of 22 bytes": lambda s: message(2, b"\0\0\0"),
    "message of type 9": lambda s: message(9, b""),
    "KEEPALIVE with a byte behind": lambda s: message(4, b"\0"),
    "a second OPEN": lambda s: open_of(s.me, s.asn),
}


def open_of(me, asn):
    caps = b"\1\4\0\1\0\1" + b"\x41\4" + struct.pack("!I", asn)
    body = struct.pack("!BHH", 4, asn, 240) + socket.inet_aton(me) + bytes([len(caps) + 2, 2, len(caps)]) + caps
    return message(1, body)


class Peer:
    def __init__(self, target, host, asn):
        self.addr, self.asn = f"10.99.{host >> 8}.{host & 255}", asn
        self.sock = socket.socket()
        self.sock.bind((self.addr, 0))
        self.sock.connect((target, 179))
        self.sock.setblocking(False)
        self.data, self.up, self.end, self.told = b"", False, None, False
        self.paths = {}  # prefix: last AS, None: withdrawn
        self.send(open_of(self.addr, asn) + message(4, b""))

    def send(self, data):
        try:
            self.sock.sendall(data)
        except OSError:
            self.end = self.end or "reset"

    def read(self):
        try:
            data = self.sock.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.end = self.end or "reset"
            return
        self.data += data
        while len(self.data) >= 19:
            size, kind = struct.unpack("!HB", self.data[16:19])
            if len(self.data) < size:
                break
            self.hear(kind, self.data[19:size])
            self.data = self.data[size:]

    def hear(self, kind, body):
        if kind == 4:
            self.up = True
        elif kind == 3:
            self.end = f"reset {body[0]}/{body[1]}"
        elif kind == 2:
            n = struct.unpack("!H", body[:2])[0]
            m = struct.unpack("!H", body[2 + n:4 + n])[0]
            for p in prefixes(body[2:2 + n]):
                self.paths[p] = None
            last = last_as(body[4 + n:4 + n + m])
            for p in prefixes(body[4 + n + m:]):
                self.paths[p] = last


def prefixes(data):
    while data:
        size = (data[0] + 7) // 8
        yield socket.inet_ntoa(data[1:1 + size].ljust(4, b"\0"))
        data = data[1 + size:]


def last_as(data):
    while data:
        flags, kind = data[0], data[1]
        head = 4 if flags & 0x10 else 3
        size = struct.unpack("!H", data[2:4])[0] if flags & 0x10 else data[2]
        if kind == 2 and size >= 4:
            return struct.unpack("!I", data[head + size - 4:head + size])[0]
        data = data[head + size:]
    return 0


class Table:
    """All peers at once."""

    def __init__(self, target, cases):
        self.target, self.cases = target, cases
        self.select = selectors.DefaultSelector()
        self.peers = [self.dial(i) for i in range(len(cases) + 1)]
        self.senders = {name: Sender(i, self.peers[i].addr, self.peers[i].asn) for i, name in enumerate(cases)}

    @property
    def receiver(self):
        return self.peers[-1]

    def dial(self, i):
        p = Peer(self.target, FIRST_HOST + i, FIRST_AS + i)
        self.select.register(p.sock, selectors.EVENT_READ, p)
        return p

    def dial_again(self):
        """A busy daemon may let a session go before anything was said in it: FRR does. A router would come back."""
        for i, p in enumerate(self.peers):
            if not p.end:
                continue
            with contextlib.suppress(KeyError, ValueError):
                self.select.unregister(p.sock)
            p.sock.close()
            with contextlib.suppress(OSError):
                self.peers[i] = self.dial(i)

    def all_up(self):
        self.dial_again()
        return all(p.up for p in self.peers)

    def good_routes_heard(self):
        up = self.all_up()
        for name, p in zip(self.cases, self.peers):
            if p.up and not p.told:
                p.told = True
                p.send(self.senders[name].good(self.senders[name].prefix, OLD))
        return up and all(self.receiver.paths.get(s.prefix) == OLD for s in self.senders.values())

    def turn(self, seconds):
        events = self.select.select(seconds)
        for key, _ in events:
            key.data.read()
            if key.data.end:
                self.select.unregister(key.data.sock)
        return bool(events)

    def until(self, what, done):
        end = time.monotonic() + GIVE_UP_S
        while not done():
            if time.monotonic() > end:
                raise SystemExit(f"malformed: {what} has not happened in {GIVE_UP_S} s: {self.state()}")
            self.turn(0.2)

    def state(self):
        return {"not up": [p.addr for p in self.peers if not p.up], "heard": self.receiver.paths,
                "ended": {p.addr: p.end for p in self.peers if p.end}}

    def verdict(self, name, peer):
        if peer.end:
            return peer.end
        last = self.receiver.paths.get(self.senders[name].prefix)
        return {None: "withdrawn", OLD: "kept", NEW: "accepted"}.get(last, f"accepted as {last}")

    def run(self):
        self.until("Established everywhere", self.all_up)
        self.until("every good route", self.good_routes_heard)
        heard = self.receiver.paths
        for name, p in zip(self.cases, self.peers):
            p.send(self.cases[name](self.senders[name]))
            p.send(self.senders[name].good(self.senders[name].other, OLD))
        self.until("an end or the good route behind each case",
                   lambda: all(p.end or heard.get(self.senders[n].other) for n, p in zip(self.cases, self.peers)))
        while self.turn(QUIET_S):
            pass
        return {name: self.verdict(name, p) for name, p in zip(self.cases, self.peers)}


if __name__ == "__main__":
    print(json.dumps(Table(sys.argv[1], {n: c for n, c in CASES.items() if n not in sys.argv[2:]}).run()))
