"""Who may include whom. The arrows of the tree, read from the #include lines.

lib <- model <- {ipam, policy};  lib <- bgp;  core <- {datastore, dataplane};  all <- agent;
ctl: lib, model, ipam, datastore;  cni-plugin: lib and dataplane's pod set-up files.
Core folders include no header of the system that acts: no sockets, no clock, no event loop, no netlink.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CORE = {"lib", "model", "ipam", "policy", "bgp"}
MAY = {
    "lib": {"lib"},
    "model": {"lib", "model"},
    "ipam": {"lib", "model", "ipam"},
    "policy": {"lib", "model", "policy"},
    "bgp": {"lib", "bgp"},
    "datastore": CORE | {"datastore"},
    "dataplane": CORE | {"dataplane"},
    "agent": CORE | {"datastore", "dataplane", "agent"},
    "ctl": {"lib", "model", "policy", "ipam", "datastore", "ctl"},
    "cni-plugin": {"lib", "dataplane", "cni-plugin"},
}
# Headers that act on the world; a core folder has no business with them.
ACTING = re.compile(r"^(event2/|netlink/|curl/|sqlite3|sys/socket|sys/epoll|sys/un|time\.h|unistd\.h|fcntl\.h|"
                    r"pthread|signal|sys/wait|libsmartcols)")
# lib is also the place of the few edges that everybody shares; each is named here with its reason.
ALLOWED = {
    ("lib/addr.c", "sys/socket.h"): "sockaddr conversion, no call",
    ("lib/base.c", "unistd.h"): "close in a clean-up helper",
}
INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]')


def check(path):
    folder = path.parts[0]
    for n, line in enumerate((ROOT / path).read_text().splitlines(), 1):
        m = INCLUDE.match(line)
        if not m:
            continue
        quote, what = m.groups()
        if quote == '"':
            target = what.split("/")[0]
            if "/" not in what or not (ROOT / what).exists():
                yield f"{path}:{n}: \"{what}\": write it from the root of the tree, as \"{folder}/{what}\""
            elif target not in MAY[folder]:
                yield f"{path}:{n}: {folder} may include {', '.join(sorted(MAY[folder]))}; not {target}"
        elif folder in CORE and ACTING.match(what) and (str(path), what) not in ALLOWED:
            yield f"{path}:{n}: <{what}> acts on the world; {folder} is pure"


def main():
    files = [p.relative_to(ROOT) for d in MAY for p in sorted((ROOT / d).glob("**/*.[ch]"))]
    problems = [p for f in files for p in check(f)]
    print("\n".join(problems) or f"{len(files)} files, every include goes where it may")
    return 1 if problems or len(files) < 10 else 0


sys.exit(main())
