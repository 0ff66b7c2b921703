# SPDX-License-Identifier: Apache-2.0
"""Draws whole networks of the links in graphs.py: the input, LSTMs, the output layer and the tail."""
import numpy as np
from graphs import Builder, Graph
from onnx import TensorProto, helper

RARE = 0.04  # the probability of each feature that a stream cannot have


def add_input(build):
    """Declares x, in the order of axes of some exporter, and draws its features."""
    build.axes = build.pick("TBC", "BTC", "BTC", "TC", "BCT", "UBTC")
    shape = []
    for k, axis in enumerate(build.axes):
        is_fixed = {"T": build.time_is_fixed, "B": build.batch_is_fixed}.get(axis, True)
        shape.append(build.length(k) if is_fixed else {"T": "time", "B": "batch"}[axis])
    if build.chance(0.1):
        shape = None
    build.inputs.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, shape))
    features = build.rng.normal(0, 1, (build.time, build.features)).astype(np.float32)
    order = {"T": 0, "C": 1}
    x = features.transpose([order[axis] for axis in build.axes if axis in order])
    build.feeds["x"] = np.ascontiguousarray(x.reshape([build.length(k) for k in range(len(build.axes))]))
    return features


def weights(build, shape):
    """A weight, complete or put together by the graph."""
    if build.chance(0.85) or build.opset < 10:
        return build.floats(*shape)
    blocks = [build.node("Slice", [whole, build.integers(0), build.integers(shape[1] // 4), build.integers(0)])
              for whole in (build.floats(shape[1], *shape[2:]) for _ in range(4))]
    joined = build.node("Concat", blocks, axis=0)
    if build.opset >= 13:
        return build.node("Unsqueeze", [joined, build.integers(0)])
    return build.node("Unsqueeze", [joined], axes=[0])


def state(build, directions, cells, layout):
    """An initial state: none, zeros in several forms, the caller's, and forms that a stream cannot have."""
    shape = [1, directions, cells] if layout else [directions, 1, cells]
    form = build.pick("none", "zeros", "input", "fill", "fill computed", "none", "none")
    if build.chance(RARE):
        form = build.pick("numbers", "features", "size")
    build.links.append("state " + form)
    if form == "none":
        return ""
    if form == "zeros":
        return build.constant(np.zeros(shape, np.float32))
    if form == "numbers":
        return build.floats(*shape)
    if form == "size":
        return build.constant(np.zeros([*shape[:2], 2 * cells], np.float32))
    if form == "input":
        name = build.name()
        build.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        build.feeds[name] = np.zeros(shape, np.float32)
        return name
    if form == "features" and build.opset >= 10 and len(build.axes) == 3 and build.channels >= cells:
        part = build.node("Slice", [build.value, build.integers(0, 0), build.integers(1, cells),
                                    build.integers(0, 2)])
        return part
    if form == "fill computed" and not layout and build.axes == "TBC":
        parts = [build.integers(directions), build.shape_length(1), build.integers(cells)]
        return build.node("ConstantOfShape", [build.node("Concat", parts, axis=0)])
    return build.node("ConstantOfShape", [build.integers(*shape)])


def add_lstm(build):
    """An LSTM on the current value, and the nodes that remove its axis of directions."""
    layout = int(build.opset >= 14 and build.chance(0.01))  # ONNX Runtime refuses 1
    build.arrange("BTC" if layout else "TBC")
    cells = int(build.pick(3, 5, 9))
    attributes = {"hidden_size": cells}
    directions = 1
    if layout:
        attributes["layout"] = 1
    if build.chance(RARE):
        attributes["direction"] = build.pick("bidirectional", "reverse")
        directions = 2 if attributes["direction"] == "bidirectional" else 1
        build.links.append(attributes["direction"])
    if build.chance(0.1):
        attributes["activations"] = build.pick(
            ["Sigmoid", "Tanh", "Tanh"], ["Sigmoid", "Sigmoid", "Tanh"],
            ["HardSigmoid" if build.chance(0.2) else "Sigmoid", "Tanh", "Tanh"]) * directions
    if build.chance(0.05):
        attributes["clip"] = build.pick(0.5, 20.0)
    if build.chance(RARE):
        attributes["input_forget"] = 1
    inputs = [build.value, weights(build, (directions, 4 * cells, build.channels)),
              weights(build, (directions, 4 * cells, cells)),
              build.floats(directions, 8 * cells) if build.chance(0.9) else "", ""]
    if build.chance(0.1):
        inputs[4] = lengths(build)
    inputs += [state(build, directions, cells, layout), state(build, directions, cells, layout)]
    if build.chance(0.2):
        inputs.append(build.floats(directions, 3 * cells))
        build.links.append("peepholes")
    while not inputs[-1]:
        inputs.pop()
    kind = build.pick("GRU", "RNN") if build.chance(0.01) else "LSTM"
    outputs = build.node(kind, inputs, 3, **attributes) if kind == "LSTM" else build.node(kind, inputs, 2)
    build.value, build.axes, build.channels = outputs[0], "BTDC" if layout else "TDBC", cells
    if build.chance(RARE / 2):
        build.value, build.axes = outputs[1], "DBC"
        build.links.append("Y_h")
        return
    remove_directions(build, directions)


def lengths(build):
    form = build.pick("all", "input", "input", "short")
    build.links.append("lengths " + form)
    if form != "input":
        return build.constant(np.array([build.time - (form == "short")], np.int32))
    name = build.name()
    build.inputs.append(helper.make_tensor_value_info(name, TensorProto.INT32, [1]))
    build.feeds[name] = np.array([build.time], np.int32)
    return name


def remove_directions(build, directions):
    axis = build.axes.index("D")
    if directions == 1 and build.chance(0.6):
        build.squeeze(axis)
        return
    if directions == 1 and build.chance(0.3):
        build.value = build.node("Gather", [build.value, build.constant(np.array(0, np.int64))], axis=axis)
        build.axes = build.axes.replace("D", "")
        return
    rest = build.axes.replace("D", "")
    order = [build.axes.index(letter) for letter in rest[:-1]] + [axis, len(build.axes) - 1]
    if build.chance(0.9):
        build.transpose(order)
    build.channels *= directions
    build.reshape([0, 0, build.pick(-1, build.channels)])
    build.axes = rest


def add_output(build):
    """The output layer as Gemm, or MatMul and Add."""
    build.arrange(build.pick("TBC", "BTC"))
    if len(build.axes) == 3 and build.chance(0.3):
        if build.axes == "TBC" and build.chance(0.5):
            build.flatten_frames()
        else:
            build.squeeze(build.axes.index("B"))
    units = 1 if build.chance(0.01) else build.units
    if len(build.axes) == 2 and build.chance(0.6):
        is_rows = int(build.chance(0.5))
        weight = build.floats(*((units, build.channels) if is_rows else (build.channels, units)))
        inputs = [build.value, weight]
        if build.chance(0.8):
            inputs.append(build.floats(*build.pick((units,), (1, units), (1,))))
        build.value = build.node("Gemm", inputs, transB=is_rows, alpha=build.pick(1.0, 0.5), beta=build.pick(1.0, 2.0))
    else:
        build.value = build.node("MatMul", [build.value, build.floats(build.channels, units)])
    build.channels = units
    while build.chance(0.5):
        shape = build.pick((units,), (units,), (1,), (1, units))
        if build.chance(RARE):
            shape = build.pick((build.time, 1), (build.time, 1, units))
        terms = [build.value, build.floats(*shape)]
        build.value = build.node("Add", terms if build.chance(0.5) else terms[::-1])


def add_tail(build):
    """Adds the nodes between the output layer and the graph's output."""
    while build.chance(0.25):
        build.noise()
    if build.chance(0.01):
        build.value = build.node("Sigmoid", [build.value])
        build.output = "sigmoid"
    if build.chance(RARE) and build.channels % 2 == 0:
        build.reshape([0] * (len(build.axes) - 1) + [2, build.channels // 2])
        build.axes += "C"
    softmaxes = int(build.pick(0, 1, 1, 1)) if build.chance(0.95) else 2
    for _ in range(softmaxes):
        kind = build.pick("Softmax", "LogSoftmax")
        rank = len(build.axes)
        units = build.axes.rfind("C")
        axis = build.pick(units, units - rank)
        if build.chance(0.2):
            axis = build.rng.integers(-rank, rank)
        attributes = {"axis": int(axis)} if build.chance(0.85) else {}
        build.value = build.node(kind, [build.value], **attributes)
        build.output = kind.lower()
    while build.chance(0.25):
        build.noise()


def draw(rng):
    """A random graph."""
    build = Builder(rng)
    features = add_input(build)
    while build.chance(0.15):
        build.noise()
    for layer in range(int(build.pick(1, 1, 2))):
        while layer > 0 and build.chance(0.3):
            build.noise()
        add_lstm(build)
    while build.chance(0.25):
        build.noise()
    add_output(build)
    add_tail(build)
    return Graph(build.finish(), build.feeds, features, build.output, build.links)
