"""Words that the tree must not hold: unfinished work behind a finished door, line comments in C, sleeps in tests."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().relative_to(ROOT)
RULES = [
    (r".*\.[ch]$", r"^[^\"]*(?<!:)//", "line comment: prose goes in /* */"),
    (r".*\.([ch]|py|sh|md)$", r"\b(TODO|FIXME|XXX)\b", "unfinished: finish it, or take the door off"),
    (r"tests/.*\.(py|c)$", r"\btime\.sleep\(|\busleep\(|\bsleep\([0-9]", "a test waits for a condition, never for a time"),
]


def tracked():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    return [f for f in listed if f != str(HERE) and (ROOT / f).is_file() and "/corpus/" not in f]


def main():
    files = tracked()
    problems = []
    for f in files:
        for where, what, why in RULES:
            if not re.fullmatch(where, f):
                continue
            for n, line in enumerate((ROOT / f).read_text(errors="replace").splitlines(), 1):
                if re.search(what, line):
                    problems.append(f"{f}:{n}: {why}: {line.strip()[:100]}")
    print("\n".join(problems) or f"{len(files)} files read")
    return 1 if problems or not files else 0


sys.exit(main())
