# SPDX-License-Identifier: Apache-2.0
"""Compares ESE's step with the same LSTM in ONNX Runtime, and in PyTorch if that is installed.

    peers.py --ours build/release/bin/ese-bench-kernel [--rounds 15] [--lanes 64 32 1]

Each uses one thread. Figures go to standard output, as a line of JSON each. Rivals take turns within
every round; ours runs in a child process that waits in between. The processor times are compared, so
that other programs on the machine matter less, and a ratio is the median over the rounds. All peers
are dense and have no output layer. Ours is the paper's LSTM at 11.2 % with its output layer, and its
time includes loading and storing features and states."""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import lstmp_graph as lstmp
import numpy as np
import onnxruntime


class Ours:
    def __init__(self, program):
        self.child = subprocess.Popen([program, "--answer"], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True)

    def microseconds(self, lanes):
        self.child.stdin.write(f"{lanes}\n")
        self.child.stdin.flush()
        answer = self.child.stdout.readline()
        if not answer:
            raise RuntimeError("ese-bench-kernel ended; run it by itself to see why")
        return float(answer)

    def close(self):
        self.child.stdin.close()
        self.child.wait()


def timed(run, steps):
    run()  # brings its data back into the caches after the others' turn, as ours does too
    start = time.process_time()
    run()
    return (time.process_time() - start) * 1e6 / steps


def onnx_runtime(int8, steps, lanes):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(
        lstmp.make(int8, steps, lanes), options, providers=["CPUExecutionProvider"])
    feeds = {f"x{t}": lstmp.random(lanes, lstmp.INPUTS, scale=1) for t in range(steps)}
    feeds["y"] = lstmp.random(lanes, lstmp.PROJECTED, scale=1)
    feeds["c"] = lstmp.random(lanes, lstmp.CELLS, scale=1)
    # Values are bound once, so that the runs neither copy nor allocate.
    binding = session.io_binding()
    for name, array in feeds.items():
        binding.bind_cpu_input(name, array)
    for name in ("y_out", "c_out"):
        binding.bind_output(name, "cpu")
    repeats = max(1, 20 // steps)

    def run():
        for _ in range(repeats):
            session.run_with_iobinding(binding)

    return lambda: timed(run, repeats * steps)


def torch_lstm(steps, lanes):
    """PyTorch's LSTM with proj_size. It has no peepholes, so it does less work than the others."""
    import torch
    torch.set_num_threads(1)
    lstm = torch.nn.LSTM(lstmp.INPUTS, lstmp.CELLS, proj_size=lstmp.PROJECTED).eval()
    x = torch.randn(steps, lanes, lstmp.INPUTS)
    state = (torch.zeros(1, lanes, lstmp.PROJECTED), torch.zeros(1, lanes, lstmp.CELLS))

    def run():
        with torch.inference_mode():
            lstm(x, state)

    return lambda: timed(run, steps)


def peers(lanes):
    for int8 in (False, True):
        for steps in (20, 1):
            name = f"ort-{'int8' if int8 else 'fp32'}-seq{steps}"
            yield name, onnx_runtime(int8, steps, lanes)
    try:
        yield "torch-fp32", torch_lstm(20, lanes)
    except ImportError:
        print("PyTorch is not installed (Debian: python3-torch), so it is left out", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ours", required=True, metavar="PROGRAM")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--lanes", type=int, nargs="+", default=[64, 32, 1])
    arguments = parser.parse_args()
    ours = Ours(arguments.ours)
    print("onnxruntime", onnxruntime.__version__, "numpy", np.__version__, file=sys.stderr)
    for lanes in arguments.lanes:
        rivals = dict(peers(lanes))
        times = {name: [] for name in rivals}
        own = {name: [] for name in rivals}
        for _ in range(arguments.rounds):
            for name, measure in rivals.items():
                own[name].append(ours.microseconds(lanes))
                times[name].append(measure())
        for name in rivals:
            ratios = [peer / us for peer, us in zip(times[name], own[name])]
            print(json.dumps({
                "name": f"kernel.step{lanes}.1t",
                "value": round(statistics.median(own[name]), 2), "unit": "us",
                "p10": round(np.quantile(own[name], 0.1), 2),
                "p90": round(np.quantile(own[name], 0.9), 2), "peer": name,
                "ratio": round(statistics.median(ratios), 2),
                "peer_value": round(statistics.median(times[name]), 2)}), flush=True)
    ours.close()


if __name__ == "__main__":
    main()
