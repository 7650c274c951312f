"""Packets that somebody made up: datagrams, and what a tunnel would carry, from any namespace.

    forge.py udp ADDRESS PORT [SOURCE_PORT]              a datagram, from any port; prints the port that it had
    forge.py vxlan TO MAC INNER_SOURCE INNER_TARGET [SOURCE]   VXLAN 4096 to TO's 4789, inside it a datagram to port 9999
    forge.py ipip TO INNER_SOURCE INNER_TARGET [SOURCE]  the same in IP-in-IP
    (SOURCE: what the outer header says, instead of the truth)
"""

import socket
import struct
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from deploy.lab import ns  # noqa: E402

PORT = 9999


def forge(namespace, *args):
    return ns.out(namespace, sys.executable, "-B", __file__, *args)


def knock(namespace, address, ports, kind="udp"):
    """One datagram or connection attempt to each port."""
    script = ("import socket, sys\n"
              "for p in map(int, sys.argv[3].split(',')):\n"
              " s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if sys.argv[1] == 'udp' else socket.SOCK_STREAM)\n"
              " s.setblocking(False)\n"
              " s.connect_ex((sys.argv[2], p))\n"
              " if sys.argv[1] == 'udp': s.send(b'x')\n")
    subprocess.run([*ns.enter(namespace), sys.executable, "-c", script, kind, address, ",".join(map(str, ports))],
                   check=True, timeout=30)


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xffff) + (total >> 16)
    return 0xffff - (total & 0xffff) - (total >> 16)


def ip_header(source, target, proto, length):
    words = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + length, 1, 0, 64, proto, 0,
                        socket.inet_aton(source), socket.inet_aton(target))
    return words[:10] + struct.pack("!H", checksum(words)) + words[12:]


def datagram(source, target):
    body = b"forged"
    udp = struct.pack("!HHHH", PORT, PORT, 8 + len(body), 0) + body
    return ip_header(source, target, 17, len(udp)) + udp


def send_raw(to, proto, payload, source):
    """An IP packet whose header says what we like."""
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    s.sendto(ip_header(source, to, proto, len(payload)) + payload, (to, 0))


def main(what, to, *args):
    if what == "udp":
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind(("", int(args[1]) if len(args) > 1 else 0))
        s.sendto(b"x", (to, int(args[0])))
        print(s.getsockname()[1])
    elif what == "vxlan":
        mac, inner_source, inner_target, *source = args
        ether = bytes.fromhex(mac.replace(":", "")) + bytes.fromhex("660000000001") + b"\x08\x00"
        body = struct.pack("!II", 0x08000000, 4096 << 8) + ether + datagram(inner_source, inner_target)
        udp = struct.pack("!HHHH", 40000, 4789, 8 + len(body), 0) + body
        if source:
            send_raw(to, 17, udp, source[0])
        else:
            s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            s.sendto(udp, (to, 0))
    elif what == "ipip":
        inner_source, inner_target, *source = args
        if source:
            send_raw(to, 4, datagram(inner_source, inner_target), source[0])
        else:
            s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 4)
            s.sendto(datagram(inner_source, inner_target), (to, 0))


if __name__ == "__main__":
    main(*sys.argv[1:])
