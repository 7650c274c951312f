"""The quick start: bring three nodes up, show a person what was made, check all of it."""

import json
import sys
import time

from . import ns, wait
from .lab import LINK, ROOT, SUBNET, Lab

SERVICE = "203.0.113.1"  # behind the router
PODS = {1: ["pod1", "pod4"], 2: ["pod2", "pod5"], 3: ["pod3", "pod6"]}
ROLES = {"pod1": "client", "pod2": "database"}  # labels, for the policy


class Report:
    """Checks, each said as it is made; the exit status is theirs."""

    def __init__(self):
        self.bad = []
        self.n = 0

    def check(self, what, ok):
        self.n += 1
        if not ok:
            self.bad.append(what)
            print(f"   WRONG: {what}")
        return bool(ok)


def step(text):
    print(f"== {text}", flush=True)


def indent(text):
    for line in text.rstrip().splitlines():
        print("   " + line)
    print(flush=True)


def bring_up(lab):
    step("network: three nodes and a router on one segment, no default route anywhere")
    lab.up(nodes=3)
    lab.apply((ROOT / "deploy/quickstart/network.yaml").read_text())
    step("agents: margayd on every node; router: BIRD, AS 65001")
    for node in lab.nodes:
        node.start(wait_ready=False)
    lab.start_tor()
    for node in lab.nodes:
        node.wait_ready()
    step("pods: two on every node, through the CNI plugin")
    for node in lab.nodes:
        for name in PODS[node.index]:
            labels = {"role": ROLES[name]} if name in ROLES else {}
            pod = node.add_pod(name, network=node.network(args={"margay": {"labels": labels}}))
            print(f"   default/{name:5} {pod.ip:15} {node.name}  {pod.host_interface}")
    print()


def expected_routes(node, owners):
    """Every own pod through its veth, every block of the others through its node, and the router's network."""
    return [*(f"{pod.ip} dev {pod.host_interface}" for pod in node.pods.values()),
            *(f"{block} via {owner.address} dev {LINK} proto 80 onlink" for block, owner in owners.items() if owner is not node),
            f"203.0.113.0/24 via 192.168.61.1 dev {LINK} proto 80 metric 2147483547 onlink"]


def sessions(node):
    """Address -> state."""
    return {n["address"]: n["state"] for n in node.ctl_json("bgp", "neighbors")["neighbors"]}


def router_goes_to(lab, block, owner):
    return f"via {owner.address}" in ns.ip(lab.ns("tor"), "route", "show", block)


def missing(lab):
    """What is still to come before everybody knows everything, in words."""
    owners = blocks(lab)
    out = [f"{n.name} has no block" for n in lab.nodes if n not in owners.values()]
    for node in lab.nodes:
        states, routes = sessions(node), node.routes()
        others = [f"{SUBNET}.1", *(n.address for n in lab.nodes if n is not node)]
        out += [f"{node.name}: no session with {a}" for a in others if states.get(a) != "Established"]
        out += [f"{node.name}: no route '{want}'" for want in expected_routes(node, owners) if want not in routes]
    return out + [f"the router does not reach {b} via {o.address}" for b, o in owners.items() if not router_goes_to(lab, b, o)]


def blocks(lab):
    """CIDR -> node, from the nodes' own status."""
    found = {}
    for node in lab.nodes:
        for block in node.ctl_json("node", "status")["blocks"]:
            found[block] = node
    return found


def show_and_check(lab, report):
    wait.until(lambda: f"every node and the router know every block: {missing(lab)}", lambda: not missing(lab))
    step("margayctl get nodes -o wide")
    indent(lab.ctl("-o", "wide", "get", "nodes").stdout)
    step("margayctl node status, on each node")
    for node in lab.nodes:
        print(f"   [{node.name}]")
        indent(node.ctl("node", "status").stdout)
        for address, state in sessions(node).items():
            report.check(f"{node.name}: session with {address} is {state}, must be Established", state == "Established")
    step("margayctl ipam show --show-blocks")
    indent(lab.ctl("ipam", "show", "--show-blocks").stdout)
    step("ip route, on each node")
    for node in lab.nodes:
        print(f"   [{node.name}]")
        routes = node.routes()
        indent(routes)
        for want in expected_routes(node, blocks(lab)):
            report.check(f"{node.name} has the route '{want}'", want in routes)
    step("the router's routes (birdc show route)")
    indent(lab.birdc("show", "route"))
    for block, owner in blocks(lab).items():
        report.check(f"the router reaches {block} via {owner.address}", router_goes_to(lab, block, owner))


