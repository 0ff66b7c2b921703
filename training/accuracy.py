#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Computes what compression costs in accuracy, from the files in training/results.

    training/accuracy.py figures   prints a line of JSON for each figure (./run bench accuracy)
    training/accuracy.py page      writes the plots of docs/accuracy.md, and the tables between its markers
"""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from training import accuracy_page  # noqa: E402  pylint: disable=wrong-import-position
from training.accuracy_stats import DUTCH, PATTERNS, ROUNDS, SETS, groups, loss, of_pattern, read  # noqa: E402  pylint: disable=wrong-import-position


def figures():
    """Prints the lines of ./run bench accuracy."""
    runs, shipped = read("runs"), read("shipped")
    found, served = groups(runs), groups(shipped)
    lines = [{"provenance": "training/results/runs/*.json, training/results/shipped/*.json: "
              "./run train, then training/shipped.py; only means and intervals are computed "
              "here", "runs": len(runs), "served": len(shipped)}]

    def per(test_set, pattern, density, group):
        lines.append({"name": f"accuracy.per.{test_set}.{pattern}.{density}",
                      "value": round(group.per(test_set) / 100, 5), "unit": "share",
                      "seeds": group.seeds(), "spread": round(group.spread(test_set) / 100, 5)})

    def points(name, difference):
        if difference:
            mean, low, high = difference
            lines.append({"name": name, "value": round(mean, 3), "unit": "points",
                          "p2.5": round(low, 3), "p97.5": round(high, 3)})

    def factors(test_set, runs_of, size):
        for dense, *pruned in ROUNDS.values():
            for what in (dense, *pruned):
                if (runs_of, what) in found:
                    per(test_set, size, what, found[runs_of, what])
                if what != dense and {(runs_of, what), (runs_of, dense)} <= set(found):
                    points(f"accuracy.loss_points.{test_set}.{what}",
                           loss(found[runs_of, what], found[runs_of, dense], [test_set]))
        if (runs_of, "20x") in served:
            points(f"accuracy.loss_points.{test_set}.quantize",
                   loss(served[runs_of, "20x"], found[runs_of, "20x"], [test_set]))

    factors(DUTCH, "nl", "small")
    for test_set in SETS:
        factors(test_set, "main", "main")
        for pattern in PATTERNS:
            for density, group in of_pattern(found, "small", pattern):
                per(test_set, pattern, f"{density:g}", group)
    for name, report in shipped.items():
        lines.append({"name": f"compression.factor.{name}", "unit": "times",
                      "value": round(report["dense_fp32_bytes"] / report["file_bytes"], 2)})
    for line in lines:
        print(json.dumps(line))


if __name__ == "__main__":
    if sys.argv[1:] == ["figures"]:
        figures()
    elif sys.argv[1:] == ["page"]:
        accuracy_page.page()
    else:
        sys.exit(__doc__)
