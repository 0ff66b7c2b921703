#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Estimates with Yosys how much of an UltraScale FPGA ese_channel takes.

    estimate.py run       maps every module of the full-size kernel once (five minutes on an idle core); prints
                          figures as lines of JSON on standard output, and tables on standard error
    estimate.py record    does the same and keeps the figures in results.json
    estimate.py table     writes the tables of docs/hardware/performance.md from results.json
    estimate.py check     reads a small kernel and maps its arithmetic, to test that Yosys can read the sources

Each module is mapped once, alone, and counted as often as it is used. So nothing is optimised across modules,
and the run needs no more memory than the largest module. Netlists are kept in build/synth, so a run that was
stopped continues. Nothing is placed or routed: no timing closure is claimed."""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys

from netlist import FIGURES, Netlist

RTL = pathlib.Path(__file__).resolve().parent.parent
RESULTS = pathlib.Path(__file__).resolve().parent / "results.json"
KEPT = RTL.parent.parent / "build" / "synth"
TOP = "ese_channel"
# Modules that take long, with their approximate seconds.
SLOW = {"ese_channel": 20, "ese_drain": 30, "ese_act_mem": 60, "ese_array": 70}
SMALL = {"PES": 8, "LANES": 16, "V_DEPTH": 256, "M_DEPTH": 128, "CELLS": 32, "ROWS": 256, "PASSES": 8,
         "READ_DEPTH": 64, "WRITE_DEPTH": 64}
PAPER = {"lut": 293_920, "ff": 453_068, "dsp": 1_504, "bram36": 947}
KU060 = {"lut": 331_680, "ff": 663_360, "dsp": 2_760, "bram36": 1_080, "uram": 0}
PAGE = RTL.parent.parent / "docs" / "hardware" / "performance.md"
BEGIN, END = "<!-- tables: accel/rtl/synth/estimate.py -->", "<!-- end of tables -->"
TIMEOUT_SECONDS = 3600


def yosys(script, folder):
    path = folder / "script.ys"
    path.write_text("\n".join(script) + "\n")
    done = subprocess.run(["yosys", "-q", "-s", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=TIMEOUT_SECONDS)
    if done.returncode != 0:
        errors = [line for line in done.stdout.splitlines() if "ERROR" in line]
        sys.exit("estimate.py: Yosys failed:\n" + "\n".join(errors or done.stdout.splitlines()[-5:]))


def elaborate(folder, parameters):
    """Writes the design with its parameters set, and returns {module: {modules it uses}}."""
    # A package is read before its users.
    ordered = sorted(RTL.glob("ese_*.sv"), key=lambda path: (path.name != "ese_pkg.sv", path.name))
    sources = " ".join(map(str, ordered))
    settings = " ".join(f"-set {name} {value}" for name, value in parameters.items())
    yosys([f"read_verilog -sv -DSYNTHESIS -I{RTL} {sources}",
           *([f"chparam {settings} {TOP}"] if parameters else []),
           f"hierarchy -check -top {TOP}", f"write_rtlil {folder / 'design.il'}"], folder)
    uses, module = {}, None
    for line in (folder / "design.il").read_text().splitlines():
        if found := re.match(r"module (\S+)", line):
            module = found[1]
            uses[module] = set()
        elif found := re.match(r"  cell (\S+)", line):
            uses[module].add(found[1])
    return {module: cells & set(uses) for module, cells in uses.items()}


def map_module(folder, module, children):
    """Maps one module, with its submodules as black boxes, and returns the path of the netlist."""
    own = folder / hashlib.sha1(module.encode()).hexdigest()
    if not (own / "netlist.json").exists():
        own.mkdir(exist_ok=True)
        yosys([f"read_rtlil {folder / 'design.il'}", f"hierarchy -top {module}",
               *(f"blackbox {child}" for child in children),
               f"synth_xilinx -family xcu -top {module} -noiopad -noclkbuf",
               f"write_json {own / 'unfinished.json'}"], own)
        (own / "unfinished.json").rename(own / "netlist.json")
    return own / "netlist.json"


def folder_of(parameters):
    """Returns the folder of this design's netlists, named after its sources, its parameters and this script."""
    digest = hashlib.sha1(json.dumps(parameters).encode())
    for path in sorted([*RTL.glob("ese_*.sv*"), pathlib.Path(__file__)]):
        digest.update(path.read_bytes())
    folder = KEPT / digest.hexdigest()[:12]
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def map_design(parameters, wanted=lambda module: True):
    folder = folder_of(parameters)
    uses = {module: children for module, children in elaborate(folder, parameters).items()
            if wanted(module)}
    netlist = Netlist()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = {pool.submit(map_module, folder, module, uses[module]): module
                for module in sorted(uses, key=lambda module: SLOW.get(block(module), 0))}
        for job in concurrent.futures.as_completed(jobs):
            netlist.add(jobs[job].removeprefix("\\"), job.result())
            print(f"mapped {block(jobs[job])}", file=sys.stderr)
    return netlist


