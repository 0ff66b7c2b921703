#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws the plot of docs/scheduling.md from the figures of ./run bench scheduler.

    ./run bench scheduler > build/scheduler.jsonl
    bench/scheduling.py build/scheduler.jsonl     # writes docs/scheduling.svg"""
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from tools import plot  # noqa: E402

LINES = {"p50_wait_ms": "wait, median", "p99_wait_ms": "wait, 99 %", "p999_wait_ms": "wait, 99.9 %",
         "p99_latency_ms": "to the result, 99 %"}


def main(path):
    series = {}
    for line in pathlib.Path(path).read_text().splitlines():
        figure = json.loads(line)
        _, name, *load = figure["name"].split(".", 2)
        try:
            point = (float(load[0]), figure["value"])
        except (IndexError, ValueError):
            continue
        if name in LINES:
            series.setdefault(LINES[name], []).append(point)
    plot.write(ROOT / "docs" / "scheduling.svg", "100,000 streams on 68 simulated channels",
               "load: frames sent / frames the channels can compute", "ms", series, log_y=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
