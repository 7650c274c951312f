"""Addresses of Kubernetes' services over BGP: ranges, single addresses as services, endpoints, labels and configuration have it,
as a router (BIRD) and the other nodes hear them, and what of it gets into the kernels."""

import json

from deploy.lab import ns, wait
from deploy.lab.lab import LINK

TOR = "192.168.61.1"
RANGE, EXTERNAL, SINGLE = "10.96.0.0/16", "192.0.2.0/24", "198.51.100.9/32"
EXCLUDE = "node.kubernetes.io/exclude-from-external-load-balancers"

POOL = """
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: pods}
spec: {cidr: 172.31.0.0/16}
---
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: tor}
spec: {peerIP: 192.168.61.1, asNumber: 65001%s}
"""


def configuration(**fields):
    return json.dumps({"apiVersion": "projectcalico.org/v3", "kind": "BGPConfiguration", "metadata": {"name": "default"},
                       "spec": fields})


def cidrs(*list_):
    return [{"cidr": c} for c in list_]


def service(name, cluster_ip, status=None, **spec):
    o = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"},
         "spec": {"clusterIP": cluster_ip, "ports": [{"port": 80}], **spec}}
    if status:
        o["status"] = {"loadBalancer": {"ingress": [{"ip": status}]}}
    return json.dumps(o)


def endpoints(name, of, node, ready=True, address="172.31.9.9"):
    return json.dumps({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv6" if ":" in address else "IPv4",
                       "metadata": {"name": name, "namespace": "default", "labels": {"kubernetes.io/service-name": of}},
                       "endpoints": [{"addresses": [address], "nodeName": node, "conditions": {"ready": ready}}],
                       "ports": [{"port": 80}]})


def make(labs, peer="", nodes=2, start=True, **fields):
    return labs(nodes=nodes, start=start, manifest=POOL % peer + "---\n" + configuration(**fields))


def by(lab, prefix):
    """The nodes from which the router has heard exactly this prefix."""
    shown = ns.run(lab.ns("tor"), "birdc", "-r", "-s", lab.dir / "tor.ctl", "show", "route", prefix, check=False).stdout
    return {n.name for n in lab.nodes if f"via {n.address} " in shown}


def until(lab, prefix, *names):
    wait.until(lambda: f"{prefix} by {names}: {lab.birdc('show', 'route')}", lambda: by(lab, prefix) == set(names))


def kernel(node, prefix):
    """The node's route to exactly this, as the kernel says it; "": none."""
    return node.routes("exact", prefix).strip()


def path(node, prefix):
    return node.ctl_json("bgp", "routes", prefix)["routes"][0]


def why(node, prefix):
    [answer] = node.ctl_json("bgp", "why", prefix, "--to", TOR)["why"]
    return answer


