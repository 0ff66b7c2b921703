# SPDX-License-Identifier: Apache-2.0
"""Writes the tables and plots of docs/accuracy.md."""

import json
import re

from tools import plot
from training.accuracy_stats import DUTCH, PATTERNS, ROOT, ROUNDS, SETS, groups, loss, of_pattern, read

PAGE = ROOT / "docs/accuracy.md"
BEGIN, END = "<!-- tables: training/accuracy.py page -->", "<!-- end of tables -->"


def table(rows):
    """Returns the lines of an aligned Markdown table, or nothing if there is only a header."""
    if len(rows) == 1:
        return []
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]

    def line(row):
        return "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths)) + " |"

    return [line(rows[0]), "|" + "|".join("-" * (w + 2) for w in widths) + "|",
            *map(line, rows[1:]), ""]


def difference_text(difference):
    """Such as "+0.3 [-0.1, +0.7]", in bold if the interval excludes zero."""
    if difference is None:
        return ""
    mean, low, high = difference
    text = f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"
    return f"**{text}**" if low > 0 or high < 0 else text


def per_text(group, test_set):
    """Such as "19.1 (18.9, 19.3)": the mean, then each seed."""
    values = group.pers(test_set)
    if len(values) == 1:
        return f"{values[0]:.1f}"
    return f"{group.per(test_set):.1f} ({', '.join(f'{v:.1f}' for v in values)})"


def title_of(what):
    """Turns the name "20x_again" into "20x, again"."""
    return what.replace("_", ", ")


def plotted(x, group, test_set):
    """Returns a point of a plot: the mean, and the interval from the best to the worst seed."""
    return x, group.per(test_set), min(group.pers(test_set)), max(group.pers(test_set))


def main_rows(found, runs, shipped):
    """Returns three tables for the paper's size: error rates, losses and file sizes."""
    served = groups(shipped)
    rows = [["network", "weights kept", *SETS]]
    losses = [["against dense", *SETS]]
    for dense, *pruned in ROUNDS.values():
        for what in (dense, *pruned):
            group, as_served = found.get(("main", what)), served.get(("main", what))
            title = title_of(what)
            if not group:
                continue
            run = runs[f"main.s{min(group.by_seed)}.{what}"]
            rows.append([title, f"{100 * run['weights_kept'] / run['weights']:.2f} %",
                         *(per_text(group, test_set) for test_set in SETS)])
            if as_served:
                rows.append([f"{title}, as shipped", "", *(per_text(as_served, s) for s in SETS)])
                losses.append([f"{title}: quantization alone",
                               *(difference_text(loss(as_served, group, [s])) for s in SETS)])
            if what != dense and ("main", dense) in found:
                losses.append([title, *(difference_text(loss(group, found["main", dense], [s]))
                                        for s in SETS)])
    sizes = [["model", "file", "dense fp32 / file", "fp32 / 16-bit entries, matrices only",
              "SNR of logits", "same best unit"]]
    for name, report in shipped.items():
        run = runs.get(name)
        if run and run["run"]["size"] == "main":
            sizes.append([name, f"{report['file_bytes'] / 1000:.0f} KB",
                          f"{report['dense_fp32_bytes'] / report['file_bytes']:.1f}x",
                          f"{2 * run['weights'] / run['weights_kept']:.1f}x",
                          f"{report['logits_snr_db']:.1f} dB",
                          f"{100 * report['same_best_unit']:.2f} %"])
    return table(rows), table(losses), table(sizes)


