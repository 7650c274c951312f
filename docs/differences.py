"""Collect every DIFFERS: comment of the sources into docs/differences.md.

    differences.py            write the file
    differences.py --check    fail when the file is not what the sources say
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/differences.md"
FOLDERS = ["lib", "model", "ipam", "policy", "bgp", "datastore", "dataplane", "agent", "cni-plugin", "ctl"]
HEAD = """# Where margay differs on purpose

From Calico, or from an RFC. Collected from the `DIFFERS:` comments of the sources by `docs/differences.py`; edit there.
"""


# At the beginning of a comment or of one of its lines or sentences; up to the comment's end, an empty line, or the
# next word in capitals that begins a part of a file's head (WHY, SHAPE, TESTS, ...).
MARK = re.compile(r"(?:/\*|\*|[.;])[ \t]+DIFFERS:(.*?)(?:\*/|\n[ \t]*\*?[ \t]*\n|\s(?=(?:WHY|SHAPE|COST|UNITS|INVARIANTS|ERRORS|LIMITS|SPEC|TESTS)\s))", re.S)


def sentences(text):
    """Each DIFFERS: comment, its lines joined."""
    for m in MARK.finditer(text):
        words = re.sub(r"\n[ \t]*\*[ \t]?", " ", m.group(1))
        yield " ".join(words.split())


def page():
    lines = [HEAD]
    for folder in FOLDERS:
        found = [(p, s) for p in sorted((ROOT / folder).rglob("*.[ch]")) for s in sentences(p.read_text())]
        if found:
            lines.append(f"## {folder}\n")
            lines += [f"- {s} (`{p.relative_to(ROOT)}`)" for p, s in found]
            lines.append("")
    return "\n".join(lines)


def main(argv):
    if "--check" in argv:
        if PAGE.read_text() == page():
            return 0
        print("docs/differences.md is not what the sources say: run docs/differences.py")
        return 1
    PAGE.write_text(page())
    return 0


sys.exit(main(sys.argv[1:]))