def test_ranges_and_single_addresses(labs):
    lab = make(labs, serviceClusterIPs=cidrs(RANGE), serviceExternalIPs=cidrs(EXTERNAL, SINGLE))
    one, two = lab.nodes
    for prefix in (RANGE, EXTERNAL):
        until(lab, prefix, "node1", "node2")
    assert by(lab, SINGLE) == set(), "a single entry waits for a service"
    assert not one.ctl_json("node", "status")["bgpNotes"]

    # Local: where a ready endpoint is, and from nobody else, although the mesh tells everybody
    lab.apply(service("web", "10.96.0.7", externalTrafficPolicy="Local", externalIPs=["192.0.2.7", "203.0.113.77"]))
    lab.apply(endpoints("web-a", "web", "node1"))
    for prefix in ("10.96.0.7/32", "192.0.2.7/32"):
        until(lab, prefix, "node1")
    wait.until("the other node hears it", lambda: two.ctl("bgp", "routes", "10.96.0.7/32", check=False).returncode == 0)
    assert by(lab, "203.0.113.77/32") == set(), "outside of serviceExternalIPs"
    words = "service default/web, externalTrafficPolicy Local, a ready endpoint here"
    assert path(one, "10.96.0.7/32")["for"] == words
    assert words in one.ctl("bgp", "routes", "10.96.0.7/32").stdout
    answer = why(one, "10.96.0.7/32")
    assert (answer["verdict"], answer["rule"], answer["text"]) == ("told", "service", words)
    assert why(one, RANGE)["text"] == "serviceClusterIPs of BGPConfiguration default"
    wait.until("the other knows why not", lambda: why(two, "10.96.0.7/32")["rule"] == "served-elsewhere")
    # nothing of it in the kernels: each node serves by its own rules
    for node in lab.nodes:
        assert not any(kernel(node, p) for p in (RANGE, EXTERNAL, "10.96.0.7/32", "192.0.2.7/32")), node.routes()

    # the endpoint moves; is not ready; is there twice; its slices go
    lab.apply(endpoints("web-a", "web", "node2"))
    until(lab, "10.96.0.7/32", "node2")
    lab.apply(endpoints("web-a", "web", "node2", ready=False))
    until(lab, "10.96.0.7/32")
    lab.apply(endpoints("web-a", "web", "node2"))
    lab.apply(endpoints("web-b", "web", "node1"))
    until(lab, "10.96.0.7/32", "node1", "node2")
    lab.ctl("delete", "endpointslices", "web-a", "-n", "default")
    until(lab, "10.96.0.7/32", "node1")
    lab.ctl("delete", "endpointslices", "web-b", "-n", "default")
    until(lab, "10.96.0.7/32")
    wait.until("what is nearest", lambda: "nearest around it is " + RANGE in why(one, "10.96.0.7/32")["text"])
    assert why(one, "10.96.0.7/32")["service"] == "service default/web: externalTrafficPolicy Local, no ready endpoint here"
    assert "for service default/web: external" in one.ctl("bgp", "why", "10.96.0.7/32", "--to", TOR).stdout
    lab.ctl("delete", "service", "web", "-n", "default")

    # an entry of one address: from all nodes, no endpoint asked for, nothing in the kernel
    lab.apply(service("edge", "10.96.0.8", externalIPs=["198.51.100.9"]))
    until(lab, SINGLE, "node1", "node2")
    assert "an address of its own in serviceExternalIPs" in path(one, SINGLE)["for"]
    assert not any(kernel(node, SINGLE) for node in lab.nodes), "no blackhole: the node itself must get there"
    # a second service has the same address: it stays until the last one goes
    lab.apply(service("edge2", "10.96.0.9", externalIPs=["198.51.100.9"]))
    wait.until("both are named", lambda: "and 1 more" in path(one, SINGLE)["for"])
    lab.ctl("delete", "service", "edge", "-n", "default")
    wait.until("one is named", lambda: "and 1 more" not in path(one, SINGLE)["for"])
    assert by(lab, SINGLE) == {"node1", "node2"}
    # Local: the others get there by way of the node that has it
    lab.apply(service("edge2", "10.96.0.9", externalIPs=["198.51.100.9"], externalTrafficPolicy="Local"))
    lab.apply(endpoints("edge2-a", "edge2", "node1"))
    wait.until("a route to it", lambda: f"via {one.address}" in kernel(two, SINGLE))
    assert not kernel(one, SINGLE)
    lab.ctl("delete", "service", "edge2", "-n", "default")
    until(lab, SINGLE)
    wait.until("no route", lambda: not kernel(two, SINGLE))

    # the configuration goes
    lab.apply(configuration())
    for prefix in (RANGE, EXTERNAL):
        until(lab, prefix)


def test_a_node_with_the_label_announces_none(labs):
    lab = make(labs, serviceClusterIPs=cidrs(RANGE))
    one, two = lab.nodes
    until(lab, RANGE, "node1", "node2")
    lab.apply(service("web", "10.96.0.7", externalTrafficPolicy="Local"))
    lab.apply(endpoints("web-a", "web", "node1"))
    until(lab, "10.96.0.7/32", "node1")
    lab.ctl("label", "nodes", "node1", f"{EXCLUDE}=true")
    until(lab, RANGE, "node2")
    until(lab, "10.96.0.7/32")
    status = one.ctl_json("node", "status")
    assert status["ready"] and EXCLUDE in status["bgpNotes"][0], status
    assert "Note: " in one.ctl("node", "status").stdout
    wait.until("it hears the other's", lambda: one.ctl("bgp", "routes", RANGE, check=False).returncode == 0)
    assert not kernel(one, RANGE), "and does not install it"
    lab.ctl("label", "nodes", "node1", EXCLUDE, "--remove")
    until(lab, RANGE, "node1", "node2")
    until(lab, "10.96.0.7/32", "node1")
    # a restart says the same again, and the router never loses it
    one.kill()
    one.start()
    until(lab, "10.96.0.7/32", "node1")


def test_communities_filters_and_aggregation(labs):
    balancer = "198.18.0.0/24"
    lab = make(labs, peer=", filters: [out]", serviceLoadBalancerIPs=cidrs(balancer),
               communities=[{"name": "svc", "value": "64512:77"}],
               prefixAdvertisements=[{"cidr": "198.18.0.0/16", "communities": ["svc"]}])
    until(lab, balancer, "node1", "node2")
    assert "(64512,77)" in lab.birdc("show", "route", "all", balancer)
    lab.apply(service("lb", "10.96.0.7", type="LoadBalancer", status="198.18.0.5"))
    lab.apply(endpoints("lb-a", "lb", "node1"))
    assert by(lab, "198.18.0.5/32") == set(), "the range is enough"
    lab.apply(configuration(serviceLoadBalancerIPs=cidrs(balancer), serviceLoadBalancerAggregation="Disabled"))
    until(lab, balancer)
    until(lab, "198.18.0.5/32", "node1", "node2")
    lab.apply(json.dumps({"apiVersion": "projectcalico.org/v3", "kind": "BGPFilter", "metadata": {"name": "out"},
                          "spec": {"exportV4": [{"cidr": "198.18.0.0/16", "matchOperator": "In", "action": "Reject"}]}}))
    until(lab, "198.18.0.5/32")
    lab.ctl("delete", "bgpfilter", "out")
    until(lab, "198.18.0.5/32", "node1", "node2")
    lab.apply(endpoints("lb-a", "lb", "node1", ready=False))
    until(lab, "198.18.0.5/32")


