"""Add up test results: prints 'PASSED FAILED SKIPPED'.

    sums.py BUILD/meson-logs/testlog.json    meson's log: a line a program; cmocka's sums are in its output
    sums.py FILE                             a JUnit file (pytest)

A missing, empty or unreadable file is one failure: silence must not count as success.
"""

import json
import re
import sys
import xml.etree.ElementTree as ET


def cmocka(text, word):
    """The sum of cmocka's '[  WORD  ] N test(s)' lines."""
    return sum(int(n) for n in re.findall(rf"^\[\s*{word}\s*\]\s+(\d+) test", text, re.M))


def program(row):
    """One program of meson's log; a program without cmocka's lines counts as one test."""
    text = row.get("stdout", "") + row.get("stderr", "")
    passed, skipped = cmocka(text, "PASSED"), cmocka(text, "SKIPPED")
    if row["result"] == "OK":
        return max(passed, 1), 0, skipped
    if row["result"] == "SKIP":
        return 0, 0, max(skipped, 1)
    return passed, max(cmocka(text, "FAILED"), 1), skipped


def junit(path):
    for case in ET.parse(path).getroot().iter("testcase"):
        failed = case.find("failure") is not None or case.find("error") is not None
        skipped = case.find("skipped") is not None
        yield int(not failed and not skipped), int(failed), int(skipped)


def rows(path):
    with open(path, encoding="utf-8") as f:
        if f.read(1) == "<":
            return list(junit(path))
        f.seek(0)
        return [program(json.loads(line)) for line in f]


def main(path):
    try:
        found = rows(path)
    except (OSError, ValueError, KeyError, ET.ParseError):
        found = []
    print(*(sum(column) for column in zip(*found)) if found else (0, 1, 0))


main(sys.argv[1])
