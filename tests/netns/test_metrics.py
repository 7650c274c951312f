"""GET /metrics, read as strictly as Prometheus' text format is written."""

import re
import shutil
import subprocess
import threading

import pytest

from conftest import ROOT  # noqa: F401  (the path of the tree is set there)
from deploy.lab import ns, wait
from test_policy import spoil

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"'
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? ([^ ]+)")
VALUE = re.compile(r"[+-]?Inf|NaN|[+-]?[0-9]+(\.[0-9]+)?(e[+-][0-9]+)?")

GET = """
import sys, urllib.request, urllib.error
try:
    with urllib.request.urlopen(sys.argv[1], timeout=20) as r:
        sys.stdout.write(f"{r.status}\\n{r.headers['Content-Type']}\\n{r.read().decode()}")
except urllib.error.HTTPError as e:
    sys.stdout.write(f"{e.code}\\n\\n{e.read().decode()}")
except OSError as e:
    sys.stdout.write(f"0\\n\\n{e}")
"""


def get(node, path="/metrics", port=9091, host="127.0.0.1"):
    said = ns.out(node.ns, "/usr/bin/python3", "-B", "-c", GET, f"http://{host}:{port}{path}")
    status, kind, text = said.split("\n", 2)
    return int(status), kind, text


def parse(text):
    """{name: {labels: value}} and {name: type}; asserts whatever the format demands."""
    types, values, current, closed = {}, {}, None, set()
    assert text.endswith("\n") and "\r" not in text
    for line in text[:-1].split("\n"):
        words = line.split(" ", 3)
        if line.startswith("# HELP "):
            name = words[2]
            assert re.fullmatch(NAME, name) and len(words) == 4 and words[3], line
            assert name not in closed and name not in types, f"{name} is in two places"
            closed.add(current)
            current = name
        elif line.startswith("# TYPE "):
            assert words[2] == current and words[3] in ("counter", "gauge", "histogram"), line
            types[current] = words[3]
        else:
            m = SAMPLE.fullmatch(line)
            assert m, f"not a sample: {line!r}"
            name, labels, value = m.group(1), m.group(2), m.group(m.lastindex)
            base = name
            if types.get(current) == "histogram":
                base = re.sub("_(bucket|sum|count)$", "", name)
            assert base == current, f"{name} below {current}"
            assert VALUE.fullmatch(value), line
            pairs = tuple(re.findall(LABEL, labels)) if labels else ()
            assert len({k for k, _ in pairs}) == len(pairs), f"a label twice: {line}"
            series = values.setdefault(name, {})
            assert pairs not in series, f"a series twice: {line}"
            series[pairs] = float(value)
            if types[current] == "counter":
                assert float(value) >= 0, line
    return values, types


def scrape(node, **kw):
    status, kind, text = get(node, **kw)
    assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8"), text
    return parse(text)


def value(values, name, **labels):
    return values[name][tuple(sorted(labels.items()))] if labels else values[name][()]


@pytest.fixture(scope="module")
def node(request):
    from conftest import finish, make_lab, new_name, show_logs
    from deploy.lab.lab import Lab
    lab = Lab(new_name())
    try:
        lab = make_lab(lab.name, nodes=1, tor=False)
        lab.nodes[0].add_pod("a")
        lab.nodes[0].settle_policy()
    except BaseException:
        show_logs(lab)
        lab.down()
        raise
    yield lab.nodes[0]
    finish(request, [lab])


def test_the_text_is_right(node):
    values, types = scrape(node)
    for name in ("felix_active_local_endpoints", "felix_active_local_policies", "felix_ipset_calls", "felix_ipset_errors",
                 "felix_iptables_save_calls", "felix_iptables_restore_calls", "felix_iptables_restore_errors",
                 "felix_iptables_chains", "felix_iptables_rules", "felix_int_dataplane_failures", "felix_resync_state",
                 "felix_cluster_num_hosts", "felix_cluster_num_policies", "process_resident_memory_bytes",
                 "process_cpu_seconds_total", "process_open_fds", "process_start_time_seconds", "margay_build_info",
                 "margay_ready", "margay_routes", "margay_policy_in_force", "margay_policy_objects_invalid"):
        assert name in values, name
    assert types["process_cpu_seconds_total"] == "counter" and types["felix_resync_state"] == "gauge"
    assert value(values, "margay_metrics_dropped_series") == 0
    # Debian's package prometheus has a reader of its own; names that Felix chose are not all to its taste.
    if shutil.which("promtool"):
        p = subprocess.run(["promtool", "check", "metrics"], input=get(node)[2], capture_output=True, text=True)
        assert "error while" not in p.stderr, p.stderr


