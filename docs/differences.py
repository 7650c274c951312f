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


def sentences(text):
    """(line number, sentence) of each DIFFERS: comment, its lines joined, up to the comment's end or an empty line."""
    for m in re.finditer(r"DIFFERS:(.*?)(?:\*/|\n[ \t]*\*?[ \t]*\n)", text, re.S):
        words = re.sub(r"\n[ \t]*\*[ \t]?", " ", m.group(1))
        yield text.count("\n", 0, m.start()) + 1, " ".join(words.split())


def page():
    lines = [HEAD]
    for folder in FOLDERS:
        found = [(p, s) for p in sorted((ROOT / folder).glob("*.[ch]")) for _, s in sentences(p.read_text())]
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
