"""Run CNI configuration lists the way a container runtime does (CNI specification 1.1, section 4)."""

import json
import os
import subprocess
from pathlib import Path

from . import ns


class CniError(Exception):
    """A plugin said no: code, msg and details are its own words."""

    def __init__(self, plugin, code, msg, details=""):
        super().__init__(f"{plugin}: code {code}: {msg}" + (f" ({details})" if details else ""))
        self.plugin, self.code, self.msg, self.details = plugin, code, msg, details


def plugin_config(conflist, plugin, prev=None, capability_args=None):
    """What one plugin of the list reads on its standard input."""
    conf = {k: v for k, v in plugin.items() if k != "capabilities"}
    conf["cniVersion"] = conflist["cniVersion"]
    conf["name"] = conflist["name"]
    if prev is not None:
        conf["prevResult"] = prev
    runtime = {k: v for k, v in (capability_args or {}).items() if plugin.get("capabilities", {}).get(k)}
    if runtime:
        conf["runtimeConfig"] = runtime
    return conf


def call(verb, conf, *, path, node, container_id="", netns="", ifname="", args="", timeout=100):
    """Run one plugin in the node's network namespace; its parsed output, or None when it printed none."""
    binary = next((p for d in path for p in [Path(d) / conf["type"]] if p.exists()), None)
    if binary is None:
        raise FileNotFoundError(f"no plugin {conf['type']} in {':'.join(map(str, path))}")
    env = {"PATH": os.environ["PATH"], "CNI_COMMAND": verb, "CNI_PATH": ":".join(map(str, path))}
    env |= {k: v for k, v in {"CNI_CONTAINERID": container_id, "CNI_NETNS": netns, "CNI_IFNAME": ifname,
                              "CNI_ARGS": args}.items() if v}
    done = subprocess.run([*ns.enter(node), str(binary)], input=json.dumps(conf), env=env, text=True,
                          capture_output=True, timeout=timeout, check=False)
    if done.returncode:
        try:
            said = json.loads(done.stdout)
        except ValueError:
            said = {"code": -1, "msg": f"exit status {done.returncode}, no CNI error on standard output",
                    "details": (done.stdout + done.stderr)[-500:]}
        raise CniError(conf["type"], said.get("code"), said.get("msg", ""), said.get("details", ""))
    return json.loads(done.stdout) if done.stdout.strip() else None


class Network:
    """A configuration list, with the results of its attachments remembered as a runtime does."""

    def __init__(self, conflist, path, node):
        self.list, self.path, self.node = conflist, path, node
        self.results = {}

    def _each(self, verb, plugins, att, prev, caps):
        for plugin in plugins:
            conf = plugin_config(self.list, plugin, prev, caps)
            out = call(verb, conf, path=self.path, node=self.node, **att)
            if verb == "ADD":
                prev = out
        return prev

    def add(self, container_id, netns, ifname="eth0", args="", caps=None):
        att = dict(container_id=container_id, netns=netns, ifname=ifname, args=args)
        result = self._each("ADD", self.list["plugins"], att, None, caps)
        self.results[container_id, ifname] = result
        return result

    def check(self, container_id, netns, ifname="eth0", args="", caps=None, without=()):
        """CHECK by every plugin of the list, but for the types named in `without`."""
        att = dict(container_id=container_id, netns=netns, ifname=ifname, args=args)
        prev = self.results[container_id, ifname]
        for plugin in (p for p in self.list["plugins"] if p["type"] not in without):
            call("CHECK", plugin_config(self.list, plugin, prev, caps), path=self.path, node=self.node, **att)

    def delete(self, container_id, netns="", ifname="eth0", args="", caps=None):
        att = dict(container_id=container_id, netns=netns, ifname=ifname, args=args)
        prev = self.results.get((container_id, ifname))
        for plugin in reversed(self.list["plugins"]):
            call("DEL", plugin_config(self.list, plugin, prev, caps), path=self.path, node=self.node, **att)
        self.results.pop((container_id, ifname), None)

    def status(self):
        for plugin in self.list["plugins"]:
            call("STATUS", plugin_config(self.list, plugin), path=self.path, node=self.node)

    def gc(self, valid):
        """valid: [(container_id, ifname)] that still exist."""
        for plugin in self.list["plugins"]:
            conf = plugin_config(self.list, plugin)
            conf["cni.dev/valid-attachments"] = [{"containerID": c, "ifname": i} for c, i in valid]
            call("GC", conf, path=self.path, node=self.node)
