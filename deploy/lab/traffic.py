"""Numbered UDP packets between two namespaces, to say exactly which were lost.

    traffic.py echo ADDRESS PORT               answer every packet with itself
    traffic.py send ADDRESS PORT INTERVAL_MS   send until SIGTERM, wait for the last answers, print what was lost
"""

import json
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from . import ns

ROOT = Path(__file__).resolve().parents[2]  # python -m finds this module from there
SO_RCVBUFFORCE = 33  # the socket module has no name for it


RCVBUF = 4 << 20  # bytes: a receiver that has no CPU for a second is not a lost packet
LATE_S = 5  # for the last answers
START_S = 60


class Flow:
    """A stream of packets from one pod to another and back, from here to stop()."""

    def __init__(self, source, target, port=7007, interval_ms=5):
        def start(pod, *args):
            return subprocess.Popen([*ns.enter(pod.ns), sys.executable, "-B", "-m", "deploy.lab.traffic", *map(str, args)],
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
        self.send = None
        self.echo = start(target, "echo", target.ip, port)
        self.expect(self.echo, "ready")
        self.send = start(source, "send", target.ip, port, interval_ms)
        self.expect(self.send, "flowing")  # the first answer came

    def expect(self, process, word):
        """What a process says first; if not, it said why not."""
        if not select.select([process.stdout], [], [], START_S)[0] or process.stdout.readline().strip() != word:
            process.kill()
            said = process.stderr.read()[-500:]
            self.end()
            raise RuntimeError(f"not {word} within {START_S} s: {said}")

    def stop(self):
        """The count sent and the numbers of those that never came back."""
        try:
            self.send.send_signal(signal.SIGTERM)
            out, err = self.send.communicate(timeout=LATE_S + 30)
        finally:
            self.end()
        if not out:
            raise RuntimeError(f"the sender said nothing: {err[-500:]}")
        return json.loads(out)

    def end(self):
        for p in filter(None, (self.send, self.echo)):
            p.kill()
            p.wait()
            p.stdout.close()
            p.stderr.close()


def udp():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RCVBUF)
    return s


def echo(address, port):
    s = udp()
    s.bind((address, port))
    print("ready", flush=True)
    while True:
        data, peer = s.recvfrom(2048)
        s.sendto(data, peer)


def send(address, port, interval):
    s = udp()
    s.connect((address, port))
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
    waiting, sent, errors, told = {}, 0, [], False
    due = time.monotonic()
    end = None
    while True:
        now = time.monotonic()
        if stop and end is None:
            end = now + LATE_S
        if end is not None and (not waiting or now > end):
            break
        if end is None and now >= due:
            try:
                s.send(b"%d" % sent)
            except OSError as e:  # an unreachable route shows here
                errors.append([sent, str(e)])
            waiting[sent] = now
            sent += 1
            due = max(due + interval, now)
        if select.select([s], [], [], max(0.0, min(due - now, 0.05)))[0]:
            try:
                waiting.pop(int(s.recv(2048)), None)
                if not told:
                    told = True
                    print("flowing", flush=True)
            except OSError as e:
                errors.append([sent, str(e)])
    print(json.dumps({"sent": sent, "lost": sorted(waiting), "errors": errors[:5]}), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "echo":
        echo(sys.argv[2], int(sys.argv[3]))
    else:
        send(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]) / 1000)
