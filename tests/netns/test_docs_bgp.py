"""The routers of docs/bgp.md, as the page has them: sessions with BFD come up, routes go both ways, a restart of the agent loses none."""

import re
import time

import pytest

from deploy.lab import ns, wait
from deploy.lab.lab import ROOT
from test_bfd import NETWORK, POOL, TOR1, Bird, Frr, bfd

PAGE = (ROOT / "docs/bgp.md").read_text()


class OpenFrr(Frr):
    """It knows no node, and waits for them."""

    listens = "0.0.0.0"


def snippet(language):
    [text] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)
    return text


def known(lab, block):
    """The router's kernel has it: FRR's and BIRD's alike."""
    return block in ns.ip(lab.ns("tor"), "route", "show")


@pytest.mark.parametrize("router, language, config", [(Bird, "bird", "bird.conf"), (OpenFrr, "frr", "frr.conf")], ids=["BIRD", "FRR"])
def test_as_on_the_page(labs, router, language, config):
    lab = labs(nodes=2, start=False, manifest=POOL + "---\n" + snippet("yaml"))
    tor = router(lab, "tor", TOR1)
    (tor.dir / config).write_text(snippet(language))
    tor.start()
    blocks = []
    for node in lab.nodes:
        node.start(wait_ready=False)
    for node in lab.nodes:
        node.wait_ready()
        node.add_pod(f"p{node.index}")
        blocks += node.ctl_json("node", "status")["blocks"]
    for node in lab.nodes:
        wait.until("BFD is up", lambda n=node: bfd(n, TOR1).get("state") == "Up", 60)
        wait.until("the router's network", lambda n=node: NETWORK in n.routes())
    wait.until("both blocks", lambda: len(blocks) == 2 and all(known(lab, b) for b in blocks), 60)
    for end in ("stop", "kill"):
        getattr(lab.nodes[0], end)()
        until = time.monotonic() + 2  # detection takes 0.9 s
        while time.monotonic() < until:
            assert all(known(lab, b) for b in blocks), end
        lab.nodes[0].start(wait_ready=False)
        wait.until("BFD is back", lambda: bfd(lab.nodes[0], TOR1).get("state") == "Up", 60)
        assert all(known(lab, b) for b in blocks)
