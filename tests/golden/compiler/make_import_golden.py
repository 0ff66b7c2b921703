#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the golden files of compiler/onnx/import_test.cc and compiler/kaldi/import_test.cc: small networks with
random weights, and the logits that PyTorch, or the equations below in double precision, compute.

Needs Debian's python3-torch and python3-onnx, so that python3 is /usr/bin/python3:

    tests/golden/compiler/make_import_golden.py     # writes to onnx/ and kaldi/ beside this script

For each network NAME: onnx/NAME.onnx, or kaldi/NAME.txt and kaldi/NAME.nnet (text and binary), and
NAME_calibration.safetensors (features, lengths, and the logits [frames, units] of every frame).
"""
import argparse
import pathlib
import struct

import numpy as np
import onnx
import torch
from make_golden import write_safetensors
from onnx import TensorProto, helper, numpy_helper

LENGTHS = [9, 1, 14]
INPUTS, UNITS = 5, 4


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


class Layer:
    """One LSTM layer in double precision. Gates are kept apart: w[gate] is [cells, inputs]."""

    def __init__(self, random, inputs, cells, projection=0, peepholes=False):
        outputs = projection or cells
        uniform = lambda *shape: random.uniform(-1, 1, shape).astype(np.float32)
        self.cells, self.outputs = cells, outputs
        self.w = {gate: uniform(cells, inputs) for gate in "ifgo"}
        self.r = {gate: uniform(cells, outputs) for gate in "ifgo"}
        self.b = {gate: uniform(cells) for gate in "ifgo"}
        self.b_recurrent = {gate: uniform(cells) for gate in "ifgo"}
        self.p = {gate: uniform(cells) * np.float32(peepholes) for gate in "ifo"}
        self.projection = uniform(projection, cells) if projection else None

    def run(self, xs, recurrent_bias=True):
        """i and f see the cell before the step, o the cell after it."""
        y, c = np.zeros(self.outputs), np.zeros(self.cells)
        ys = []
        for x in xs:
            z = {gate: self.w[gate].astype(float) @ x + self.r[gate].astype(float) @ y + self.b[gate]
                 + (self.b_recurrent[gate] if recurrent_bias else 0) for gate in "ifgo"}
            i, f = sigmoid(z["i"] + self.p["i"] * c), sigmoid(z["f"] + self.p["f"] * c)
            c = f * c + i * np.tanh(z["g"])
            m = sigmoid(z["o"] + self.p["o"] * c) * np.tanh(c)
            y = m if self.projection is None else self.projection.astype(float) @ m
            ys.append(y)
        return np.array(ys)


def write_logits(path, features, logits):
    write_safetensors(path, {"features": torch.from_numpy(features),
                             "lengths": torch.tensor(LENGTHS),
                             "logits": torch.from_numpy(logits.astype(np.float32))})


def random_features(random):
    return random.normal(0.3, 1.2, (sum(LENGTHS), INPUTS)).astype(np.float32)


def split(features):
    return np.split(features, np.cumsum(LENGTHS)[:-1])


class TorchNetwork(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = torch.nn.LSTM(INPUTS, 6, num_layers=2, batch_first=True)
        self.output = torch.nn.Linear(6, UNITS)

    def logits(self, x):
        return self.output(self.lstm(x)[0])

    def forward(self, x):
        return torch.log_softmax(self.logits(x), dim=-1)


def make_torch(folder):
    """What torch.onnx.export makes of batch-first layers."""
    torch.manual_seed(1)
    network = TorchNetwork().eval()
    torch.onnx.export(network, torch.zeros(1, 3, INPUTS), folder / "torch.onnx",
                      input_names=["features"], output_names=["log_posteriors"],
                      dynamic_axes={"features": {0: "batch", 1: "time"}}, opset_version=13)
    features = random_features(np.random.default_rng(1))
    with torch.no_grad():
        logits = [network.logits(torch.from_numpy(utterance)[None])[0].numpy()
                  for utterance in split(features)]
    write_logits(folder / "torch_calibration.safetensors", features, np.concatenate(logits))


def make_peepholes(folder):
    """Two LSTM nodes with all their inputs, then Gemm: the graph's names are those of the tests."""
    random = np.random.default_rng(2)
    layers = [Layer(random, INPUTS, 6, peepholes=True), Layer(random, 6, 7)]
    weight = random.uniform(-1, 1, (UNITS, 7)).astype(np.float32)
    bias = random.uniform(-1, 1, UNITS).astype(np.float32)
    tensors = {"weight": weight, "bias": bias, "axes0": np.array([1]),
               "axes1": np.array([1, 2])}  # the last one takes the batch of one stream as well
    nodes = []
    for k, layer in enumerate(layers):
        join = lambda parts, gates: np.concatenate([parts[gate] for gate in gates])[None]
        tensors[f"W{k}"], tensors[f"R{k}"] = join(layer.w, "iofg"), join(layer.r, "iofg")
        tensors[f"B{k}"] = np.concatenate([join(layer.b, "iofg"), join(layer.b_recurrent, "iofg")],
                                          axis=1)
        inputs = [f"x{k}", f"W{k}", f"R{k}", f"B{k}"]
        if k == 0:
            tensors["P0"] = join(layer.p, "iof")
            inputs += ["", "", "", "P0"]
        nodes += [helper.make_node("LSTM", inputs, [f"Y{k}"], name=f"lstm{k}",
                                   hidden_size=layer.cells),
                  helper.make_node("Squeeze", [f"Y{k}", f"axes{k}"], [f"x{k + 1}"], name=f"squeeze{k}")]
    nodes.append(helper.make_node("Gemm", ["x2", "weight", "bias"], ["logits"], name="output",
                                  transB=1))
    graph = helper.make_graph(
        nodes, "peepholes",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, ["time", 1, INPUTS])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["time", UNITS])],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    (folder / "peepholes.onnx").write_bytes(model.SerializeToString())
    features = random_features(random)
    outputs = np.concatenate([layers[1].run(layers[0].run(part)) for part in split(features)])
    write_logits(folder / "peepholes_calibration.safetensors", features, outputs @ weight.T + bias)


