"""The packet judge's lab, one for each backend of iptables."""

import os
import sys
from pathlib import Path

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

import lab as judged  # noqa: E402
from deploy.lab.lab import Lab  # noqa: E402

BACKENDS = os.environ.get("BACKENDS", "nft legacy").split()
LOG_END = 3000


@pytest.fixture(scope="module", params=BACKENDS)
def bench(request):
    """A lab with both agents; .backend says which iptables."""
    name = f"j{os.getpid() % 10000}{request.param[0]}"
    made = Lab(name)
    try:
        made = judged.make(name, request.param)
        made.backend = request.param
        yield made
    finally:
        for f in sorted(made.dir.glob("*.log")):
            print(f"---- {f.name}, its end:\n{f.read_text(errors='replace')[-LOG_END:]}")
        if not os.environ.get("KEEP"):
            made.down()
