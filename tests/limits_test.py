#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""limits_test.py SERVER: checks the flags and the tests that docs/limits.md names.

Each flag must be in the server's --help, with the default that follows it in parentheses on the page, if one does.
Each test must be a target or a test of the build files."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "limits.md"


def defaults(help_text):
    """Returns each flag's default; None for a flag without one."""
    found = {}
    for part in re.split(r"\n {2}(?=--)", help_text):
        if flag := re.match(r"--[a-z-]+", part):
            default = re.search(r"default\s+([^;)\s]+)", part)
            found[flag.group()] = default.group(1) if default else None
    return found


def faults_of_flags(page, known):
    flags = re.findall(r"`(--[a-z-]+)`(?: \(([0-9.]+)[:)])?", page)
    if len(flags) < 10:
        yield "the page names hardly any flag, so this test does not understand it"
    for flag, stated in flags:
        if flag not in known:
            yield f"ese-server --help has no {flag}"
        elif stated and stated != known[flag]:
            yield f"{flag}: the page says {stated}, --help says {known[flag]}"


def faults_of_tests(page):
    build_files = "\n".join(path.read_text() for path in ROOT.glob("[a-z]*/**/CMakeLists.txt") if "build" not in path.parts)
    known = set(re.findall(r"NAME (\w+_test)\b", build_files))
    for names in re.findall(r"foreach\(test ([^)]*)\)", build_files):
        known |= {f"{name}_test" for name in names.split()}
    tests = set(re.findall(r"`(\w+_test)`", page)) - {"limits_test"}
    if len(tests) < 10:
        yield "the page names hardly any test, so this test does not understand it"
    for name in sorted(tests - known):
        yield f"there is no test {name}"


def main():
    page = PAGE.read_text()
    help_text = subprocess.run([sys.argv[1], "--help"], capture_output=True, text=True, check=True).stdout
    faults = [*faults_of_flags(page, defaults(help_text)), *faults_of_tests(page)]
    for fault in faults:
        print(f"docs/limits.md: {fault}")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
