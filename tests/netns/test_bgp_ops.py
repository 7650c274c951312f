"""What an operator asks about BGP: why a prefix is told to a peer or is not, and what a session looks like."""

from deploy.lab import ns, wait

TOR = "192.168.61.1"

FILTER = """
apiVersion: projectcalico.org/v3
kind: BGPFilter
metadata: {name: tor}
spec: {exportV4: [{cidr: 198.51.100.0/24, matchOperator: In, action: Accept},
                  {cidr: 172.31.0.0/16, matchOperator: In, prefixLength: {min: 27}, action: Reject}]}
---
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: tor}
spec: {peerIP: 192.168.61.1, asNumber: 65001, filters: [tor]}
"""


KNOBS = """
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: pool}
spec: {cidr: 172.31.0.0/16}
---
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: tor, annotations: {%s}}
spec: {peerIP: 192.168.61.1, asNumber: 65001, maxRestartTime: 1s}
"""


def knobs(**values):
    return KNOBS % ", ".join(f'margay.io/{k}: "{v}"' for k, v in values.items())


def neighbor(node, address=TOR):
    return next((n for n in node.ctl_json("bgp", "neighbors")["neighbors"] if n["address"] == address), {"state": ""})


def why(node, prefix, to=TOR):
    answers = node.ctl_json("bgp", "why", prefix, *(["--to", to] if to else []))["why"]
    assert all(a["steps"] and a["text"] for a in answers)
    return answers[0] if to else answers


def test_why_names_what_decides(three):
    node, two = three.nodes[:2]
    [block] = node.ctl_json("node", "status")["blocks"]
    [other] = two.ctl_json("node", "status")["blocks"]
    wait.until("the block is told", lambda: why(node, block)["verdict"] == "told")
    told = why(node, block)
    assert (told["rule"], told["as"]["nextHop"], told["as"]["asPath"]) == ("own-block", node.address, "64512")
    assert why(node, other)["rule"] == "in-pool"
    assert why(node, other, two.address)["rule"] == "to-sender"
    assert why(node, other, three.nodes[2].address)["rule"] == "not-reflected"
    assert why(node, "203.0.113.0/24")["rule"] == "to-sender"
    assert why(node, "203.0.113.0/24", two.address)["rule"] == "outside-pools"
    pod = node.pods["default.pod1"]
    nothing = why(node, pod.ip)
    assert nothing["rule"] == "no-path" and block in nothing["text"]
    everybody = why(node, block, None)
    assert sorted(a["verdict"] for a in everybody) == ["told"] * 3
    # words for a person: the sentence, and a line for each question
    text = node.ctl("bgp", "why", block, "--to", TOR).stdout
    assert f"{block} is told to {TOR}" in text and "is the session up?" in text, text
    named = why(node, block, "Global_192_168_61_1")
    assert named["address"] == TOR


def test_why_says_what_is_wrong_with_the_question(three):
    node = three.nodes[0]
    for args, words in [(("10.0.0.0/33",), "prefix: must be"), (("10.0.0.0/8", "--to", "1.2.3.4"), "no session with"),
                        ((), "one prefix")]:
        r = node.ctl("bgp", "why", *args, check=False)
        assert r.returncode == 1 and words in r.stderr, r


def test_why_names_the_rule_of_a_filter(labs):
    lab = labs(nodes=1, manifest=FILTER + """
---
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: pool}
spec: {cidr: 172.31.0.0/16, blockSize: 28}
""")
    node = lab.nodes[0]
    node.add_pod("p")
    [block] = node.ctl_json("node", "status")["blocks"]
    wait.until("the filter holds", lambda: why(node, block)["rule"] == "filter-rejects")
    answer = why(node, block)
    assert (answer["verdict"], answer["filter"], answer["filterRule"]) == ("not-told", "tor", 2)
    assert "rule 2 of BGPFilter tor rejects it" in answer["text"]
    wait.until("the router does not have it", lambda: block not in lab.birdc("show", "route"))
    lab.ctl("delete", "bgpfilter", "tor")
    wait.until("it is told", lambda: why(node, block)["verdict"] == "told")
    wait.until("the router has it", lambda: block in lab.birdc("show", "route"))


