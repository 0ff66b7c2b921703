#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the tables and plots of docs/ese_paper.md from the benchmark's figures.

    ./run bench ese_paper | bench/ese_paper/page.py
"""
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))
from bench import performance  # noqa: E402
from tools import plot  # noqa: E402

PAGE = ROOT / "docs" / "ese_paper.md"
BEGIN, END = "<!-- tables: bench/ese_paper/page.py -->", "<!-- end of tables -->"
READING = 0.1  # the error with which the paper's plot can be read
MATRICES = ("Wix", "Wfx", "Wcx", "Wox", "Wir", "Wfr", "Wcr", "Wor", "Wym", "none")
CYCLES = (
    ("words", "the longest PE's entries, one a cycle (the paper's theoretical time)"),
    ("out_of_step", "PEs waiting for each other, and one cycle for each empty column"),
    ("pass_beside_product", "element-wise passes, where they outlast the product beside them"),
    ("pass_alone", "passes with no product beside them: o, and m before Wym"),
    ("latency", "filling the pipeline, 48 cycles per state (fitted)"),
    ("memory", "waiting for Wir's load, which outlasts the state before it"),
)
ASSUMPTIONS = (
    ("no_latency", "states have no latency (0 cycles instead of 48)"),
    ("two_elements_a_cycle", "passes take two elements per cycle"),
    ("empty_columns_free", "empty columns cost a PE nothing"),
    ("one_memory_module", "only one of the two memory modules"),
    ("memory_at_80_percent", "memory reaches 80 % of its peak instead of 90 %"),
    ("ideal_memory", "memory never causes a wait"),
    ("spread_x0", "all rows and columns are alike"),
)
SPEEDUP_ASSUMPTIONS = (
    ("ideal_memory", "memory never causes a wait"),
    ("spread_x0", "all rows and columns are alike"),
    ("spread_x2", "rows and columns are twice as unequal as measured"),
    ("spread_x3", "rows and columns are three times as unequal as measured"),
)


class Figures:
    def __init__(self, lines):
        self._by_name = {f["name"]: f for f in map(json.loads, lines)}

    def value(self, name):
        return self._by_name["ese_paper." + name]["value"]

    def paper(self, name):
        return self._by_name["ese_paper." + name].get("peer_value")

    def percents(self):
        prefix = "ese_paper.speedup.balanced."
        return [int(n[len(prefix):]) for n in self._by_name if n.startswith(prefix)]


def off(ours, paper):
    return f"{100 * (ours / paper - 1):+.1f} %"


def headline(f):
    table = [["figure", "model", "paper", "difference"]]
    for title, name, unit in (("theoretical", "theoretical_us", "us"),
                              ("theoretical, 10 % of weights kept", "ten_percent.theoretical_us", "us"),
                              ("real", "real_us", "us"),
                              ("speed-up, balanced, 90 % pruned", "speedup.balanced.90", "x"),
                              ("speed-up, unbalanced, 90 % pruned", "speedup.unbalanced.90", "x")):
        ours, paper = f.value(name), f.paper(name)
        table.append([title, f"{ours:.2f} {unit}", f"{paper:.2f} {unit}", off(ours, paper)])
    return performance.rows(table)


def matrices(f):
    table = [["matrix", "words", "paper's words", "real us", "paper's real us", "difference"]]
    for name in MATRICES:
        ours, paper = f.value(f"matrix.{name}.real_us"), f.paper(f"matrix.{name}.real_us")
        words = [f"{f.value(f'matrix.{name}.words'):.0f}",
                 f"{f.paper(f'matrix.{name}.words'):.0f}"] if name != "none" else ["", ""]
        table.append([name, *words, f"{ours:.2f}", f"{paper:.2f}", off(ours, paper)])
    return performance.rows(table)


def cycles(f):
    total = sum(f.value(f"cycles.{name}") for name, _ in CYCLES)
    table = [["cycles", "us", "spent on"]]
    for name, what in CYCLES:
        value = f.value(f"cycles.{name}")
        table.append([f"{value:.0f}", f"{value / 200:.2f}", what])
    table.append([f"{total:.0f}", f"{total / 200:.2f}", "the whole step"])
    return performance.rows(table)


def queues(f):
    table = [["depth", "step, us", "PEs busy during products, %"]]
    for depth in (1, 2, 4, 6, 8, 12, 16):
        table.append([str(depth), f"{f.value(f'queue.{depth}.real_us'):.1f}",
                      f"{f.value(f'queue.{depth}.busy'):.1f}"])
    return performance.rows(table)


def speedups(f):
    table = [["pruned", "balanced", "paper's", "unbalanced", "paper's"]]
    for percent in f.percents():
        row = [f"{percent} %"]
        for pruning in ("balanced", "unbalanced"):
            name = f"speedup.{pruning}.{percent}"
            paper = f.paper(name)
            row += [f"{f.value(name):.2f}", f"{paper:g}" if paper else ""]
        table.append(row)
    return performance.rows(table)


def assumptions(f):
    table = [["assumption", "step, us"], ["the model's own", f"{f.value('real_us'):.1f}"]]
    for name, what in ASSUMPTIONS:
        table.append([what, f"{f.value(f'if.{name}.real_us'):.1f}"])
    return performance.rows(table)


def speedup_assumptions(f):
    table = [["assumption", "dense, us", "balanced, 90 %", "unbalanced, 90 %", "unbalanced/balanced"]]
    rows = [("the model's own", "")] + [(what, f"if.{name}.") for name, what in SPEEDUP_ASSUMPTIONS]
    for what, prefix in rows:
        even = f.value(prefix + "speedup.balanced.90")
        uneven = f.value(prefix + "speedup.unbalanced.90")
        table.append([what, f"{f.value(prefix + 'dense_us'):.1f}", f"{even:.2f}", f"{uneven:.2f}", f"{uneven / even:.3f}"])
    even, uneven = f.paper("speedup.balanced.90"), f.paper("speedup.unbalanced.90")
    table.append(["the paper", f"{even * f.paper('real_us'):.1f}", f"{even:.2f}", f"{uneven:.2f}", f"{uneven / even:.3f}"])
    return performance.rows(table)


def draw(f):
    series = {}
    for pruning in ("balanced", "unbalanced"):
        names = [(p, f"speedup.{pruning}.{p}") for p in f.percents()]
        series[f"model, {pruning}"] = [(p, f.value(n)) for p, n in names]
        series[f"paper, {pruning}"] = [(p, f.paper(n), f.paper(n) - READING, f.paper(n) + READING)
                                       for p, n in names if f.paper(n)]
    plot.write(PAGE.with_name("ese_paper_speedup.svg"), "Speed-up over the dense network",
               "weights pruned, %", "times", series, from_zero=True)
    depths = range(1, 17)
    plot.write(PAGE.with_name("ese_paper_queue.svg"), "Time of a step, by the depth of the ActQueues",
               "activations that a queue holds", "us",
               {"model": [(d, f.value(f"queue.{d}.real_us")) for d in depths],
                "paper, 8 deep": [(8, f.paper("real_us"))]})


def tables(f):
    for title, lines in (("In short", headline(f)), ("Matrix by matrix", matrices(f)),
                         ("Where the cycles go", cycles(f)),
                         ("The depth of the queues", queues(f)),
                         ("Speed-up by the share pruned", speedups(f)),
                         ("Other assumptions: the step", assumptions(f)),
                         ("Other assumptions: the speed-up", speedup_assumptions(f))):
        yield from (f"### {title}", "", *lines, "")
    yield (f"Steps of five networks with different random weights, 90 % pruned, differ by up to "
           f"{f.value('seeds.balanced.90.range_us'):.1f} us (balanced) and "
           f"{f.value('seeds.unbalanced.90.range_us'):.1f} us (unbalanced).")


def main():
    figures = Figures(sys.stdin)
    draw(figures)
    page = PAGE.read_text()
    before, after = page[:page.index(BEGIN)], page[page.index(END):]
    PAGE.write_text("\n".join([before + BEGIN, "", *tables(figures), "", after]))


if __name__ == "__main__":
    main()