class KaldiWriter:
    """The same calls write either of Kaldi's two formats."""

    def __init__(self, binary):
        self.binary, self.data = binary, b"\0B" if binary else b""

    def token(self, text, newline=False):
        self.data += text.encode() + (b"\n" if newline and not self.binary else b" ")

    def integers(self, *values):
        for value in values:
            self.data += struct.pack("<bi", 4, value) if self.binary else b"%d " % value

    def number(self, value):
        self.data += struct.pack("<bf", 4, value) if self.binary else b"%g " % value

    def matrix(self, m):
        if self.binary:
            self.data += b"FM " + struct.pack("<bibi", 4, m.shape[0], 4, m.shape[1]) + m.tobytes()
        else:
            rows = ["  " + " ".join(f"{v:.9g}" for v in row) for row in m]
            self.data += (" [\n" + " \n".join(rows) + " ]\n").encode()

    def vector(self, v):
        if self.binary:
            self.data += b"FV " + struct.pack("<bi", 4, len(v)) + v.tobytes()
        else:
            self.data += (" [ " + " ".join(f"{x:.9g}" for x in v) + " ]\n").encode()


def write_kaldi(binary, shift, scale, layers, weight, bias):
    out = KaldiWriter(binary)
    out.token("<Nnet>", newline=True)
    for name, vector in ("<AddShift>", shift), ("<Rescale>", scale):
        out.token(name)
        out.integers(INPUTS, INPUTS)
        out.token("<LearnRateCoef>")
        out.number(0)
        out.vector(vector)
        out.token("<!EndOfComponent>", newline=True)
    inputs = INPUTS
    for layer in layers:
        out.token("<LstmProjected>")
        out.integers(layer.outputs, inputs)
        out.token("<CellDim>")
        out.integers(layer.cells)
        for name, value in (("LearnRateCoef", 1), ("BiasLearnRateCoef", 1), ("CellClip", 50),
                            ("DiffClip", 1), ("CellDiffClip", 0), ("GradClip", 250)):
            out.token(f"<{name}>")
            out.number(value)
        join = lambda parts: np.concatenate([parts[gate] for gate in "gifo"])
        out.matrix(join(layer.w))
        out.matrix(join(layer.r))
        out.vector(join(layer.b))
        for gate in "ifo":
            out.vector(layer.p[gate])
        out.matrix(layer.projection)
        out.token("<!EndOfComponent>", newline=True)
        inputs = layer.outputs
    out.token("<AffineTransform>")
    out.integers(UNITS, inputs)
    for name in "<LearnRateCoef>", "<BiasLearnRateCoef>", "<MaxNorm>":
        out.token(name)
        out.number(0)
    out.matrix(weight)
    out.vector(bias)
    out.token("<!EndOfComponent>", newline=True)
    out.token("<Softmax>")
    out.integers(UNITS, UNITS)
    out.token("<!EndOfComponent>", newline=True)
    out.token("</Nnet>", newline=True)
    return out.data


def make_kaldi(folder):
    random = np.random.default_rng(3)
    layers = [Layer(random, INPUTS, 7, projection=4, peepholes=True),
              Layer(random, 4, 6, projection=3, peepholes=True)]
    weight = random.uniform(-1, 1, (UNITS, 3)).astype(np.float32)
    bias = random.uniform(-1, 1, UNITS).astype(np.float32)
    shift = random.uniform(-1, 1, INPUTS).astype(np.float32)
    scale = random.uniform(0.5, 2, INPUTS).astype(np.float32)
    for suffix, binary in (".nnet", True), (".txt", False):
        (folder / f"projected{suffix}").write_bytes(
            write_kaldi(binary, shift, scale, layers, weight, bias))
    features = random_features(random)
    outputs = []
    for part in split(features):
        y = (part.astype(float) + shift) * scale
        for layer in layers:
            y = layer.run(y, recurrent_bias=False)
        outputs.append(y)
    write_logits(folder / "projected_calibration.safetensors", features,
                 np.concatenate(outputs) @ weight.T + bias)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    folder = parser.parse_args().output
    for name in "onnx", "kaldi":
        (folder / name).mkdir(exist_ok=True)
    make_torch(folder / "onnx")
    make_peepholes(folder / "onnx")
    make_kaldi(folder / "kaldi")


if __name__ == "__main__":
    main()