def wide_rows(found, runs):
    """Tabulates each pattern and density of the small LSTM, and whether the patterns differ."""
    dense = found.get(("small", "dense"))
    if not dense:
        return []
    lines = []
    for test_set in SETS:
        rows = [[f"density, % ({test_set})", *PATTERNS.values()]]
        by_pattern = {p: dict(of_pattern(found, "small", p)) for p in PATTERNS}
        for density in sorted(by_pattern["row"], reverse=True):
            rows.append([f"{density:g}", *(per_text(by_pattern[p][density], test_set)
                                           if density in by_pattern[p] else ""
                                           for p in PATTERNS)])
        lines += table(rows)
    rows = [["density, % (all sets)", "16-bit entries", "loss against dense",
             "ours minus the paper's", "ours minus unbalanced", "seeds"]]
    for density, group in of_pattern(found, "small", "row")[1:]:
        others = [found.get(("small", f"{p}.d{density:g}")) for p in ("pe", "unbalanced")]
        run = runs[f"small.s{min(group.by_seed)}.row.d{density:g}"]
        rows.append([f"{density:g}", f"{2 * run['weights_kept'] / 1000:.0f} KB, "
                     f"{2 * run['weights'] / run['weights_kept']:.1f}x",
                     difference_text(loss(group, dense, SETS)),
                     *(difference_text(loss(group, other, SETS)) if other else ""
                       for other in others), str(group.seeds())])
    return lines + table(rows)


def trick_rows(found):
    """Tabulates what each trick changes, compared with plain pruning of the small LSTM at the same density."""
    names = sorted({what.split(".")[0] for size, what in found if size == "small"}
                   - set(PATTERNS) - {"dense"})
    rows = [["trick", "density, %", "recorded (asterisk, others)", "synthesised (both)", "all",
             "seeds"]]
    for name in names:
        for density in (10, 5):
            group = found.get(("small", f"{name}.d{density}"))
            base = found.get(("small", f"row.d{density}"))
            if group and base:
                rows.append([name.replace("_", " "), str(density),
                             difference_text(loss(group, base, SETS[:2])),
                             difference_text(loss(group, base, SETS[2:])),
                             difference_text(loss(group, base, SETS)), str(group.seeds())])
    return table(rows)


def dutch_rows(found, runs, shipped):
    """Tabulates error rates and losses of the second language on its test set."""
    served = groups(shipped)
    rows = [["network", "weights kept", "PER", "against dense", "as shipped",
             "quantization alone"]]
    for what in ROUNDS[""]:
        group, as_served = found.get(("nl", what)), served.get(("nl", what))
        if group:
            run = runs[f"nl.s{min(group.by_seed)}.{what}"]
            rows.append([what, f"{100 * run['weights_kept'] / run['weights']:.2f} %",
                         per_text(group, DUTCH),
                         "" if what == "dense" else
                         difference_text(loss(group, found.get(("nl", "dense")), [DUTCH])),
                         per_text(as_served, DUTCH) if as_served else "",
                         difference_text(loss(as_served, group, [DUTCH])) if as_served else ""])
    return table(rows)


def split_rows(splits, found):
    """Tabulates error rates over the widths of weights and activations."""
    rows = [["run", "weights/activations, bits", *SETS]]
    for name, by_split in splits.items():
        size, seed, what = name.split(".", 2)
        rows.append([name, "float", *(f"{found[size, what].by_seed[int(seed[1:])][s]['per']:.2f}"
                                      for s in SETS)])
        for split, rates in by_split.items():
            rows.append(["", split, *(f"{rates[s]['per']:.2f}" for s in SETS)])
    return table(rows)


def microseconds():
    """Returns {density in percent: us per step of 64 lanes} of the newest kernel measurement, and its file."""
    for path in sorted((ROOT / "bench/results").glob("kernel-*.jsonl"), reverse=True):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        found = {}
        for line in lines:
            match = re.fullmatch(r"kernel\.density\.([\d.]+)", line.get("name", ""))
            if match:
                found[float(match[1])] = line["value"]
        if found:
            return found, path.relative_to(ROOT)
    return {}, None


def interpolated(points, density):
    """Interpolates linearly between measured densities. A density within 2 % of a measured one takes its time."""
    known = sorted(points)
    for near in known:
        if abs(density - near) <= 0.02 * near:
            return points[near]
    for low, high in zip(known, known[1:]):
        if low <= density <= high:
            part = (density - low) / (high - low)
            return points[low] + part * (points[high] - points[low])
    return None


