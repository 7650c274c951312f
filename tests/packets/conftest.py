"""The packet judge's lab, one for each backend of iptables."""

import os
import re
import sys
from pathlib import Path

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

import lab as judged  # noqa: E402
from deploy.lab.lab import Lab  # noqa: E402

BACKENDS = os.environ.get("BACKENDS", "nft legacy").split()
LOG_END = 3000
SANITIZER = re.compile(r"runtime error:|ERROR: \w+Sanitizer|assert.*failed", re.I)


@pytest.fixture(scope="module", params=BACKENDS)
def bench(request):
    """A lab with both agents; .backend says which iptables."""
    name = f"j{os.getpid() % 10000}{request.param[0]}"
    made, said = Lab(name), []
    try:
        made = judged.make(name, request.param)
        made.backend = request.param
        yield made
    finally:
        for f in sorted(made.dir.glob("*.log")):
            text = f.read_text(errors="replace")
            said += [f"{f.name}: {line}" for line in text.splitlines() if SANITIZER.search(line)]
            if said or getattr(request.node, "failed", False):
                print(f"---- {f.name}, its end:\n{text[-LOG_END:]}")
        if not os.environ.get("KEEP"):
            made.down()
    assert not said, said[:5]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if outcome.get_result().failed:
        item.parent.failed = True
