#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`./run bench cards` runs emulated FPGA cards at the pace of real ones, for about three minutes.

It prints each figure as a line of JSON on standard output, and its progress on standard error. Its parts:

    pace    1, 2, 4 and 8 cards of four compute units, always busy (ese-bench-cards)
    fault   500 real-time streams through ese-server on four cards and a CPU channel, while a unit hangs,
            bits flip, and a card disappears and comes back"""
import argparse
import collections
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from tools import server_ready  # noqa: E402

BUILD = ROOT / "build" / "release"
BIN = BUILD / "bin"
EMULATED = BUILD / "emu"
STREAMS = 500
PHASE_SECONDS = 6
# The fault in each phase. {unit} and {card} are those with the most batches in the phase before, because the
# CPU channel takes most of this load, and a fault of a unit that gets no batch would show nothing.
PHASES = (("before", ""), ("hang", "{unit} hang"), ("flip", "{unit} flip"), ("gone", "{card} gone"),
          ("back", ""))


def say(message):
    print(message, file=sys.stderr, flush=True)


def figure(name, value, unit, **more):
    value = round(value, 3) if isinstance(value, float) else value
    print(json.dumps({"name": f"cards.{name}", "value": value, "unit": unit, **more}), flush=True)


def bench_pace():
    subprocess.run([BIN / "ese-bench-cards", EMULATED], check=True)


def set_faults(path, faults):
    """Replaces the file in one step, so that nobody reads half of it."""
    new = path.with_suffix(".new")
    new.write_text(faults + "\n")
    new.rename(path)


def start_server(work, model, faults):
    ready, log = work / "ready", work / "server.log"
    environment = {**os.environ, "XILINX_XRT": str(EMULATED), "ESE_EMU_CARDS": "4",
                   "ESE_EMU_CLOCK_MHZ": "200", "ESE_EMU_PCIE_GBPS": "12",
                   "ESE_EMU_FAULT_FILE": str(faults)}
    with open(log, "wb") as out:
        server = subprocess.Popen(
            [BIN / "ese-server", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--ready-file",
             ready, "--channels", "cpu:1,xrt:all", "--xclbin", EMULATED / "ese_channel.xclbin",
             "--model", model, "--max-load", "0"],
            stdout=out, stderr=out, env=environment)
    return server, server_ready.wait_until_ready(server, ready, log), log


def read_counters(metrics, name, label):
    """Returns a counter's values by one of its labels, summed over the others."""
    with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=10) as reply:
        lines = reply.read().decode().splitlines()
    counters = collections.Counter()
    for line in lines:
        if match := re.match(name + r'{.*\b' + label + r'="([^"]+)".*} (\S+)', line):
            counters[match[1]] += int(float(match[2]))
    return counters


def batches_of_units(metrics):
    """Returns the number of batches of each CARD.UNIT."""
    units = collections.Counter()
    for channel, batches in read_counters(metrics, "ese_batches_total", "channel").items():
        if channel.startswith("xrt"):
            units[channel[3:].rpartition(".")[0]] += batches
    return units


def bench_fault():
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        model, faults, report = work / "paper.ese", work / "faults", work / "report.json"
        set_faults(faults, "")
        subprocess.run([BIN / "ese-bench-model", model], check=True)
        server, addresses, log = start_server(work, model, faults)
        load = None
        try:
            ramp = 4
            load = subprocess.Popen(
                [str(part) for part in (
                    BIN / "ese-load", "--server", addresses["grpc"], "--frame-ms", 10, "--chunk-ms", 100,
                    "--streams", STREAMS, "--ramp", ramp, "--seconds",
                    PHASE_SECONDS * len(PHASES), "--return", "posteriors", "--verify", "--report",
                    report)], stdout=sys.stderr)
            time.sleep(ramp)
            batches = batches_of_units(addresses["metrics"])
            unit = "0.0"
            for name, fault in PHASES:
                lines = fault.format(unit=unit, card=unit.partition(".")[0])
                say(f"{name}: {lines or 'no fault'}")
                set_faults(faults, lines)
                time.sleep(PHASE_SECONDS)
                before, batches = batches, batches_of_units(addresses["metrics"])
                if busiest := (batches - before).most_common(1):
                    unit = busiest[0][0]
            counted = {kind: count for kind, count in
                       read_counters(addresses["metrics"], "ese_card_faults_total", "kind").items() if count}
            load.wait(timeout=120)
        finally:
            for process in (load, server):
                if process and process.poll() is None:
                    process.kill()
                    process.wait()
            say(log.read_text())
        print_faults(json.loads(report.read_text()), counted)


def print_faults(report, counted):
    figure("fault.lost_streams", report["streams"] - report["completed"], "streams",
           streams=report["streams"], faults=counted)
    figure("fault.different_bits", report["differing"], "streams",
           unverified=report["unverified"], frames_verified=report["frames_verified"])
    seconds = [second["p99_ms"] for second in report["timeline"]]
    by_phase = {name: seconds[k * PHASE_SECONDS:(k + 1) * PHASE_SECONDS]
                for k, (name, _) in enumerate(PHASES)}
    during = [p99 for name, _ in PHASES[1:-1] for p99 in by_phase[name]]
    figure("fault.p99_ms", statistics.median(during), "ms", worst_second=max(during),
           before=statistics.median(by_phase["before"]), after=statistics.median(by_phase["back"]),
           **{name: max(by_phase[name]) for name, _ in PHASES[1:-1]})


def main():
    parts = {"pace": bench_pace, "fault": bench_fault}
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of {', '.join(parts)} (default: all)")
    chosen = parser.parse_args().parts or list(parts)
    if unknown := [part for part in chosen if part not in parts]:
        parser.error(f"no part is called {unknown[0]}; choose from {', '.join(parts)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # runs every finally
    for part in chosen:
        say(f"== {part}")
        parts[part]()


if __name__ == "__main__":
    main()