def test_a_session_as_a_page(three):
    node = three.nodes[0]
    n = next(x for x in node.ctl_json("bgp", "neighbors", TOR)["neighbors"])
    assert n["state"] == "Established" and n["since"]
    sent, received = n["capabilities"]["sent"], n["capabilities"]["received"]
    assert sent["4-octet-as"] == 64512 and received["4-octet-as"] == 65001
    assert sent["multiprotocol"] == ["ipv4-unicast"]
    assert "graceful-restart" in received and received["graceful-restart"]["families"] == ["ipv4-unicast"]
    assert 0 < n["timers"]["holdLeft"] <= n["holdSeconds"]
    assert 0 <= n["timers"]["keepaliveDueIn"] <= n["keepaliveSeconds"]
    assert n["messages"]["received"] > 1 and n["messages"]["sent"] > 1
    page = node.ctl("bgp", "neighbors", TOR).stdout
    for words in ("Established", "Hold time", "Keepalive", "CAPABILITY", "4-octet-as", "Flaps", "ipv4-unicast",
                  "receive ipv4-unicast, send ipv4-unicast", "seconds 120, notification, families ipv4-unicast"):
        assert words in page, page
    assert '"' not in page and "{" not in page, "JSON is not for persons"


def test_who_waits_for_the_peer_says_so(labs):
    lab = labs(nodes=2, tor=False, start=False)
    one, two = lab.nodes
    one.start()
    two.start()
    two.kill()
    # between two tries to connect ourselves
    page = lambda: one.ctl("bgp", "neighbors", two.address).stdout
    wait.until(page, lambda: "Active" in (said := page()) and "waiting for the peer to connect" in said)


def test_a_notification_in_words_with_its_direction(labs):
    lab = labs(nodes=1)
    node = lab.nodes[0]
    ns.out(lab.ns("tor"), "birdc", "-s", lab.dir / "tor.ctl", "disable", "node1", '"down for a while"')
    n = wait.until(lambda: f"the end is noted: {neighbor(node)}", lambda: next(
        x for x in node.ctl_json("bgp", "neighbors", TOR)["neighbors"]
        if "administrative shutdown" in x.get("lastNotification", "").lower()))
    assert "received" in n["lastNotification"], n
    assert n["lastNotificationAt"] and n["flaps"] == 1
    page = node.ctl("bgp", "neighbors", TOR).stdout
    assert n["lastNotification"] in page, page


def test_routes_say_by_which_step(three):
    node, two = three.nodes[:2]
    [other] = two.ctl_json("node", "status")["blocks"]
    paths = node.ctl_json("bgp", "routes", other)["routes"]
    assert [p["best"] for p in paths].count(True) == 1 and paths[0]["best"]
    for p in paths[1:]:
        assert p["why"], p
    text = node.ctl("bgp", "routes", other).stdout
    assert other in text


def test_a_filter_by_interface(labs):
    """What leaves by the nodes' link matches, what would leave by another does not."""
    lab = labs(nodes=2, manifest=knobs(bfd="off").replace("asNumber: 65001", "asNumber: 65001, filters: [f]"))
    one, two = lab.nodes
    one.add_pod("p1")
    two.add_pod("p2")
    [other] = two.ctl_json("node", "status")["blocks"]
    wait.until("the router is told by both", lambda: lab.birdc("show", "route", "all", other).count("BGP.as_path") == 2)

    def reject_on(interface):
        lab.apply(f"""
apiVersion: projectcalico.org/v3
kind: BGPFilter
metadata: {{name: f}}
spec: {{exportV4: [{{interface: "{interface}", source: RemotePeers, action: Reject}}]}}
""")
    reject_on("wlan*")
    one.settle_policy()  # it has seen the filter
    assert why(one, other)["rule"] == "in-pool"
    reject_on("eth*")
    wait.until("rejected", lambda: why(one, other)["rule"] == "filter-rejects" and why(one, other)["verdict"] == "not-told")
    wait.until("only its owner tells it", lambda: lab.birdc("show", "route", "all", other).count("BGP.as_path") == 1)


