# SPDX-License-Identifier: Apache-2.0
"""Random small ONNX graphs around LSTM nodes, most of which an exporter could have written.

Each graph is a chain from the input x over front nodes, LSTMs, an output layer and a tail. The forms of nodes,
the layouts and the opsets are those that several exporters write. Some links of the chain change what the
network computes, and ese-compile must refuse those or compute the same.
"""
import dataclasses

import numpy as np
from onnx import TensorProto, helper, numpy_helper


@dataclasses.dataclass
class Graph:
    """A model, its feeds, the features in the order of frames, and what its first output is."""

    model: bytes
    feeds: dict
    features: np.ndarray  # [frames, inputs]
    output: str  # logits, softmax or logsoftmax
    links: list  # what was drawn, for the report


class Builder:
    """Draws one graph. `axes` has a letter for each axis of the current value: T, B, D, C or U."""

    def __init__(self, rng):
        self.rng = rng
        self.opset = int(rng.integers(9, 21))
        self.nodes, self.tensors, self.inputs, self.links = [], [], [], []
        self.feeds, self.names = {}, 0
        self.time, self.features, self.units = (int(n) for n in rng.permutation([4, 5, 6, 7, 8])[:3])
        self.batch_is_fixed, self.time_is_fixed = rng.random(2) < 0.5
        self.uses_constant_nodes = rng.random() < 0.3
        self.uses_names = rng.random() < 0.7
        self.value, self.axes, self.channels = "x", "", self.features
        self.output = "logits"
        self.input_value = "x"

    def chance(self, probability):
        return self.rng.random() < probability

    def pick(self, *choices):
        return choices[self.rng.integers(len(choices))]

    def name(self):
        self.names += 1
        return f"v{self.names}"

    def constant(self, array):
        name = self.name()
        tensor = numpy_helper.from_array(np.asarray(array), name)
        if self.uses_constant_nodes:
            self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        else:
            self.tensors.append(tensor)
        return name

    def integers(self, *values):
        return self.constant(np.array(values, np.int64))

    def floats(self, *shape, scale=0.5):
        return self.constant(self.rng.uniform(-scale, scale, shape).astype(np.float32))

    def node(self, kind, inputs, outputs=1, **attributes):
        names = [self.name() for _ in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, name=f"{kind}_{len(self.nodes)}" if self.uses_names
                                           else "", **attributes))
        return names[0] if outputs == 1 else names

    def length(self, axis):
        """The length of an axis of the current value."""
        letter = self.axes[axis]
        return {"T": self.time, "C": self.channels}.get(letter, 1)

    # Links that change shapes.

    def transpose(self, order):
        self.value = self.node("Transpose", [self.value], perm=[int(k) for k in order])
        self.axes = "".join(self.axes[k] for k in order)

    def with_axes(self, kind, axes):
        if self.opset >= 13:
            return self.node(kind, [self.value, self.integers(*axes)])
        return self.node(kind, [self.value], axes=list(axes))

    def squeeze(self, axis):
        shown = axis - len(self.axes) if self.chance(0.3) and self.opset >= 11 else axis
        self.value = self.with_axes("Squeeze", [shown])
        self.axes = self.axes[:axis] + self.axes[axis + 1:]

    def unsqueeze(self, axis, letter="U"):
        self.value = self.with_axes("Unsqueeze", [axis])
        self.axes = self.axes[:axis] + letter + self.axes[axis:]

    def reshape(self, shape):
        self.value = self.node("Reshape", [self.value, shape if isinstance(shape, str) else self.integers(*shape)])

    def shape_length(self, axis):
        """A list of one computed length, in the forms of several exporters."""
        shape = self.node("Shape", [self.value])
        form = self.pick("gather", "slice", "list")
        if form == "slice" and self.opset >= 10:
            return self.node("Slice", [shape, self.integers(axis), self.integers(axis + 1), self.integers(0)])
        if form == "list":
            return self.node("Gather", [shape, self.integers(axis)], axis=0)
        scalar = self.node("Gather", [shape, self.constant(np.array(axis, np.int64))], axis=0)
        if self.opset >= 13:
            return self.node("Unsqueeze", [scalar, self.integers(0)])
        return self.node("Unsqueeze", [scalar], axes=[0])

    def flatten_frames(self):
        """[T, B, C] to [T * B, C]."""
        last = self.pick(-1, self.channels)
        form = self.pick("minus", "number", "computed")
        if form == "minus":
            self.reshape([-1, self.channels])
        elif form == "number":
            self.reshape([self.time, last])
        else:
            product = self.node("Mul", [self.shape_length(0), self.shape_length(1)])
            self.reshape(self.node("Concat", [product, self.integers(last)], axis=0))
        self.axes = "TC"

    def noise(self):
        """A link that exporters write between layers, or one that changes the meaning."""
        kind = self.pick("Identity", "Cast", "Dropout", "TwoTransposes", "UnSqueeze", "ReshapeSame", "ReshapeSame",
                         "Gather", "SqueezeAll")
        if self.chance(0.15):
            kind = self.pick("ReshapeWrong", "ReshapeWrong", "Slice", "SplitConcat", "Relu", "Swap", "Reverse", "Scale",
                             "BatchNorm")
        self.links.append(kind)
        getattr(self, "noise_" + kind)()

    def noise_Identity(self):
        self.value = self.node("Identity", [self.value])

    def noise_Cast(self):
        self.value = self.node("Cast", [self.value], to=TensorProto.FLOAT)

    def noise_Dropout(self):
        self.value = self.node("Dropout", [self.value])

    def noise_TwoTransposes(self):
        order = self.rng.permutation(len(self.axes))
        self.transpose(order)
        if self.chance(0.8):
            self.transpose(np.argsort(order))
        else:  # any other order, which may exchange time and batch
            self.transpose(self.rng.permutation(len(self.axes)))

    def noise_UnSqueeze(self):
        axis = int(self.rng.integers(len(self.axes) + 1))
        self.unsqueeze(axis)
        if self.chance(0.9):
            self.squeeze(axis)

    def noise_ReshapeSame(self):
        shape = [self.pick(0, self.length(k)) for k in range(len(self.axes))]
        if self.chance(0.5):
            shape[self.rng.integers(len(shape))] = -1
        if self.chance(0.3):
            parts = [self.shape_length(k) if self.chance(0.5) else self.integers(shape[k] or self.length(k))
                     for k in range(len(shape))]
            self.reshape(self.node("Concat", parts, axis=0))
        else:
            self.reshape(shape)

    def noise_ReshapeWrong(self):
        """The elements in other places, which only by chance have the same meaning."""
        lengths = [self.length(k) for k in range(len(self.axes))]
        order = self.rng.permutation(len(lengths))
        shape = [lengths[k] for k in order]
        if self.chance(0.3):
            shape[self.rng.integers(len(shape))] = -1
        self.reshape(shape)
        self.axes = "".join(self.axes[k] for k in order)

    def noise_Slice(self):
        axis = int(self.rng.integers(len(self.axes)))
        begin, end = self.pick((0, 1 << 30), (0, self.length(axis)), (0, max(1, self.length(axis) - 1)), (1, 1 << 30))
        if self.opset >= 10:
            self.value = self.node("Slice", [self.value, self.integers(begin), self.integers(end),
                                             self.integers(axis)])
        else:
            self.value = self.node("Slice", [self.value], starts=[begin], ends=[end], axes=[axis])

    def noise_SplitConcat(self):
        axis = int(self.rng.integers(len(self.axes)))
        if self.length(axis) % 2:
            return
        attributes = {"num_outputs": 2} if self.opset >= 18 else {}
        halves = self.node("Split", [self.value], 2, axis=axis, **attributes)
        self.value = self.node("Concat", halves if self.chance(0.7) else halves[::-1], axis=axis)

    def noise_Relu(self):
        self.value = self.node(self.pick("Relu", "Tanh", "Neg"), [self.value])

    def noise_Swap(self):
        order = list(range(len(self.axes)))
        first, second = self.rng.choice(len(order), 2, replace=False)
        order[first], order[second] = order[second], order[first]
        self.value = self.node("Transpose", [self.value], perm=[int(k) for k in order])
        if self.chance(0.5):
            self.axes = "".join(self.axes[k] for k in order)

    def noise_Reverse(self):
        if self.opset >= 10:
            axis = int(self.rng.integers(len(self.axes)))
            self.value = self.node("Slice", [self.value, self.integers(-1), self.integers(-(1 << 30)),
                                             self.integers(axis), self.integers(-1)])

    def noise_Scale(self):
        kind = self.pick("Mul", "Add", "Sub", "Div")
        shape = self.pick((1,), (self.channels,))
        self.value = self.node(kind, [self.value, self.constant(
            self.rng.uniform(0.5, 1.5, shape).astype(np.float32))])

    def noise_SqueezeAll(self):
        self.value = self.node("Squeeze", [self.value])
        self.axes = "".join(axis for k, axis in enumerate(self.axes) if self.length(k) != 1)
        if self.chance(0.8) and len(self.axes) == 2:
            self.unsqueeze(int(self.rng.integers(2)), "B")

    def noise_Gather(self):
        ones = [k for k in range(len(self.axes)) if self.length(k) == 1]
        axis = int(self.pick(*ones)) if ones and self.chance(0.8) else int(self.rng.integers(len(self.axes)))
        self.value = self.node("Gather", [self.value, self.constant(np.array(0, np.int64))], axis=axis)
        self.axes = self.axes[:axis] + self.axes[axis + 1:]
        if self.chance(0.8):
            self.unsqueeze(axis, "B")

    def noise_BatchNorm(self):
        if self.axes.find("C") == 1:
            vectors = [self.constant(self.rng.uniform(0.5, 1.5, self.channels).astype(np.float32)) for _ in range(4)]
            self.value = self.node("BatchNormalization", [self.value, *vectors])

    def arrange(self, axes):
        """Brings the current value to these axes, if it has them."""
        ones = [k for k, axis in enumerate(self.axes) if axis in "UD"]
        for k in reversed(ones):
            self.squeeze(k)
        if len(self.axes) == len(axes) - 1 and "B" not in self.axes:
            self.unsqueeze(int(self.rng.integers(len(self.axes) + 1)), "B")
        if sorted(self.axes) == sorted(axes) and self.axes != axes:
            self.transpose([self.axes.index(axis) for axis in axes])

    def finish(self):
        """The complete graph."""
        graph = helper.make_graph(self.nodes, self.pick("main_graph", "torch_jit", "net"), self.inputs,
                                  [helper.make_tensor_value_info(self.value, TensorProto.FLOAT, None)], self.tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)],
                                  producer_name=self.pick("pytorch", "tf2onnx", ""), ir_version=8)
        return model.SerializeToString()
