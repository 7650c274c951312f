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
    assert 0 < n["timers"]["keepaliveDueIn"] <= n["keepaliveSeconds"]
    assert n["messages"]["received"] > 1 and n["messages"]["sent"] > 1
    page = node.ctl("bgp", "neighbors", TOR).stdout
    for words in ("Established", "Hold time", "Keepalive", "CAPABILITY", "4-octet-as", "Flaps", "ipv4-unicast"):
        assert words in page, page


def test_a_notification_in_words_with_its_direction(labs):
    lab = labs(nodes=1)
    node = lab.nodes[0]
    ns.out(lab.ns("tor"), "birdc", "-s", lab.dir / "tor.ctl", "disable", "node1", '"down for a while"')
    n = wait.until("the end is noted", lambda: next(
        x for x in node.ctl_json("bgp", "neighbors", TOR)["neighbors"] if x.get("lastNotification")))
    assert "received" in n["lastNotification"] and "administrative shutdown" in n["lastNotification"].lower(), n
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