def test_only_own_blocks_are_told(labs):
    lab = labs(nodes=2, manifest=knobs(exportOwnBlocksOnly="true"))
    one, two = lab.nodes
    one.add_pod("p1")
    two.add_pod("p2")
    blocks = {n: n.ctl_json("node", "status")["blocks"][0] for n in lab.nodes}
    wait.until("the mesh knows both", lambda: blocks[one] in two.routes() and blocks[two] in one.routes())
    for node in lab.nodes:
        wait.until("the router has it", lambda n=node: why(n, blocks[n])["verdict"] == "told")
        other = blocks[two if node is one else one]
        assert (why(node, other)["rule"], why(node, other)["verdict"]) == ("not-own", "not-told")
    at_router = lambda b: lab.birdc("show", "route", "all", b)
    for block in blocks.values():
        wait.until("the router has it", lambda b=block: "BGP.as_path" in at_router(b))
    for block in blocks.values():
        assert at_router(block).count("BGP.as_path") == 1, at_router(block)
    # turned off, everything is told
    lab.apply(knobs(exportOwnBlocksOnly="false"))
    wait.until("both ways", lambda: lab.birdc("show", "route", "all", blocks[one]).count("BGP.as_path") == 2)


def test_hold_time_and_a_limit_that_is_hit(labs):
    lab = labs(nodes=1, manifest=knobs(holdTime="9s", prefixLimit="3", prefixLimitRestart="1h"))
    node = lab.nodes[0]
    n = wait.until("Established", lambda: neighbor(node)["state"] == "Established" and neighbor(node))
    assert (n["holdSeconds"], n["prefixLimit"]) == (9, 3)
    conf = (lab.dir / "tor.conf").read_text()
    more = "".join(f"route 198.51.{i}.0/24 blackhole;" for i in range(4))
    (lab.dir / "tor.conf").write_text(conf + f"protocol static flood {{ ipv4; {more} }}\n")
    ns.out(lab.ns("tor"), "birdc", "-s", lab.dir / "tor.ctl", "configure")
    n = wait.until("the session ends", lambda: neighbor(node) if neighbor(node)["state"] == "Idle" else None)
    for words in ("more than 3 ipv4-unicast prefixes", "sent", "trying again in 3600 s"):
        assert words in n["lastNotification"], n
    assert n["timers"]["nextTryIn"] > 3000
    wait.until("the router has read why", lambda: (
        "Maximum" in lab.birdc("show", "protocols", "all", "node1") or "Maximum" in lab.log("tor")))
    # raised: at once
    lab.apply(knobs(prefixLimit="100"))
    wait.until("the session is back", lambda: neighbor(node)["state"] == "Established")


def test_a_wrong_knob_is_named_and_hurts_nobody_else(labs):
    lab = labs(nodes=2, start=False, manifest=knobs(exportOwnBlocksOnly="perhaps"))
    for node in lab.nodes:
        node.start(wait_ready=False)
    one, two = lab.nodes
    wait.until("the mesh is up", lambda: neighbor(one, two.address)["state"] == "Established")
    wait.until("it is said", lambda: "margay.io/exportOwnBlocksOnly" in one.health_text() and "true or false" in one.health_text())


def metrics(node):
    text = ns.run(node.ns, "python3", "-c", "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9091/metrics', timeout=30).read().decode())").stdout
    return dict(line.rsplit(" ", 1) for line in text.splitlines() if line and line[0] != "#")


def test_numbers_for_prometheus(three):
    """Sums for the mesh, series of its own for the session that somebody configured."""
    node = three.nodes[0]
    m = {k: float(v) for k, v in metrics(node).items() if k.startswith("margay_bgp")}
    assert m['margay_bgp_sessions{peer="mesh"}'] == 2 and m['margay_bgp_sessions_up{peer="mesh"}'] == 2
    assert m[f'margay_bgp_sessions_up{{peer="{TOR}"}}'] == 1
    assert not any(n.address in k for k in m for n in three.nodes), "no series for each node of the mesh"
    assert m['margay_bgp_routes{peer="mesh",family="ipv4-unicast",kind="received"}'] >= 2
    assert m[f'margay_bgp_routes{{peer="{TOR}",family="ipv4-unicast",kind="sent"}}'] >= 1
    assert m['margay_bgp_messages_total{peer="mesh",direction="sent"}'] > 2
    assert m['margay_bgp_flaps_total{peer="mesh"}'] == 0
    assert m['margay_bgp_prefixes{family="ipv4-unicast"}'] >= 4
    assert m["margay_bgp_update_to_kernel_seconds_count"] >= 1
    assert m['margay_bgp_update_to_kernel_seconds_bucket{le="+Inf"}'] == m["margay_bgp_update_to_kernel_seconds_count"]
    assert m["margay_bgp_drain_phase"] == 0
