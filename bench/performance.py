#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the tables and plots of docs/performance.md from measurements.

    bench/performance.py record   runs ./run bench kernel and ./run bench peers and keeps their figures
                                  in bench/results/kernel-<processor>.jsonl
    bench/performance.py table    writes the tables between the markers in docs/performance.md, and
                                  its plots, from every file there

The first line of a results file says what was measured and how. The benchmarks' JSON lines follow."""
import datetime
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from tools import plot  # noqa: E402

RESULTS = ROOT / "bench" / "results"
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- tables: bench/performance.py -->", "<!-- end of tables -->"
COMMANDS = (("./run", "bench", "kernel"), ("./run", "bench", "peers"))


def processor():
    """Returns a name such as "AMD EPYC, family 26, model 2"; the brand alone may say little."""
    fields = {}
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    return (f"{fields['model name']}, family {fields['cpu family']}, model {fields['model']}")


def record():
    name = processor()
    lines = [json.dumps({"processor": name, "cpus": os.cpu_count(),
                         "date": datetime.date.today().isoformat(),
                         "load_average": round(os.getloadavg()[0], 1),
                         "commands": [" ".join(command) for command in COMMANDS]})]
    for command in COMMANDS:
        output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        lines += output.stdout.splitlines()
    RESULTS.mkdir(exist_ok=True)
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    path = RESULTS / f"kernel-{slug}.jsonl"
    path.write_text("\n".join(lines) + "\n")
    print(path.relative_to(ROOT))


def rows(table):
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    line = lambda row: "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths)) + " |"
    return [line(table[0]), "|" + "|".join("-" * (w + 2) for w in widths) + "|"] + [
        line(row) for row in table[1:]]


def number(value):
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def spread(figure):
    return f"{number(figure['p10'])}-{number(figure['p90'])}"


def steps_table(figures):
    """Returns a table with a row for each number of lanes and a column of ratios for each peer."""
    steps = [f for f in figures if re.fullmatch(r"kernel\.step\d+\.1t", f["name"])]
    peers = list(dict.fromkeys(f["peer"] for f in steps))
    table = [["lanes", "us per step", "10-90 %", "frames/s", "us by itself"] + peers]
    lanes = lambda f: int(re.findall(r"\d+", f["name"])[0])
    for n in sorted({lanes(f) for f in steps}):
        mine = {f["peer"]: f for f in steps if lanes(f) == n}
        ours = next(iter(mine.values()))
        alone = [f["value"] for f in mine.values() if "peer_value" in f]
        table.append([str(n), number(ours["value"]), spread(ours),
                      f"{n * 1e6 / ours['value']:,.0f}",
                      number(statistics.median(alone)) if alone else ""] +
                     [number(mine[p]["ratio"]) + "x" if p in mine else "" for p in peers])
    return rows(table)


def against_dense_table(figures, prefix, title):
    table = [[title, "us at 64 lanes", "10-90 %", "oneDNN fp32 dense"]]
    for f in figures:
        if f["name"].startswith(prefix) and "peer" in f:
            table.append([f["name"][len(prefix):], number(f["value"]), spread(f),
                          number(f["ratio"]) + "x"])
    return rows(table)


def other_table(figures):
    table = [["figure", "value", "unit"]]
    for f in figures:
        if "peer" not in f and not f["name"].startswith("kernel.isa."):
            table.append([f["name"], f"{f['value']:.3g}", f["unit"]])
    return rows(table)


def plots(slug, name, figures):
    """Plots us per step against lanes, for every kernel and for the fastest kernel beside its peers."""
    kernels, rivals = {}, {}
    for f in figures:
        if match := re.fullmatch(r"kernel\.isa\.(\w+)\.step(\d+)", f["name"]):
            kernels.setdefault(match[1], []).append((int(match[2]), f["value"]))
        elif match := re.fullmatch(r"kernel\.step(\d+)\.1t", f["name"]):
            lanes = int(match[1])
            if f["peer"] == "onednn-fp32-gemm":
                rivals.setdefault("this project", []).append((lanes, f["value"]))
            if not f["peer"].startswith("ort-") or f["peer"].endswith("-seq20"):
                rivals.setdefault(f["peer"], []).append(
                    (lanes, f.get("peer_value", f["value"] * f["ratio"])))
    lines = []
    for kind, title, series in (("kernels", "every kernel", kernels),
                                ("peers", "the fastest kernel and its peers", rivals)):
        svg = f"performance-{kind}-{slug}.svg"
        plot.write(PAGE.parent / svg, f"One step of the paper's LSTM: {title}", "lanes", "us per step",
                   series, log_x=True, log_y=True)
        lines += [f"![us per step against lanes, {name}: {title}]({svg})", ""]
    return lines


def section(path):
    head, *figures = [json.loads(line) for line in path.read_text().splitlines()]
    return [
        f"## {head['processor']}", "",
        f"Measured on {head['date']} by `" + "` and `".join(head["commands"]) + "` on a virtual "
        f"machine of {head['cpus']} processors, whose load average was {head['load_average']} at the "
        f"start. The figures are kept in `bench/results/{path.name}`.", "",
        "### One step of the paper's LSTM, one thread", "",
        "The last columns say how many times as long each peer takes in the same rounds.", "",
        *steps_table(figures), "",
        *plots(path.stem.removeprefix("kernel-"), head["processor"], figures),
        "### Kernels", "", *against_dense_table(figures, "kernel.isa.", "kernel"), "",
        "### Densities, percent", "", *against_dense_table(figures, "kernel.density.", "density"),
        "", "### Other models", "", *against_dense_table(figures, "kernel.shape.", "model"), "",
        "### Bounds and other figures", "", *other_table(figures), ""]


def table():
    lines = []
    for path in sorted(RESULTS.glob("kernel-*.jsonl")):
        lines += section(path)
    page = PAGE.read_text()
    before, after = page[:page.index(BEGIN)], page[page.index(END):]
    PAGE.write_text(before + BEGIN + "\n\n" + "\n".join(lines) + "\n" + after)


if __name__ == "__main__":
    verbs = {"record": record, "table": table}
    if len(sys.argv) != 2 or sys.argv[1] not in verbs:
        sys.exit(__doc__)
    verbs[sys.argv[1]]()
