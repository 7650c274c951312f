"""Random worlds of policy, in two agents' kernels, judged packet by packet.

WORLDS=2000 SEED=1 BACKENDS=nft tests/run.sh packets; a mismatch names its seed and a file that tells the world, the
packets and the kernels' rules in full.
"""

import os
import subprocess
import tempfile

WORLDS = os.environ.get("WORLDS", "60")


def judge(bench, worlds, seed):
    report = f"{tempfile.gettempdir()}/margay-packets-{bench.backend}-{os.getpid()}.txt"
    words = [bench.build / "tests/packets/packet-judge", bench.datastore, bench.name, *(n.run_dir for n in bench.nodes)]
    done = subprocess.run([*map(str, words)], text=True, capture_output=True, check=False,
                          env=os.environ | {"WORLDS": str(worlds), "SEED": str(seed), "REPORT": report})
    print(f"{bench.backend}: {done.stdout.strip()}")
    return done, report


def test_random_worlds(bench):
    done, report = judge(bench, WORLDS, os.environ.get("SEED", "1"))
    assert done.returncode == 0, f"{done.stdout}{done.stderr[-4000:]}\nin full: {report}"
