"""Shared by the network-namespace tests: labs that are taken down whatever happens."""

import itertools
import os
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.dont_write_bytecode = True

from deploy.lab.lab import ROOT, Lab  # noqa: E402

SANITIZER = re.compile(r"runtime error:|ERROR: \w+Sanitizer|assert.*failed", re.I)
_count = itertools.count()


def new_name():
    """A lab name that no other test, and no other run beside this one, has."""
    return f"t{os.getpid() % 10000}x{next(_count)}"[:8]


NETWORK = (ROOT / "deploy/quickstart/network.yaml").read_text()
POOL = NETWORK.split("---\n")[0]


def make_lab(name, nodes=3, tor=True, start=True, manifest=None, **up):
    """A lab with the quick start's network, or only its pool where there is no router; agents ready when start is set."""
    lab = Lab(name)
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


@pytest.fixture
def labs(request):
    """labs(nodes=..., ...) makes a lab for one test; logs are shown when the test fails."""
    made = []

    def make(**kw):
        name = new_name()
        lab = Lab(name)
        made.append(lab)
        made[-1] = make_lab(name, **kw)
        return made[-1]

    yield make
    finish(request, made)


@pytest.fixture(scope="module")
def three(request):
    """Three nodes and the router, with pods default/pod1 on node1, default/pod2 on node2, default/pod3 on node3,
    shared by the tests of a module that only look."""
    name = new_name()
    lab = Lab(name)
    try:
        lab = make_lab(name)
        for node in lab.nodes:
            node.add_pod(f"pod{node.index}")
    except BaseException:
        show_logs(lab)
        lab.down()
        raise
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