def block(module):
    """Returns ese_pe for $paramod$..\\ese_pe."""
    return re.search(r"ese_\w+", module)[0]


def measure():
    """Returns [{"block", "instances", "depth", figures of one instance with its submodules}] in the order of the
    files, the kernel last. Blocks with several parameter sets have several rows."""
    netlist = map_design({})
    instances = netlist.instances(TOP)
    instances[TOP] = 1
    rows = [{"block": block(module), "instances": count, "depth": netlist.depth(module),
             **{figure: netlist.total(module)[figure] for figure in FIGURES}}
            for module, count in instances.items()]
    return sorted(rows, key=lambda row: (row["block"] == TOP, row["block"], -row["bram36"]))


def whole_of(rows):
    (whole,) = [row for row in rows if row["block"] == TOP]
    return whole


def print_figures(rows):
    whole = whole_of(rows)
    for figure in FIGURES:
        print(json.dumps({"name": f"synth.{figure}", "value": whole[figure], "unit": "1"}))
    print(json.dumps({"name": "synth.logic_depth", "value": whole["depth"], "unit": "levels"}))


def markdown(table):
    line = lambda row: "| " + " | ".join(row) + " |"
    return [line(table[0]), "|" + "---|" * len(table[0]), *map(line, table[1:])]


def cells_of(values):
    return [f"{values[figure]:,g}" if figure in values else "" for figure in FIGURES]


def doubled(rows):
    """Returns the figures of 64 PEs with 64 lanes: the PEs and replicas of the activations twice, all else once."""
    per_pe = [row for row in rows if row["block"] in ("ese_pe", "ese_act_mem")]
    return {figure: whole_of(rows)[figure] + sum(row["instances"] * row[figure] for row in per_pe)
            for figure in FIGURES}


def tables(rows):
    blocks = [["block, with its submodules", "used", "LUT", "FF", "DSP", "BRAM36", "URAM", "levels"]]
    blocks += [[f"`{row['block']}`", str(row["instances"]), *cells_of(row), str(row["depth"])]
               for row in rows]
    machines = [["", "LUT", "FF", "DSP", "BRAM36", "URAM"], ["`ese_channel`, 64 lanes", *cells_of(whole_of(rows))],
                ["ESE, 32 lanes (paper)", *cells_of(PAPER)], ["XCKU060 has", *cells_of(KU060)],
                ["64 PEs with 64 lanes, about", *cells_of(doubled(rows))]]
    return [*markdown(machines), "", *markdown(blocks)]


def write_page(rows):
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(before + "\n".join([BEGIN, "", *tables(rows), "", END]) + after)


if __name__ == "__main__":
    verb = sys.argv[1] if len(sys.argv) == 2 else ""
    if verb == "check":
        map_design(SMALL, lambda module: block(module) in ("ese_mac", "ese_tanh"))
    elif verb in ("run", "record"):
        measured = measure()
        print_figures(measured)
        print("\n".join(tables(measured)) + "\nNothing is placed or routed: no timing closure is claimed.",
              file=sys.stderr)
        if verb == "record":
            RESULTS.write_text(json.dumps(measured, indent=1) + "\n")
    elif verb == "table":
        write_page(json.loads(RESULTS.read_text()))
    else:
        sys.exit(__doc__)