def test_numbers_mean_what_they_say(node):
    values, _ = scrape(node)
    assert value(values, "felix_active_local_endpoints") == 1 and value(values, "margay_endpoints") == 1
    assert value(values, "felix_resync_state") == 3 and value(values, "felix_cluster_num_hosts") == 1
    assert value(values, "margay_ready") == 1 and value(values, "margay_policy_in_force") == 1
    assert value(values, "felix_host", host=node.name) == 1
    assert value(values, "felix_iptables_chains", ip_version="4", table="filter") > 10
    assert value(values, "felix_iptables_rules", ip_version="4", table="filter") > 20
    statm = [line.split() for line in open(f"/proc/{node.process.pid}/status") if line.startswith("VmRSS")]
    assert abs(value(values, "process_resident_memory_bytes") / (int(statm[0][1]) * 1024) - 1) < 0.5
    before = value(values, "felix_iptables_restore_calls")
    node.lab.apply("apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: one}\n"
                   "spec: {selector: all(), types: [Ingress], ingress: [{action: Allow}]}\n")
    node.settle_policy()
    values, _ = scrape(node)
    assert value(values, "felix_active_local_policies") == 1
    assert value(values, "felix_iptables_restore_calls") > before


def test_what_policy_cannot_read_is_a_number(node):
    assert value(scrape(node)[0], "margay_policy_objects_invalid") == 0
    node.lab.apply("apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: bad}\n"
                   "spec: {selector: has(nobody), types: [Ingress], ingress: [{action: Allow}]}\n")
    # As another writer might: margayctl would refuse it.
    spoil(node.lab, "globalnetworkpolicies/bad", '"Allow"', '"Maybe"')
    wait.until("it is counted", lambda: value(scrape(node)[0], "margay_policy_objects_invalid") == 1)
    assert value(scrape(node)[0], "margay_policy_object_invalid", object="GlobalNetworkPolicy bad",
                 field="spec.ingress[0].action") == 1
    node.lab.ctl("delete", "globalnetworkpolicy", "bad")
    wait.until("it is gone", lambda: value(scrape(node)[0], "margay_policy_objects_invalid") == 0)


def test_other_paths_and_methods(node):
    status, _, text = get(node, path="/")
    assert status == 404 and "/metrics" in text
    said = ns.out(node.ns, "/usr/bin/python3", "-B", "-c",
                  "import urllib.request as u; r=u.Request('http://127.0.0.1:9091/metrics', data=b'x', method='POST')\n"
                  "try: u.urlopen(r, timeout=20); print('yes')\nexcept OSError as e: print(e)")
    assert "yes" not in said
    # Only loopback answers.
    status, _, _ = get(node, host=node.address)
    assert status == 0


def test_scrapes_at_once(node):
    wrong = []

    def often():
        for _ in range(5):
            try:
                scrape(node)
            except AssertionError as e:
                wrong.append(e)
    threads = [threading.Thread(target=often) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == []


def test_a_port_that_is_taken(labs):
    """The agent goes on, says so, and serves when the port is free."""
    lab = labs(nodes=1, tor=False, start=False)
    [node] = lab.nodes
    holder = subprocess.Popen([*ns.enter(node.ns), "/usr/bin/python3", "-B", "-c",
                               "import socket, sys\ns = socket.create_server(('127.0.0.1', 9555))\nprint('held', flush=True)\n"
                               "sys.stdin.read()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        node.start("--metrics-port", "9555")
        wait.until("the agent says so", lambda: "cannot serve metrics" in node.log())
        assert node.health("readiness") == 200
    finally:
        holder.kill()
        holder.wait()
        holder.stdin.close()
        holder.stdout.close()
    wait.until("metrics are served", lambda: get(node, port=9555)[0] == 200)
    assert "metrics port is free now" in node.log()


def test_turned_off(labs):
    lab = labs(nodes=1, tor=False, start=False)
    [node] = lab.nodes
    node.start("--metrics-enabled=false")
    assert get(node)[0] == 0


def felix(lab, **spec):
    import json
    lab.apply("apiVersion: projectcalico.org/v3\nkind: FelixConfiguration\nmetadata: {name: default}\n"
              f"spec: {json.dumps(spec)}\n")


def test_felixconfiguration_says_where(labs):
    """As Calico's agent does it, and without a restart."""
    lab = labs(nodes=1, tor=False)
    [node] = lab.nodes
    assert get(node)[0] == 200 and get(node, host=node.address)[0] == 0
    felix(lab, prometheusMetricsEnabled=False)
    wait.until("it is turned off", lambda: get(node)[0] == 0)
    felix(lab, prometheusMetricsEnabled=True, prometheusMetricsPort=9191)
    wait.until("all addresses answer", lambda: get(node, host=node.address, port=9191)[0] == 200)
    assert get(node)[0] == 0
    felix(lab, prometheusMetricsEnabled=True, prometheusMetricsHost="127.0.0.1")
    wait.until("only loopback answers", lambda: get(node)[0] == 200 and get(node, host=node.address)[0] == 0)
    felix(lab, prometheusMetricsEnabled=True, prometheusMetricsHost="prometheus.example")
    wait.until("the agent says what is wrong", lambda: "is no address" in node.log())
    assert get(node)[0] == 200
