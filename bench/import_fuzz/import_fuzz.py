#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares ese-compile's ONNX import with ONNX Runtime on random small graphs.

    bench/import_fuzz/import_fuzz.py --check build/release/bin/ese-import-check --graphs 20000

Each graph (networks.py) runs in ONNX Runtime and, if ese-compile accepts it, as the imported network in real
numbers and as the compiled model. The real numbers must agree, and the model's error must be the one that the
compiler reports. Prints import.graphs, import.disagreements and the numbers of accepted and refused graphs as
lines of JSON. The exit status is 1 if there was a disagreement; its graph is kept in --keep.
"""
import argparse
import collections
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import networks
import numpy as np
import onnxruntime

BATCH = 500  # graphs for one run of the importer
TOLERANCE = 1e-3  # of values that are about 1; float32 differs from float64 by about 1e-6
SNR_TOLERANCE_DB = 1.0  # between the reported SNR and that against ONNX Runtime


def run_runtime(graph):
    """The first output, or None if ONNX Runtime refuses the graph."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(graph.model, options, providers=["CPUExecutionProvider"])
        return session.run(None, graph.feeds)[0]
    except Exception:  # its exceptions have no common class but this
        return None


def log_softmax(logits):
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def as_frames(output, frames, units):
    """The output as [frames, units], or None if it is not one vector of units per frame."""
    output = output.astype(np.float64)
    squeezed = np.squeeze(output)
    if units == 1 or frames == 1:
        return output.reshape(frames, units) if output.size == frames * units else None
    if squeezed.shape == (frames, units):
        return squeezed
    if squeezed.shape == (units, frames):
        return squeezed.T
    return None


def disagreement(graph, output, answer, logits):
    """Why the accepted network differs from ONNX Runtime's, or None."""
    frames = len(graph.features)
    units = answer["units"]
    if logits.size != 2 * frames * units:
        return f"the import has {logits.size // 2 // units} frames instead of {frames}"
    expected = as_frames(output, frames, units)
    if expected is None:
        return f"output of shape {output.shape} for {frames} frames of {units} units"
    if not np.isfinite(expected).all():
        return None
    real, fixed = logits.astype(np.float64).reshape(2, frames, units)
    if graph.output == "logits":
        compared = real
    else:
        compared = log_softmax(real)
        if graph.output == "softmax":
            expected = np.log(expected)
    worst = np.abs(compared - expected).max()
    if not worst < TOLERANCE:
        return f"differs by {worst:.3g}"
    if graph.output == "logits":
        snr = 10 * np.log10((expected**2).sum() / max(((fixed - expected)**2).sum(), 1e-30))
        if not snr > answer["snr_db"] - SNR_TOLERANCE_DB:
            return f"an SNR of {snr:.1f} dB, but {answer['snr_db']:.1f} dB are reported"
    return None


def reason(message):
    """The message without what names this graph, to count its kind."""
    message = message.split(": ", 1)[-1]
    message = re.sub(r"node (?:'[^']*'|\d+) \(([\w.]+)\)", r"\1", message)
    return re.sub(r"'[^']*'|\[[^\]]*\]|-?\d+(?:\.\d+)?", "_", message)[:70]


class Tally:
    def __init__(self, keep):
        self.keep = keep
        self.counts, self.reasons = collections.Counter(), collections.Counter()

    def add(self, number, graph, output, answer, folder, index):
        self.counts["graphs"] += 1
        if not answer["accepted"]:
            self.counts["refused"] += 1
            self.reasons[reason(answer["error"])] += 1
            return
        if output is None:
            self.counts["accepted_invalid"] += 1
            self.report("invalid", number, graph, "ONNX Runtime refuses it")
            return
        if "error" in answer:  # the network's numbers, not the graph, were refused
            self.counts["not_compiled"] += 1
            self.reasons[reason(answer["error"])] += 1
            return
        self.counts["accepted"] += 1
        logits = np.fromfile(folder / f"{index}.logits", np.float32)
        why = disagreement(graph, output, answer, logits)
        if why:
            self.counts["disagreements"] += 1
            self.report("disagreement", number, graph, why)

    def report(self, kind, number, graph, why):
        if self.counts[kind] < 20:
            self.counts[kind] += 1
            path = self.keep / f"{kind}_{number}.onnx"
            path.write_bytes(graph.model)
            print(f"{path}: {why}; {' '.join(graph.links)}", file=sys.stderr)


def run_batch(check, tally, seed, first, count):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        graphs = [networks.draw(np.random.default_rng([seed, first + k])) for k in range(count)]
        for k, graph in enumerate(graphs):
            (folder / f"{k}.onnx").write_bytes(graph.model)
            graph.features.tofile(folder / f"{k}.features")
        run = subprocess.run([check, folder, str(count)], check=True, capture_output=True, text=True)
        answers = [json.loads(line) for line in run.stdout.splitlines()]
        if len(answers) != count:
            sys.exit(f"ese-import-check answered {len(answers)} of {count} graphs")
        for k, (graph, answer) in enumerate(zip(graphs, answers, strict=True)):
            output = run_runtime(graph) if answer["accepted"] else None
            tally.add(first + k, graph, output, answer, folder, k)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", required=True, help="the program ese-import-check")
    parser.add_argument("--graphs", type=int, default=20000)
    parser.add_argument("--first", type=int, default=0, help="number of the first graph, to repeat one of them")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", default="build/import_fuzz", help="folder for graphs that disagree")
    flags = parser.parse_args()
    keep = pathlib.Path(flags.keep)
    keep.mkdir(parents=True, exist_ok=True)
    tally = Tally(keep)
    end = flags.first + flags.graphs
    for first in range(flags.first, end, BATCH):
        run_batch(flags.check, tally, flags.seed, first, min(BATCH, end - first))
    for name in ("graphs", "accepted", "refused", "not_compiled", "accepted_invalid", "disagreements"):
        print(json.dumps({"name": f"import.{name}", "value": tally.counts[name], "unit": "graphs"}))
    for text, count in tally.reasons.most_common():
        print(f"{count:6} {text}", file=sys.stderr)
    return 1 if tally.counts["disagreements"] else 0


if __name__ == "__main__":
    sys.exit(main())
