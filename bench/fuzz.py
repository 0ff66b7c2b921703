#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the fuzzers of tests/fuzz, one after the other, and counts executions and crashes.

    bench/fuzz.py                          # each for a minute, starting from the kept corpus
    bench/fuzz.py --seconds 10 kaldi onnx  # only these fuzzers
    bench/fuzz.py --executions 100000000   # repeat rounds until this many executions are reached in total
    bench/fuzz.py --minimise               # afterwards: add a minimal set of the new inputs to the kept corpus

`cmake --preset asan && cmake --build --preset asan --target ese_fuzzers` builds the fuzzers. Each run prints
a line of JSON (fuzz.executions.NAME). At the end come the sums fuzz.executions.NAME, fuzz.executions and
fuzz.crashes, which are also appended to --results. Inputs that reach new code are kept in BUILD/fuzz/corpus
from run to run. An input that crashes is written to BUILD/fuzz/crashes/NAME-*. The exit status is 1 if there
was a crash.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
KEPT = ROOT / "tests" / "fuzz" / "corpus"
# A small quarantine and short stacks make AddressSanitizer's allocator faster; both still find the errors.
ENVIRONMENT = {"ASAN_OPTIONS": "quarantine_size_mb=16:malloc_context_size=4:detect_stack_use_after_return=0"}
LIMITS = ["-timeout=20", "-rss_limit_mb=1024", "-malloc_limit_mb=512", "-print_final_stats=1", "-verbosity=1"]


class Fuzzer:
    """A fuzzer's program, its options, and the folders of its inputs."""

    def __init__(self, program):
        self.name, self._program = program.name, program
        self._options = program.with_suffix(".options").read_text().split()
        folder = program.parent
        self.found = folder / "corpus" / self.name
        self._crashes = folder / "crashes"
        for path in (self.found, self._crashes):
            path.mkdir(parents=True, exist_ok=True)

    def run(self, seconds):
        """Runs until the time is over. Returns the number of executions and the inputs that crashed.

        libFuzzer ends at a crash, so it is started again."""
        executions, crashes = 0, []
        end = time.monotonic() + seconds
        while (left := int(end - time.monotonic())) > 0:
            output = self._start([f"-max_total_time={left}", str(self.found), str(KEPT / self.name)])
            counts = re.findall(r"stat::number_of_executed_units: +(\d+)", output)
            executions += int(counts[-1]) if counts else 0
            crashed = re.findall(r"Test unit written to (\S+)", output)
            crashes += crashed
            if not crashed and counts:
                break
            log = self._crashes / f"{self.name}.log"
            log.write_text(output)
            print(f"{self.name}: {crashed or 'ended without an input'}; the log is {log}", file=sys.stderr)
            if not crashed or len(crashes) >= 20:
                crashes = crashes or ["no input was written"]
                break
        return executions, crashes

    def minimise(self):
        """Adds those of the found inputs to the kept corpus that extend its coverage."""
        kept = KEPT / self.name
        kept.mkdir(parents=True, exist_ok=True)
        self._start(["-merge=1", str(kept), str(self.found)])

    def _start(self, arguments):
        command = [self._program, *self._options, *LIMITS, f"-artifact_prefix={self._crashes}/{self.name}-",
                   *arguments]
        done = subprocess.run(command, env={**os.environ, **ENVIRONMENT}, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
        return done.stdout.decode(errors="replace")


def report(results, **line):
    text = json.dumps(line)
    print(text, flush=True)
    if results:
        with results.open("a") as file:
            file.write(text + "\n")


def campaign(fuzzers, arguments):
    """Runs rounds of all fuzzers, reports their sums, and returns the number of crashes."""
    executions = {fuzzer.name: 0 for fuzzer in fuzzers}
    crashes = {fuzzer.name: 0 for fuzzer in fuzzers}
    seconds = {fuzzer.name: 0.0 for fuzzer in fuzzers}
    while True:
        for fuzzer in fuzzers:
            begin = time.monotonic()
            count, found = fuzzer.run(arguments.seconds)
            seconds[fuzzer.name] += time.monotonic() - begin
            executions[fuzzer.name] += count
            crashes[fuzzer.name] += len(found)
            report(None, name=f"fuzz.executions.{fuzzer.name}", value=count, unit="executions",
                   crashes=found)
        if not arguments.executions or sum(executions.values()) >= arguments.executions:
            break
    for name, count in executions.items():
        report(arguments.results, name=f"fuzz.executions.{name}", value=count, unit="executions",
               seconds=round(seconds[name]), crashes=crashes[name])
    report(arguments.results, name="fuzz.executions", value=sum(executions.values()), unit="executions")
    report(arguments.results, name="fuzz.crashes", value=sum(crashes.values()), unit="inputs")
    return sum(crashes.values())


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="the fuzzers to run (default: all)")
    parser.add_argument("--seconds", type=int, default=60, help="how long each fuzzer runs in a round (default: 60)")
    parser.add_argument("--executions", type=int, help="repeat rounds until this many are reached in total")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "asan")
    parser.add_argument("--results", type=pathlib.Path, help="a file to which results are appended")
    parser.add_argument("--minimise", action="store_true", help="add found inputs to the kept corpus, and run nothing else")
    arguments = parser.parse_args()
    programs = sorted(path.with_suffix("") for path in (arguments.build / "fuzz").glob("*.options"))
    fuzzers = [Fuzzer(path) for path in programs
               if path.exists() and (not arguments.names or path.name in arguments.names)]
    if not fuzzers:
        sys.exit(f"found none of these fuzzers in {arguments.build}/fuzz; to build them: cmake --preset asan && "
                 "cmake --build --preset asan --target ese_fuzzers")
    if arguments.minimise:
        for fuzzer in fuzzers:
            fuzzer.minimise()
        return
    if campaign(fuzzers, arguments):
        sys.exit(1)


if __name__ == "__main__":
    main()