def step_times(found, runs):
    """Returns {round: [(network, density in percent, us per step of 64 lanes or None)]} at the paper's size,
    and the file that the times come from."""
    points, source = microseconds()
    times = {}
    for name, whats in ROUNDS.items():
        for what in whats:
            group = found.get(("main", what))
            if group and points:
                run = runs[f"main.s{min(group.by_seed)}.{what}"]
                density = 100 * run["weights_kept"] / run["weights"]
                times.setdefault(name, []).append((what, density, interpolated(points, density)))
    return times, source


def speed_rows(found, runs):
    """Tabulates error rate against the time of a step, at the paper's size."""
    times, source = step_times(found, runs)
    rows = [["network", "density, %", "us per step of 64 lanes", *SETS]]
    for what, density, time in [item for items in times.values() for item in items]:
        rows.append([title_of(what), f"{density:.2f}", f"{time:.0f}" if time else "not measured",
                     *(f"{found['main', what].per(s):.1f}" for s in SETS)])
    note = [f"Times are interpolated between the densities measured in `{source}`.", ""]
    return note + table(rows) if times else []


def speed_plot(found, runs):
    """Draws docs/accuracy_time.svg; returns the line that shows it."""
    series = {}
    for name, items in step_times(found, runs)[0].items():
        at = [(time, found["main", what]) for what, _, time in items if time]
        for test_set in ("asterisk", "synth") if len(at) > 1 else ():
            series[test_set + title_of(name)] = [plotted(time, g, test_set) for time, g in at]
    if not series:
        return []
    path = ROOT / "docs/accuracy_time.svg"
    plot.write(path, "Phone error rate against time, the paper's size", "us per step of 64 lanes",
               "PER, %", series, log_x=True, from_zero=True)
    return [f"![PER against the time of a step]({path.name})"]


def plots(found, runs):
    """Draws docs/accuracy_*.svg; returns the lines that show them."""
    lines = speed_plot(found, runs)
    for test_set in ("asterisk", "synth"):
        series = {}
        for pattern, title in PATTERNS.items():
            points = [plotted(d, g, test_set) for d, g in of_pattern(found, "small", pattern)]
            if len(points) > 1:
                series[title.split(" (")[0]] = points
        for name, items in step_times(found, runs)[0].items():
            series["paper's size, rows" + title_of(name)] = [
                plotted(density, found["main", what], test_set) for what, density, _ in items]
        if series:
            path = ROOT / f"docs/accuracy_{test_set}.svg"
            plot.write(path, f"Phone error rate, {test_set}", "weights kept, %", "PER, %", series,
                       log_x=True, from_zero=True)
            lines.append(f"![PER against density on {test_set}]({path.name})")
    return lines + [""] if lines else []


def page():
    """Rewrites the part of docs/accuracy.md between the markers, and the plots."""
    runs, shipped, splits = read("runs"), read("shipped"), read("splits")
    found = groups(runs)
    rates, losses, sizes = main_rows(found, runs, shipped)
    sections = [
        ("The paper's size: 153 inputs, 1024 cells, 512 projected",
         "Phone error rates in percent: the mean of the seeds, with each seed in brackets.",
         [*rates, "Differences in points of PER, with 95 % intervals in brackets; bold where the interval "
          "excludes zero.", "", *losses, *sizes, *speed_rows(found, runs)]),
        ("PER against density and time", "", plots(found, runs)),
        ("Patterns and densities: 2 x 320/160", "", wide_rows(found, runs)),
        ("Tricks, one at a time: 2 x 320/160",
         "Change of PER in points, compared with plain pruning at the same density; negative is better.",
         trick_rows(found)),
        ("Bits: emulated, without fine-tuning", "", split_rows(splits, found)),
        ("A second language: Dutch, 2 x 320/160",
         "Recordings only, by two speakers (training/README.md).",
         dutch_rows(found, runs, shipped))]
    lines = []
    for title, text, rows in sections:
        if rows:
            lines += [f"## {title}", "", *([text, ""] if text else []), *rows]
    text = PAGE.read_text()
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    PAGE.write_text(head + BEGIN + "\n\n" + "\n".join(lines) + "\n" + END + tail)