def test_ranges_from_the_environment_and_the_log(labs):
    lab = make(labs, nodes=1, start=False, serviceClusterIPs=cidrs(RANGE), logSeverityScreen="Debug")
    node = lab.nodes[0]
    node.start(env={"CALICO_ADVERTISE_CLUSTER_IPS": "10.112.0.0/16"}, wait_ready=False)
    lab.start_tor()
    node.wait_ready()
    until(lab, "10.112.0.0/16", "node1")
    assert by(lab, RANGE) == set(), "the environment wins"
    # logSeverityScreen: of the speaker's lines only
    wait.until("lines for us", lambda: "level=debug mod=bgp" in node.log())
    assert "level=debug" not in node.log().replace("level=debug mod=bgp", "").replace("level=debug mod=fib", "") \
        .replace("level=debug mod=bfd", "").replace("level=debug mod=ra", "")
    lab.apply(configuration(serviceClusterIPs=cidrs(RANGE), logSeverityScreen="None"))
    lab.apply(json.dumps({"apiVersion": "projectcalico.org/v3", "kind": "BGPConfiguration", "metadata": {"name": "node.node1"},
                          "spec": {"logSeverityScreen": "Info"}}))
    assert node.ctl("bgp", "neighbors").returncode == 0
    lab.apply(json.dumps({"apiVersion": "projectcalico.org/v3", "kind": "BGPConfiguration", "metadata": {"name": "node.node1"},
                          "spec": {"logSeverityScreen": "Warning"}}))
    lab.apply(service("broken", "10.96.0.7"))
    assert node.ctl_json("node", "status")["ready"]


def test_both_families(labs):
    """Over the mesh, a session for each family: each is announced by its own endpoints."""
    range6, single6 = "fd00:96::/108", "2001:db8:5::9/128"
    lab = labs(nodes=2, tor=False, start=False, manifest=POOL.split("---\n")[0] + "---\n" +
               configuration(serviceClusterIPs=cidrs(RANGE, range6), serviceExternalIPs=cidrs(single6)))
    one, two = lab.nodes
    for node in lab.nodes:
        ns.ip(node.ns, "-6", "addr", "add", f"fd61::{node.index}/64", "dev", LINK, "nodad")
        node.start("--ip6", f"fd61::{node.index}", wait_ready=False)
    for node in lab.nodes:
        node.wait_ready()

    def heard(prefix):
        r = two.ctl("-o", "json", "bgp", "routes", prefix, check=False)
        return r.returncode == 0 and any(p.get("nextHop") in (one.address, "fd61::1") for p in json.loads(r.stdout)["routes"])
    for prefix in (RANGE, range6):
        wait.until(f"{prefix} is heard", lambda p=prefix: heard(p))
    lab.apply(service("web", "10.96.0.7", clusterIPs=["10.96.0.7", "fd00:96::7"], externalTrafficPolicy="Local",
                      externalIPs=["2001:db8:5::9"]))
    lab.apply(endpoints("web-6", "web", "node1", address="fd00:172::9"))
    for prefix in ("fd00:96::7/128", single6):
        wait.until(f"{prefix} is heard", lambda p=prefix: heard(p))
    assert not heard("10.96.0.7/32"), "no endpoint of that family"
    kernel6 = ns.ip(two.ns, "-6", "route", "show")
    assert "fd00:96::" not in kernel6
    wait.until("the single one has a route", lambda: "2001:db8:5::9 via fd61::1" in ns.ip(two.ns, "-6", "route", "show"))
    assert "2001:db8:5::9" not in ns.ip(one.ns, "-6", "route", "show")
    lab.apply(endpoints("web-4", "web", "node1"))
    wait.until("and the other family", lambda: heard("10.96.0.7/32"))
    lab.ctl("delete", "endpointslices", "web-6", "-n", "default")
    wait.until("gone", lambda: not heard("fd00:96::7/128") and "2001:db8:5::9" not in ns.ip(two.ns, "-6", "route", "show"))
    assert heard("10.96.0.7/32")
