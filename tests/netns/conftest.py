"""Shared by the network-namespace tests: labs that are taken down whatever happens."""

import contextlib
import itertools
import os
import re
import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.dont_write_bytecode = True

from deploy.lab import wait  # noqa: E402
from deploy.lab.lab import ROOT, Lab  # noqa: E402
from deploy.lab.quickstart import missing  # noqa: E402

signal.signal(signal.SIGTERM, signal.default_int_handler)  # who ends a run early finds its labs taken down, too
SANITIZER = re.compile(r"runtime error:|ERROR: \w+Sanitizer|assert.*failed", re.I)
_count = itertools.count()


def new_name():
    """A lab name that no other test, and no other run beside this one, has: this process, and a number."""
    return "t" + base36(os.getpid(), 5) + base36(next(_count), 2)


def base36(n, width):
    assert 0 <= n < 36 ** width, n
    digits = ""
    for _ in range(width):
        n, d = divmod(n, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[d] + digits
    return digits


NETWORK = (ROOT / "deploy/quickstart/network.yaml").read_text()
POOL = NETWORK.split("---\n")[0]


def make_lab(name, nodes=3, tor=True, start=True, manifest=None, **up):
    """A lab with the quick start's network, or only its pool where there is no router; agents ready when start is set."""
    lab = Lab(name)
    with taken_down_on_failure(lab):
        lab.up(nodes=nodes, tor=tor, **up)
        lab.apply(manifest or (NETWORK if tor else POOL))
        if start:
            for node in lab.nodes:
                node.start(wait_ready=False)
            if tor:
                lab.start_tor()
            for node in lab.nodes:
                node.wait_ready()
    return lab


@contextlib.contextmanager
def taken_down_on_failure(lab):
    """What a test or a fixture does with a lab before somebody else sees to its end."""
    try:
        yield
    except BaseException:
        show_logs(lab)
        lab.down()
        raise


@pytest.fixture
def labs(request):
    """labs(nodes=..., ...) makes a lab for one test; logs are shown when the test fails."""
    made = []

    def make(**kw):
        made.append(make_lab(new_name(), **kw))
        return made[-1]

    yield make
    finish(request, made)


@pytest.fixture(scope="module")
def three(request):
    """Three nodes and the router, with pods default/pod1 on node1, default/pod2 on node2, default/pod3 on node3,
    shared by the tests of a module that only look. Everybody knows every route when they begin."""
    lab = make_lab(new_name())
    with taken_down_on_failure(lab):
        for node in lab.nodes:
            node.add_pod(f"pod{node.index}")
        wait.until(lambda: f"the lab is settled: {missing(lab)}", lambda: not missing(lab))
    yield lab
    finish(request, [lab])


def show_logs(lab):
    for f in sorted(lab.dir.glob("*.log")):
        print(f"---- {f.name}, its end:\n{f.read_text(errors='replace')[-3000:]}")


def finish(request, labs):
    """Take labs down; what a sanitizer said in a log is a failure, whatever the test saw."""
    failed = getattr(request.node, "failed", False)
    said = []
    for lab in labs:
        said += [f"{f.name}: {line}" for f in sorted(lab.dir.glob("*.log"))
                 for line in f.read_text(errors="replace").splitlines() if SANITIZER.search(line)]
        if failed or said:
            show_logs(lab)
        lab.down()
    assert not said, said[:5]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if outcome.get_result().failed:
        item.failed = True
        if item.parent is not None:
            item.parent.failed = True
