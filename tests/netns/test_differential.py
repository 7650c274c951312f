"""The same malformed bytes to margay's speaker and to four daemons: ours does what the RFCs say, and docs/rfc.md says why where
another one does something else."""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from conftest import new_name
from malformed import CASES

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench/bgp"))
import daemons  # noqa: E402

# beside another run of these tests, and beside the bench
daemons.DUT, daemons.GEN = f"{new_name()}-dut", f"{new_name()}-gen"

WITHDRAWN = ["ORIGIN of 2 bytes", "ORIGIN of 0 bytes", "ORIGIN 3", "ORIGIN said to be optional", "ORIGIN missing", "AS_PATH missing",
             "AS_PATH segment of type 9", "AS_PATH segment of no AS", "AS_PATH segment cut off", "AS_PATH with one byte behind",
             "AS_PATH with AS 0", "AS_PATH begins with another AS", "AS_PATH with the daemon's AS", "AS_PATH with an AS_SET",
             "AS_PATH with a confederation", "NEXT_HOP of 3 bytes", "NEXT_HOP missing", "NEXT_HOP 0.0.0.0", "NEXT_HOP 224.0.0.1",
             "MED of 3 bytes", "MED said to be well-known", "COMMUNITIES of 3 bytes", "COMMUNITIES of 0 bytes",
             "EXTENDED_COMMUNITIES of 7 bytes", "LARGE_COMMUNITIES of 11 bytes", "ONLY_TO_CUSTOMER of 3 bytes", "no attributes",
             "an attribute longer than the rest", "one byte where an attribute should begin"]
RESET = {"MP_REACH with a next hop of 5 bytes": "3/9", "MP_REACH twice": "3/1", "MP_UNREACH of 2 bytes": "3/9",
         "unknown well-known attribute": "3/2", "attributes longer than the message": "3/1",
         "withdrawn routes longer than the message": "3/1", "prefix of length 33": "3/10", "prefix cut off": "3/10",
         "withdrawn prefix of length 33": "3/10", "marker that is not all ones": "1/1", "message of 18 bytes": "1/2",
         "message of 4097 bytes": "1/2", "UPDATE of 22 bytes": "1/2", "message of type 9": "1/3",
         "KEEPALIVE with a byte behind": "1/2", "a second OPEN": "5/3"}
EXPECTED = {name: "withdrawn" if name in WITHDRAWN else f"reset {RESET[name]}" if name in RESET else "accepted" for name in CASES}
# GoBGP 3.10 ends with a panic at these, and all its sessions with it.
CRASH = {"GoBGP": ["a second OPEN", "message of type 9"]}


def verdicts(name):
    with tempfile.TemporaryDirectory(prefix="differential-") as box:
        daemon = daemons.DAEMONS[name](box)
        try:
            daemons.make_net(len(CASES) + 1)
            daemon.start(len(CASES) + 1)
            daemons.wait_listening(daemon)
            run = subprocess.run(["ip", "netns", "exec", daemons.GEN, sys.executable, "-B", ROOT / "tests/netns/malformed.py",
                                  daemons.ADDRESS, *CRASH.get(name, [])], capture_output=True, text=True, timeout=600)
            assert run.returncode == 0, run.stderr + daemon.log()[-2000:]
            return json.loads(run.stdout)
        finally:
            daemon.stop()
            daemons.drop_net()


def explained():
    """Cases that have a row in docs/rfc.md with a reason in its last column."""
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in (ROOT / "docs/rfc.md").read_text().splitlines()
            if line.startswith("| ")]
    return {r[0] for r in rows if len(r) == 7 and len(r[6]) > 10 and re.match(r"accepted|withdrawn|reset", r[1])}


@pytest.mark.parametrize("name", daemons.DAEMONS)
def test_verdicts(name):
    got = verdicts(name)
    if name == "margay":
        assert got == EXPECTED
        return
    assert got["nothing wrong"] == "accepted"
    differ = {c: v for c, v in got.items() if v != EXPECTED[c]}
    silent = {c: v for c, v in differ.items() if c not in explained()}
    assert not silent, f"{name} sees it otherwise, and docs/rfc.md does not say why margay is right: {silent}"
