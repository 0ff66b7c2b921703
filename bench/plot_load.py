#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws reports of `ese-load --report` as one SVG.

The upper chart shows latency against percentile, with one curve for each report. Its axis counts nines,
as in HdrHistogram's plots. The lower chart shows the p99 of each second or, for `--find-max`, the p99
against the number of streams.

    bench/plot_load.py a.json [b.json ...] >plot.svg"""
import json
import math
import sys

WIDTH, HEIGHT, LEFT, RIGHT, TOP = 760, 300, 70, 20, 40
COLOURS = ("#1b6ca8", "#c8553d", "#3b8b5a", "#8a5a9e", "#b08a1e", "#555555")


def nice_ceiling(value):
    power = 10 ** math.floor(math.log10(value)) if value > 0 else 1
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value)


def text(x, y, content, anchor="middle"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{content}</text>'


def chart(top, title, x_label, ticks, curves):
    """Draws one chart. `ticks` are (position from 0 to 1, label); `curves` are lists of (position, ms)."""
    greatest = nice_ceiling(max((y for curve in curves for _, y in curve), default=1))
    across = lambda x: LEFT + x * (WIDTH - LEFT - RIGHT)
    down = lambda y: top + HEIGHT * (1 - y / greatest)
    out = [text(LEFT, top - 12, title, "start"),
           f'<rect x="{LEFT}" y="{top}" width="{WIDTH - LEFT - RIGHT}" height="{HEIGHT}" class="frame"/>']
    for i in range(6):
        y = greatest * i / 5
        out += [f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{down(y):.1f}" y2="{down(y):.1f}"/>',
                text(LEFT - 6, down(y) + 4, f"{y:g}", "end")]
    for x, label in ticks:
        out += [f'<line x1="{across(x):.1f}" x2="{across(x):.1f}" y1="{top}" y2="{top + HEIGHT}"/>',
                text(across(x), top + HEIGHT + 16, label)]
    out += [text((LEFT + WIDTH) / 2, top + HEIGHT + 34, x_label), text(14, top - 12, "ms", "start")]
    for curve, colour in zip(curves, COLOURS * len(curves)):
        points = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in curve)
        out.append(f'<polyline points="{points}" stroke="{colour}"/>')
        out += [f'<circle cx="{across(x):.1f}" cy="{down(y):.1f}" r="2.5" fill="{colour}"/>'
                for x, y in curve]
    return out


def percentile_chart(top, reports):
    # The axis runs from 0 at 0 % to 1 at 99.999 %, where the maximum is drawn.
    nines = lambda p: min(1, -math.log10(max(1 - p / 100, 1e-5)) / 5)
    ticks = [(nines(p), f"{p:g} %") for p in (0, 50, 90, 99, 99.9, 99.99)] + [(1, "max")]
    curves = [[(nines(float(p)), ms) for p, ms in r["latency"]["percentiles_ms"].items()]
              for _, r in reports]
    return chart(top, "latency, from when a chunk was due to its answer", "percentile", ticks, curves)


def second_chart(top, reports):
    if all("steps" in r for _, r in reports):
        most = max(s["streams"] for _, r in reports for s in r["steps"])
        # In a step with too many streams the p99 may be seconds, so the curve is cut off.
        limit = 4 * max((s["p99_ms"] for _, r in reports for s in r["steps"] if s["held"]), default=1)
        curves = [sorted((s["streams"] / most, min(s["p99_ms"], limit)) for s in r["steps"])
                  for _, r in reports]
        return chart(top, f"p99 of each step (cut off at {limit:.0f} ms)", "streams",
                     [(i / 5, f"{most * i / 5:.0f}") for i in range(6)], curves)
    longest = max(max(len(r["timeline"]) for _, r in reports), 2) - 1
    curves = [[(i / longest, s["p99_ms"]) for i, s in enumerate(r["timeline"])] for _, r in reports]
    return chart(top, "p99 of each second", "seconds",
                 [(i / 5, f"{1 + longest * i / 5:.0f}") for i in range(6)], curves)


def main():
    paths = sys.argv[1:]
    if not paths or paths[0].startswith("-"):
        sys.exit(__doc__)
    reports = [(path, json.load(open(path))) for path in paths]
    second = TOP + HEIGHT + 90
    height = second + HEIGHT + 50 + 16 * len(reports)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
           f'viewBox="0 0 {WIDTH} {height}">',
           "<style>text{font:12px sans-serif;fill:#333}line{stroke:#ddd}"
           ".frame{fill:none;stroke:#888}polyline{fill:none;stroke-width:2}</style>",
           '<rect width="100%" height="100%" fill="white"/>']
    out += percentile_chart(TOP, reports) + second_chart(second, reports)
    for i, ((path, report), colour) in enumerate(zip(reports, COLOURS * len(reports))):
        y = second + HEIGHT + 56 + 16 * i
        out += [f'<circle cx="{LEFT}" cy="{y - 4}" r="4" fill="{colour}"/>',
                text(LEFT + 10, y, f"{path}: {report['streams']} streams {report['pace']}", "start")]
    print("\n".join(out + ["</svg>"]))


if __name__ == "__main__":
    main()
