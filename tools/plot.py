# SPDX-License-Identifier: Apache-2.0
"""Line plots as SVG, for the documents: Python's standard library alone, readable on light and dark.

    plot.write("docs/x.svg", "Title", "load", "ms", {"name": [(x, y), ...], ...}, log_y=True)

A point may carry an interval: (x, y, low, high).
"""

import html
import math
import pathlib

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 190, 44, 52
# Okabe and Ito's colours, told apart with any kind of colour vision.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999", "#b8a500")


class Axis:
    """Values to pixels, and ticks at round numbers."""

    def __init__(self, values, begin, end, log, from_zero):
        self._log, self._begin, self._end = log, begin, end
        low, high = min(values), max(values)
        if log:
            if low <= 0:
                raise ValueError(f"a logarithmic axis cannot show {low}")
            low, high = math.log10(low), math.log10(high)
        elif from_zero:
            low = min(low, 0)
        if high == low:
            low, high = low - 0.5, high + 0.5
        margin = 0.04 * (high - low)
        self._low = low if from_zero and low == 0 and not log else low - margin
        self._high = high + margin

    def place(self, value):
        """Pixels."""
        value = math.log10(value) if self._log else value
        part = (value - self._low) / (self._high - self._low)
        return self._begin + part * (self._end - self._begin)

    def ticks(self):
        """Round values within the axis."""
        if self._log:
            decades = range(math.floor(self._low), math.ceil(self._high) + 1)
            steps = (1, 2, 5) if self._high - self._low < 2.5 else (1,)
            values = [step * 10.0 ** decade for decade in decades for step in steps]
            return [v for v in values if self._low <= math.log10(v) <= self._high]
        rough = (self._high - self._low) / 6
        unit = 10.0 ** math.floor(math.log10(rough))
        step = next(unit * m for m in (1, 2, 5, 10) if unit * m >= rough)
        first = math.ceil(self._low / step)
        return [i * step for i in range(first, math.floor(self._high / step) + 1)]


def _grid(x_axis, y_axis, x_label, y_label):
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for tick in x_axis.ticks():
        x = x_axis.place(tick)
        yield f'<line class="grid" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{tick:g}</text>'
    for tick in y_axis.ticks():
        y = y_axis.place(tick)
        yield f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>'
    yield (f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 12}" text-anchor="middle">'
           f"{html.escape(x_label)}</text>")
    yield (f'<text transform="translate(18 {(TOP + bottom) / 2}) rotate(-90)" '
           f'text-anchor="middle">{html.escape(y_label)}</text>')


def _line(points, x_axis, y_axis, colour):
    pixels = " ".join(f"{x_axis.place(p[0]):.1f},{y_axis.place(p[1]):.1f}" for p in points)
    yield f'<polyline points="{pixels}" fill="none" stroke="{colour}" stroke-width="2"/>'
    for point in points:
        x, y = x_axis.place(point[0]), y_axis.place(point[1])
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'
        if len(point) > 2:
            low, high = y_axis.place(point[2]), y_axis.place(point[3])
            yield (f'<line x1="{x:.1f}" y1="{low:.1f}" x2="{x:.1f}" y2="{high:.1f}" '
                   f'stroke="{colour}" stroke-opacity="0.6"/>')


def write(path, title, x_label, y_label, series, log_x=False, log_y=False, from_zero=False):
    """series: {name: points}, each with at least one point."""
    points = [point for line in series.values() for point in line]
    if not points:
        raise ValueError(f"{path}: nothing to plot")
    x_axis = Axis([p[0] for p in points], LEFT, WIDTH - RIGHT, log_x, False)
    y_axis = Axis([v for p in points for v in p[1:]], HEIGHT - BOTTOM, TOP, log_y, from_zero)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
             f'width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="12">',
             "<style>text{fill:#222}.back{fill:#fff}.grid{stroke:#ddd}"
             "@media(prefers-color-scheme:dark){text{fill:#ddd}.back{fill:#161616}"
             ".grid{stroke:#3a3a3a}}</style>",
             f'<rect class="back" width="{WIDTH}" height="{HEIGHT}"/>',
             f'<text x="{LEFT}" y="24" font-size="15" font-weight="bold">{html.escape(title)}</text>']
    parts += _grid(x_axis, y_axis, x_label, y_label)
    for index, (name, line) in enumerate(series.items()):
        colour = COLOURS[index % len(COLOURS)]
        parts += _line(line, x_axis, y_axis, colour)
        y = TOP + 12 + 20 * index
        x = WIDTH - RIGHT + 16
        parts.append(f'<line x1="{x}" y1="{y}" x2="{x + 20}" y2="{y}" stroke="{colour}" '
                     'stroke-width="3"/>')
        parts.append(f'<text x="{x + 26}" y="{y + 4}">{html.escape(name)}</text>')
    pathlib.Path(path).write_text("\n".join([*parts, "</svg>", ""]), encoding="utf-8")