def ping_matrix(lab, report):
    step("ping: every pod and the router (rows) to every pod and a service behind the router (columns)")
    pods = [p for n in lab.nodes for p in n.pods.values()]
    print("   " + " " * 6 + "".join(f"{p.name:>8}" for p in pods) + "  service")
    for row in [*pods, None]:
        name, host = (row.name, row.ns) if row else ("router", lab.ns("tor"))
        line = f"   {name:6}"
        for target, label in [*((p.ip, p.name) for p in pods), (SERVICE, "service")]:
            ok = ns.run(host, "ping", "-n", "-q", "-c", "1", "-W", "5", target, check=False).returncode == 0
            line += f"{'ok' if ok else 'LOST':>8}"
            report.check(f"{name} reaches {label} ({target})", ok)
        print(line, flush=True)
    print()


def policy(lab, report):
    """A manifest of Kubernetes closes a pod to all but one; its removal opens it again."""
    path = ROOT / "deploy/quickstart/policy.yaml"
    step("policy: margayctl apply -f deploy/quickstart/policy.yaml")
    indent(path.read_text())
    pods = {p.name: p for n in lab.nodes for p in n.pods.values()}
    database = pods["pod2"]
    lab.ctl("apply", "-f", str(path))
    lab.nodes[1].settle_policy()  # in the kernel of pod2's node
    for name, may in (("pod1", True), ("pod3", False), ("pod6", False)):
        got = pods[name].ping(database.ip)
        print(f"   {name} to pod2: {'ok' if got else 'dropped'}")
        report.check(f"{name} {'reaches' if may else 'does not reach'} pod2", got == may)
    report.check("pod3 reaches pod6, which no policy selects", pods["pod3"].ping(pods["pod6"].ip))
    print()
    for name, verdict in (("pod1", "allow"), ("pod3", "deny")):
        how = ["policy", "explain", "--from", f"default/{name}", "--to", "default/pod2", "--proto", "tcp", "--port", "5432"]
        step(f"margayctl {' '.join(how)}")
        indent(lab.ctl(*how).stdout)
        told = json.loads(lab.ctl("-o", "json", *how).stdout)["verdict"]
        report.check(f"policy explain says {verdict} for {name}, not {told}", told.lower() == verdict)
    step("margayctl policy show default/pod2, on its node")
    indent(lab.nodes[1].ctl("policy", "show", "default/pod2").stdout)
    lab.ctl("delete", "-f", str(path))
    wait.until("pod3 reaches pod2 again", lambda: pods["pod3"].ping(database.ip, wait_s=1))


TRY = """It is running. Things to try (nodes are network namespaces, mg-node1 to mg-node3):
   margayctl="{ctl} --datastore {ds}"
   $margayctl get ippools -o yaml
   $margayctl --run-dir {dir}/node1/run bgp routes
   ip netns exec mg-default.pod1 ping -c 3 {ip}          # pod1 to pod2, on another node
   ip netns exec mg-default.pod1 ip route; ip -n mg-node1 route
   ip netns exec mg-tor birdc -s {dir}/tor.ctl show protocols
   $margayctl apply -f deploy/quickstart/policy.yaml     # only pod1 may reach pod2
   $margayctl policy explain --from default/pod3 --to default/pod2 --proto tcp --port 5432
   tail {dir}/node1-agent.log
   sudo ./deploy/quickstart.sh --down                    # when you have seen enough
"""


def main(argv):
    lab = Lab("mg")
    if "--down" in argv:
        lab.down()
        print("taken down")
        return 0
    keep = "--keep" in argv
    report = Report()
    started = time.monotonic()
    done = False
    try:
        bring_up(lab)
        show_and_check(lab, report)
        ping_matrix(lab, report)
        policy(lab, report)
        done = True
    except (RuntimeError, AssertionError, OSError) as e:
        report.bad.append(str(e))
        print(f"   WRONG: {e}", file=sys.stderr)
    finally:
        if keep and done:
            print(TRY.format(ctl=lab.ctl_binary, ds=lab.datastore, dir=lab.dir,
                             ip=lab.nodes[1].pods["default.pod2"].ip))
        else:
            lab.down()
    seconds = time.monotonic() - started
    if report.bad:
        print(f"FAILED: {len(report.bad)} of {report.n} checks, the first: {report.bad[0]}")
        return 1
    print(f"All right: {report.n} checks in {seconds:.1f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
