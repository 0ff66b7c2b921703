#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`./run bench tco` says what serving 1,000 to 1,000,000 live streams costs, in about eight minutes.

    bench/tco.py           measures, prints each figure as a line of JSON on standard output and the tables on
                           standard error, and keeps the measurements in bench/results/tco-<processor>.json
    bench/tco.py page      writes the tables and the plot of docs/tco.md from the kept measurements

The stream is that of `./run bench serving`: features of 10 ms frames for the paper's LSTM, in real time. What
one core serves, and the ratio to ONNX Runtime, are measured here. Prices, powers and the paper's figures are in
bench/tco_inputs.json, each with its source and its kind: quoted, modelled or assumption."""
import argparse
import dataclasses
import datetime
import json
import math
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from bench import performance, serving  # noqa: E402
from tools import plot  # noqa: E402

RESULTS = ROOT / "bench" / "results"
INPUTS = ROOT / "bench" / "tco_inputs.json"
PAGE = ROOT / "docs" / "tco.md"
BEGIN, END = "<!-- tables: bench/tco.py -->", "<!-- end of tables -->"
SCENARIO = (1_000, 10_000, 100_000, 1_000_000)
FRAMES_PER_SECOND = 100
HOURS_PER_YEAR = 8766
CHUNKS_MS = (20, 60, 100, 250)
DENSITIES = (0.05, 0.112, 0.2, 0.5)
LANES, PAPER_LANES = 64, 32


def read_inputs():
    return {name: entry["value"] for name, entry in json.loads(INPUTS.read_text()).items()}


# What a fleet costs. Everything below is arithmetic on the inputs and the measurements.


@dataclasses.dataclass
class Card:
    streams: float  # the most that hold the p99
    price: float
    watts: float


@dataclasses.dataclass
class Machine:
    streams: float  # the most that hold the p99
    price: float
    watts_idle: float
    watts_busy: float  # without cards
    card: Card | None = None


@dataclasses.dataclass
class Fleet:
    streams: int
    machines: int
    cards: int
    watts: float  # without the PUE
    dollars: float  # a year

    def per_thousand_stream_hours(self):
        return 1000 * self.dollars / (self.streams * HOURS_PER_YEAR)

    def joules_per_audio_hour(self):
        return self.watts * 3600 / self.streams


def fleet(machine, streams, inputs):
    share = inputs["utilisation"]
    machines = math.ceil(streams / (machine.streams * share))
    load = streams / (machines * machine.streams)
    watts = machines * (machine.watts_idle + load * (machine.watts_busy - machine.watts_idle))
    capital = machines * machine.price
    cards = 0
    if card := machine.card:
        cards = max(machines, math.ceil(streams / (card.streams * share)))
        watts += cards * card.watts
        capital += cards * card.price
    energy = watts * HOURS_PER_YEAR / 1000 * inputs["pue"] * inputs["tariff"]
    return Fleet(streams, machines, cards, watts,
                 capital * (1 / inputs["life"] + inputs["overhead"]) + energy)


def machines(inputs, measured):
    """Returns the machine of each back end, and what its throughput rests on."""
    cores = inputs["machine_cores"]
    per_core, kernel = measured["streams_per_core"], measured["kernel_share"]
    own = Machine(cores * per_core, inputs["machine_price"], inputs["machine_watts_idle"],
                  inputs["machine_watts_busy"])
    # The same server with ONNX Runtime's kernels: only the kernels' share of the time grows.
    ort = dataclasses.replace(own, streams=own.streams / (1 - kernel + kernel * measured["ort_int8_ratio"]))
    # A card takes the kernels' share off the host and adds the cost of feeding the card.
    frames_per_chunk = serving.CHUNK_MS * FRAMES_PER_SECOND / 1000
    host_us = (measured["us_per_chunk"] * (1 - kernel) +
               frames_per_chunk * measured["card_host_us_per_frame"])
    host = own.streams * measured["us_per_chunk"] / host_us

    def with_cards(name, lanes):
        streams = lanes / (inputs[f"{name}_step_us"] * 1e-6) / FRAMES_PER_SECOND
        card = Card(streams, inputs[f"{name}_price"], inputs[f"{name}_watts"])
        return dataclasses.replace(own, streams=min(host, inputs["cards_per_machine"] * streams), card=card)

    i7 = PAPER_LANES / (inputs["paper_i7_step_us"] * 1e-6) / FRAMES_PER_SECOND
    return {
        "ese_cpu": (own, "measured"),
        "ese_cards": (with_cards("card", inputs["card_units"] * LANES), "measured host, modelled card"),
        "ort_int8_cpu": (ort, "modelled from measured kernels and server"),
        "paper_i7": (Machine(i7, inputs["paper_i7_price"], inputs["paper_i7_watts"], inputs["paper_i7_watts"]),
                     "quoted, kernel alone"),
        "paper_titan_x": (with_cards("paper_titan_x", PAPER_LANES), "measured host, quoted card"),
        "paper_ku060": (with_cards("paper_ku060", PAPER_LANES), "measured host, quoted card"),
    }


NAMES = {"ese_cpu": "ESE on processors", "ese_cards": "ESE on cards", "ort_int8_cpu": "dense int8 ONNX Runtime",
         "paper_i7": "paper's Core i7", "paper_titan_x": "paper's Titan X", "paper_ku060": "paper's KU060"}


def scenario_table(inputs, measured):
    table = [["live streams", "back end", "machines", "cards", "kW", "$ a year", "$ per 1,000 stream-hours",
              "J per audio hour", "throughput is"]]
    for streams in SCENARIO:
        for name, (machine, source) in machines(inputs, measured).items():
            result = fleet(machine, streams, inputs)
            table.append([f"{streams:,}", NAMES[name], f"{result.machines:,}", f"{result.cards:,}",
                          f"{result.watts / 1000:,.1f}", f"{result.dollars:,.0f}",
                          f"{result.per_thousand_stream_hours():.3g}", f"{result.joules_per_audio_hour():,.0f}", source])
    return performance.rows(table)


def sensitivity_table(inputs, measured):
    """Dollars per thousand stream-hours at a million streams when one input changes."""
    streams, backends = SCENARIO[-1], ("ese_cpu", "ese_cards", "ort_int8_cpu")
    table = [["what changes", "value", *(NAMES[b] for b in backends)]]

    def add(what, value, changed_inputs, changed_measured, shown=backends):
        changed = machines(changed_inputs, changed_measured)
        dollars = lambda b: fleet(changed[b][0], streams, changed_inputs).per_thousand_stream_hours()
        table.append([what, value, *(f"{dollars(b):.3g}" if b in shown else "" for b in backends)])

    add("nothing", "", inputs, measured)
    for name, values in (("tariff", (0.05, 0.15, 0.3)), ("pue", (1.1, 2.0)), ("utilisation", (0.3, 0.85)),
                         ("machine_price", (15000, 60000)), ("card_price", (3000, 20000))):
        for value in values:
            add(name.replace("_", " "), f"{value:,}", {**inputs, name: value}, measured)
    # Other back ends were not measured at other densities and chunks.
    for what, key, usual in (("density", "us_by_density", "0.112"), ("chunk, ms", "us_by_chunk", "100")):
        for value, us in measured[key].items():
            streams_per_core = measured["streams_per_core"] * measured[key][usual] / us
            add(what, value, inputs, {**measured, "streams_per_core": streams_per_core}, ("ese_cpu",))
    return performance.rows(table)


# Measurements.


def us_per_audio_second(work, model, streams, chunk_ms):
    """Returns the server's processor time for a second of a stream's audio, in us."""
    with serving.Server(work, "tco", ["--model", model]) as server:
        _, us, _ = serving.cpu_of_run(work, server, streams, 5, "--return", "units", "--chunk-ms", chunk_ms)
    return us * 1000 / chunk_ms


def make_model(work, density):
    model = work / f"{density}.ese"
    subprocess.run([serving.BIN / "ese-bench-model", model, str(density)], check=True)
    return model


def json_lines(command):
    output = subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True).stdout
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def measure(work, peers_python):
    model = make_model(work, 0.112)
    serving.say("== the most streams on one core")
    with serving.Server(work, "server", ["--model", model]) as server:
        search = serving.run_load(work, [server.address], "--return", "units", "--find-max", "--p99-ms",
                                  serving.P99_LIMIT_MS, "--streams", 1000, "--ramp", 1, "--seconds", 4,
                                  "--timeout", 5)
        if not (most := search["most_streams"]):
            sys.exit("no number of streams held the p99; is the machine busy?")
        report, chunk_us, kernel = serving.cpu_of_run(work, server, most, 8, "--return", "units")
    serving.say("== other chunks and densities")
    few = most // 4  # the same number for each, so that every variant can carry it
    by_chunk = {str(ms): us_per_audio_second(work, model, few, ms) for ms in CHUNKS_MS}
    by_density = {str(d): us_per_audio_second(work, make_model(work, d), few, serving.CHUNK_MS)
                  for d in DENSITIES}
    serving.say("== ONNX Runtime")
    peers = json_lines([peers_python, ROOT / "bench" / "peers" / "peers.py", "--ours",
                        serving.BIN / "ese-bench-kernel", "--lanes", LANES, "--rounds", 9])
    ort = next(f["ratio"] for f in peers if f["peer"] == "ort-int8-seq20")
    serving.say("== emulated cards")
    cards = [f["value"] for f in json_lines([serving.BIN / "ese-bench-cards", serving.BIN.parent / "emu"])
             if f["name"].startswith("cards.host_us_per_frame")]
    return {"processor": performance.processor(), "date": datetime.date.today().isoformat(),
            "p99_limit_ms": serving.P99_LIMIT_MS, "p99_ms": report["latency"]["percentiles_ms"]["99"],
            "streams_per_core": most, "us_per_chunk": chunk_us, "kernel_share": kernel,
            "ort_int8_ratio": ort, "card_host_us_per_frame": max(cards),
            "us_by_chunk": by_chunk, "us_by_density": by_density}


def print_figures(inputs, measured):
    streams = SCENARIO[-1]
    for name, (machine, source) in machines(inputs, measured).items():
        result = fleet(machine, streams, inputs)
        for figure, value, what in (("usd_per_stream_hour", result.per_thousand_stream_hours() / 1000, "$"),
                                    ("joules_per_audio_hour", result.joules_per_audio_hour(), "J"),
                                    ("streams_per_watt", streams / result.watts, "1/W")):
            print(json.dumps({"name": f"tco.{figure}.{name}", "value": float(f"{value:.4g}"), "unit": what,
                              "source": source, "streams": streams}), flush=True)


# The page.


def measured_table(measured):
    lines = [["measured", "value"],
             [f"streams on one core, p99 within {measured['p99_limit_ms']} ms", f"{measured['streams_per_core']:,}"],
             ["p99 of a run with that many", f"{measured['p99_ms']:.1f} ms"],
             ["processor time a chunk of 100 ms", f"{measured['us_per_chunk']:.1f} us"],
             ["of it the kernels", f"{100 * measured['kernel_share']:.0f} %"],
             ["ONNX Runtime int8, time of a step over ours", f"{measured['ort_int8_ratio']:.2f}"],
             ["host's time to feed a frame to a card", f"{measured['card_host_us_per_frame']:.2f} us"]]
    return performance.rows(lines)


def inputs_table():
    table = [["input", "value", "unit", "kind", "source"]]
    for name, entry in json.loads(INPUTS.read_text()).items():
        table.append([name, f"{entry['value']:,}", entry["unit"], entry["kind"], entry["source"]])
    return performance.rows(table)


def page():
    inputs, lines = read_inputs(), []
    for path in sorted(RESULTS.glob("tco-*.json")):
        measured = json.loads(path.read_text())
        slug = path.stem.removeprefix("tco-")
        svg = f"tco-{slug}.svg"
        series = {NAMES[name]: [(n, fleet(machine, n, inputs).dollars) for n in SCENARIO]
                  for name, (machine, _) in machines(inputs, measured).items()}
        plot.write(PAGE.parent / svg, "Dollars a year against live streams", "live streams", "$ a year", series,
                   log_x=True, log_y=True)
        lines += [f"## {measured['processor']}", "",
                  f"Measured on {measured['date']}; kept in `bench/results/{path.name}`.", "",
                  *measured_table(measured), "", "### The fleet", "", *scenario_table(inputs, measured), "",
                  f"![dollars a year against live streams]({svg})", "",
                  "### Dollars per 1,000 stream-hours at a million streams, when one thing changes", "",
                  *sensitivity_table(inputs, measured), ""]
    text = PAGE.read_text()
    before, after = text[:text.index(BEGIN)], text[text.index(END):]
    lines += ["## Inputs", "", *inputs_table(), ""]
    PAGE.write_text(before + BEGIN + "\n\n" + "\n".join(lines) + "\n" + after)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", nargs="?", choices=["measure", "page"], default="measure")
    parser.add_argument("--peers-python", default=ROOT / "build" / "peers" / "bin" / "python",
                        help="a Python that has ONNX Runtime")
    arguments = parser.parse_args()
    if arguments.verb == "page":
        page()
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # runs every __exit__
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(pathlib.Path(folder), arguments.peers_python)
    slug = re.sub(r"[^a-z0-9]+", "-", measured["processor"].lower()).strip("-")
    (RESULTS / f"tco-{slug}.json").write_text(json.dumps(measured, indent=2) + "\n")
    inputs = read_inputs()
    print_figures(inputs, measured)
    serving.say("\n".join(["", *measured_table(measured), "", *scenario_table(inputs, measured), "",
                           *sensitivity_table(inputs, measured), "",
                           "bench/tco_inputs.json names the source of every price and power; docs/tco.md explains."]))


if __name__ == "__main__":
    main()
