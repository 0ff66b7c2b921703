# SPDX-License-Identifier: Apache-2.0
"""The paper's LSTM with projection and peepholes as an ONNX graph of elementary operators.

It computes the equations of docs/arithmetic.md in floating point. ONNX's own LSTM operator has no
projection. The weights are random, because the time of a dense product does not depend on them."""
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

INPUTS, CELLS, PROJECTED = 153, 1024, 512
RANDOM = np.random.RandomState(0)


def random(*shape, scale=0.05):
    return (RANDOM.randn(*shape) * scale).astype(np.float32)


GATES = random(INPUTS + PROJECTED, 4 * CELLS)
PROJECTION = random(CELLS, PROJECTED)
CONSTANTS = {
    "bias": random(4 * CELLS, scale=0.1),
    "peephole_i": random(CELLS),
    "peephole_f": random(CELLS),
    "peephole_o": random(CELLS),
    "four": np.array([CELLS] * 4, np.int64),
}


class Graph:
    """A graph under construction. Nodes are in order, and each output has a name of its own."""

    def __init__(self, int8):
        self.int8 = int8
        self.nodes = []
        self.initializers = dict(CONSTANTS)
        for name, matrix in (("gates", GATES), ("projection", PROJECTION)):
            if int8:
                scale = np.float32(np.abs(matrix).max() / 127)
                rounded = np.clip(np.round(matrix / scale), -127, 127)
                self.initializers[name] = rounded.astype(np.int8)
                self.initializers[name + "_scale"] = np.array(scale)
            else:
                self.initializers[name] = matrix

    def add(self, operator, *inputs, outputs=1, **attributes):
        names = [f"v{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def product(self, x, name):
        if not self.int8:
            return self.add("MatMul", x, name)
        x8, scale, zero = self.add("DynamicQuantizeLinear", x, outputs=3)
        sums = self.add("MatMulInteger", x8, name, zero)
        both = self.add("Mul", scale, name + "_scale")
        return self.add("Mul", self.add("Cast", sums, to=TensorProto.FLOAT), both)

    def step(self, x, y, c):
        z = self.add("Add", self.product(self.add("Concat", x, y, axis=1), "gates"), "bias")
        zi, zf, zg, zo = self.add("Split", z, "four", outputs=4, axis=1)
        gate = lambda z, name, cell: self.add(
            "Sigmoid", self.add("Add", z, self.add("Mul", cell, "peephole_" + name)))
        i, f = gate(zi, "i", c), gate(zf, "f", c)
        kept = self.add("Mul", f, c)
        c = self.add("Add", kept, self.add("Mul", i, self.add("Tanh", zg)))
        m = self.add("Mul", gate(zo, "o", c), self.add("Tanh", c))
        return self.product(m, "projection"), c


def make(int8, steps, batch):
    """Returns a serialised model with the inputs x0, x1, .., y, c and the last y and c as outputs."""
    graph = Graph(int8)
    y, c = "y", "c"
    for t in range(steps):
        y, c = graph.step(f"x{t}", y, c)
    graph.nodes.append(helper.make_node("Identity", [y], ["y_out"]))
    graph.nodes.append(helper.make_node("Identity", [c], ["c_out"]))
    value = lambda name, width: helper.make_tensor_value_info(
        name, TensorProto.FLOAT, [batch, width])
    inputs = [value(f"x{t}", INPUTS) for t in range(steps)]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes, "lstmp",
            inputs + [value("y", PROJECTED), value("c", CELLS)],
            [value("y_out", PROJECTED), value("c_out", CELLS)],
            [numpy_helper.from_array(np.ascontiguousarray(array), name)
             for name, array in graph.initializers.items()]),
        opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model.SerializeToString()
