#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds of the fuzzers: small valid inputs of each kind, and golden files.

    tests/fuzz/make_corpus.py build/seeds     # writes build/seeds/NAME/seed_*

The inputs with which fuzzing reached new code are in corpus/ beside this script; bench/fuzz.py --minimise
adds them. This script needs only Python's standard library.
"""
import argparse
import json
import pathlib
import struct

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden" / "compiler"
FUZZER_NOW = 1_800_000_000


# ---- protobuf ----

def varint(value):
    value &= (1 << 64) - 1
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def message(*fields):
    """Encodes fields, which are pairs (number, value). An int becomes a varint, a float a float, bytes and str
    a string, and ("f64", int) or ("f32", int) a fixed integer."""
    out = b""
    for number, value in fields:
        if isinstance(value, float):
            out += varint(number << 3 | 5) + struct.pack("<f", value)
        elif isinstance(value, int):
            out += varint(number << 3) + varint(value)
        elif isinstance(value, tuple) and value[0] == "f64":
            out += varint(number << 3 | 1) + struct.pack("<Q", value[1])
        elif isinstance(value, tuple):
            out += varint(number << 3 | 5) + struct.pack("<I", value[1])
        else:
            data = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(data)) + data
    return out


# ---- compiled models (docs/model_format.md) ----

def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def align(size, to=64):
    return -(-size // to) * to


def matrix_sections(name, rows, columns, entries_per_row, fine_entries_per_row=0):
    spare = min(1, columns - entries_per_row)  # odd rows skip this many columns at their beginning
    entries = [(row % 2 * spare if k == 0 else 0) << 7 | (row * 5 + k * 3) % 64 for row in range(rows)
               for k in range(entries_per_row)]
    fine = [row << 2 & 0x7F for row in range(rows) for _ in range(fine_entries_per_row)]
    fine_sections = [(f"{name}/fine_entries", struct.pack(f"<{len(fine)}H", *fine))] if fine else []
    return [(f"{name}/entries", struct.pack(f"<{len(entries)}H", *entries)), *fine_sections,
            (f"{name}/shift", bytes(row % 3 for row in range(rows))),
            (f"{name}/bias", struct.pack(f"<{rows}i", *(1000 * row for row in range(rows))))]


def compiled_model(layers, inputs, units, features=b"", fine=0):
    """Each of `layers` is a tuple (cells, projection, peepholes, sigmoid). With `fine` entries in each row, the
    input is wide too."""
    dim = inputs // 2 if fine else inputs
    sections = [("input/mean", struct.pack(f"<{dim}f", *[0.5] * dim)),
                ("input/inv_stddev", struct.pack(f"<{dim}f", *[2.0] * dim))]
    fields = [(1, "fuzz"), (3, 5)]
    if features:
        fields.append((2, features))
    for index, (cells, projection, peepholes, sigmoid) in enumerate(layers):
        outputs = projection or cells
        kept = min(2, cells)
        fields.append((4, message((1, inputs), (2, cells), (3, projection), (4, int(peepholes)),
                                  (5, int(sigmoid)), (6, 7), (7, 2),
                                  (8, kept if projection else 0), (9, 7), (10, fine),
                                  (11, fine if projection else 0))))
        sections += matrix_sections(f"layer{index}/gates", 4 * cells, inputs + outputs, 2, fine)
        if peepholes:
            sections.append((f"layer{index}/peepholes", struct.pack(f"<{3 * cells}h", *range(3 * cells))))
        if projection:
            sections += matrix_sections(f"layer{index}/projection", projection, cells, kept, fine)
        inputs = outputs
    fields.append((5, message(*[(1, f"U{k}") for k in range(units)], (2, 1), (3, 1), (4, fine))))
    sections += matrix_sections("output", units, inputs, 1, fine)
    fields.append((7, message((1, "source"), (2, "fuzz"))))
    fields.append((8, int(fine > 0)))

    def manifest(begin):
        described, offset = [], begin
        for name, data in sections:
            offset = align(offset)
            described.append((6, message((1, name), (2, ("f64", offset)), (3, len(data)),
                                         (4, ("f32", crc32c(data))))))
            offset += len(data)
        return message(*fields, *described)

    begin = 64 + len(manifest(0))
    text = manifest(begin)
    body = bytearray(text)
    for _, data in sections:
        body += bytes(align(64 + len(body)) - 64 - len(body)) + data
    header = struct.pack("<8sIIIIQ28x", b"ESEMODEL", 3 if fine else 2, len(text), crc32c(text), 0, 64 + len(body))
    return header + struct.pack("<I", crc32c(header)) + bytes(body)


def models():
    audio = message((1, 8000), (2, 25.0), (3, 10.0), (4, 2), (5, 20.0), (6, 0.0), (7, 0.97), (8, 2))
    return [compiled_model([(1, 0, False, False)], 2, 2),
            compiled_model([(2, 1, False, False)], 4, 2, fine=1),
            compiled_model([(3, 2, True, True), (2, 0, False, False)], 4, 3, audio)]


# ---- trained networks ----

def safetensors(tensors):
    header, data = {}, b""
    for name, (kind, shape, values) in tensors.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text)) + text + data


def safetensors_files():
    def floats(*shape):
        count = 1
        for size in shape:
            count *= size
        return "F32", list(shape), struct.pack(f"<{count}f", *(0.1 * (k + 1) for k in range(count)))

    network = {"l.weight_ih": floats(8, 2), "l.weight_hh": floats(8, 1), "l.bias_ih": floats(8),
               "l.bias_hh": floats(8), "l.weight_hr": floats(1, 2), "l.weight_ci": floats(2),
               "l.weight_cf": floats(2), "l.weight_co": floats(2),
               "o.w": floats(2, 1), "o.b": floats(2), "mean": floats(2), "inv_stddev": floats(2)}
    kinds = {"a": ("F64", [1], bytes(8)), "b": ("F16", [2], bytes(4)), "c": ("BF16", [1, 2], bytes(4)),
             "d": ("I64", [1], bytes(8)), "e": ("I32", [0], b""), "f": ("BOOL", [], b"\1")}
    return [safetensors(network), safetensors(kinds)]


def topologies():
    layer = {"prefix": "l.", "suffix": "", "input": 4, "cells": 2, "projection": 1, "peepholes": True,
             "g": "sigmoid"}
    features = {"sample_rate_hz": 8000, "num_mel_bins": 2, "stack": 2}
    whole = {"name": "n", "features": features, "layers": [layer],
             "output": {"weight": "o.w", "bias": "o.b", "units": ["a", "b"], "blank": 0},
             "input": {"mean": "m", "inv_stddev": "s"}, "training": {"seed": 1, "x": {"y": "z"}}}
    annotations = {"name": "n", "output": {"units": ["a", "b"], "blank": 0},
                   "input": {"mean": [0.5, 1], "inv_stddev": [1, 2]}, "training": {"seed": 1}}
    files = [json.dumps(tree, separators=(",", ":")).encode() for tree in (whole, annotations)]
    return files + [(GOLDEN / f"{name}.json").read_bytes() for name in ("projected", "stacked")]


def onnx_network():
    def tensor(name, *shape):
        count = 1
        for size in shape:
            count *= size
        return message(*[(1, size) for size in shape], (2, 1), (8, name),
                       (9, struct.pack(f"<{count}f", *[0.25] * count)))

    def node(kind, inputs, outputs, *attributes):
        return message(*[(1, name) for name in inputs], *[(2, name) for name in outputs], (3, kind),
                       (4, kind), *[(5, attribute) for attribute in attributes])

    def integer(name, value):
        return message((1, name), (3, value), (20, 2))

    def value(name):
        shape = message(*[(1, message((2, dim))) for dim in ("T", "B")], (1, message((1, 2))))
        return message((1, name), (2, message((1, message((1, 1), (2, shape))))))

    axes = message((1, 1), (2, 7), (7, varint(1)), (8, "axes"))
    graph = message(
        (1, node("LSTM", ["x", "W", "R", "B"], ["y"], integer("hidden_size", 2))),
        (1, node("Squeeze", ["y", "axes"], ["z"])),
        (1, node("MatMul", ["z", "M"], ["p"])),
        (1, node("Add", ["p", "b"], ["logits"])),
        (2, "g"), (5, tensor("W", 1, 8, 2)), (5, tensor("R", 1, 8, 2)), (5, tensor("B", 1, 16)),
        (5, tensor("M", 2, 3)), (5, tensor("b", 3)), (5, axes), (11, value("x")), (12, value("logits")))
    return message((1, 7), (7, graph), (8, message((1, ""), (2, 13))))


def onnx_files():
    return [onnx_network(), (GOLDEN / "onnx" / "peepholes.onnx").read_bytes()] + [
        path.read_bytes() for path in sorted((GOLDEN / "onnx").glob("test_lstm_*/model.onnx"))]


def kaldi(binary):
    inputs, cells, outputs, units = 2, 1, 1, 2

    def token(text):
        return text.encode() + b" "

    def number(value):
        if not binary:
            return f"{value} ".encode()
        return b"\4" + struct.pack("<i" if isinstance(value, int) else "<f", value)

    def values(rows, columns, vector=False):
        numbers = [0.5 - 0.25 * k for k in range(rows * columns)]
        if not binary:
            lines = [" ".join(map(str, numbers[r * columns:(r + 1) * columns])) for r in range(rows)]
            return ("[ " + "\n".join(lines) + " ]\n").encode()
        sizes = number(columns) if vector else number(rows) + number(columns)
        return (b"FV " if vector else b"FM ") + sizes + struct.pack(f"<{len(numbers)}f", *numbers)

    def vector(size):
        return values(1, size, vector=True)

    def component(kind, rows, columns, *parts):
        return token(kind) + number(rows) + number(columns) + b"".join(parts)

    rate, end = token("<LearnRateCoef>"), token("<!EndOfComponent>")
    return (b"\0B" if binary else b"") + token("<Nnet>") + b"".join([
        component("<AddShift>", inputs, inputs, rate, number(0.0), vector(inputs), end),
        component("<Rescale>", inputs, inputs, rate, number(0.0), vector(inputs), end),
        component("<LstmProjected>", outputs, inputs, token("<CellDim>"), number(cells),
                  token("<CellClip>"), number(50.0), values(4 * cells, inputs), values(4 * cells, outputs),
                  vector(4 * cells), vector(cells), vector(cells), vector(cells), values(outputs, cells),
                  end),
        component("<AffineTransform>", units, outputs, rate, number(1.0), values(units, outputs),
                  vector(units), end),
        component("<Softmax>", units, units, end)]) + token("</Nnet>")


# ---- inputs of the server and of cards ----

def checkpoints():
    body = message((1, "f" * 32), (2, ("f64", 1)), (3, ("f64", 2)), (4, 5), (5, FUZZER_NOW - 60), (6, 2),
                   (7, 1), (8, 1), (9, 3), (10, bytes(range(8))), (11, bytes(range(4))), (12, "t"))
    return [body]


def requests():
    def stream(*messages):
        return b"".join(bytes([len(text)]) + text for text in messages)

    def config(*fields):
        return message((1, message(*fields)))

    def chunk(data):
        return message((2, data))

    checkpoint = message((3, b""))
    frames = struct.pack("<12f", *[0.5] * 12)
    samples = struct.pack("<60h", *range(-3000, 3000, 100))
    return [
        stream(config((1, "plain"), (3, message((1, 1), (2, 6))), (4, 1), (7, 1)), chunk(frames), checkpoint,
               chunk(frames)),
        stream(config((1, "plain"), (3, message((1, 2))), (6, bytes(range(1, 12))), (8, "tenant"), (9, 3)),
               chunk(bytes(24)), checkpoint),
        stream(config((1, "audio"), (2, message((1, 1000))), (4, 1), (5, 1), (7, 2)), chunk(samples),
               checkpoint, chunk(samples))]


def cards():
    """Returns memories for 4 PEs and 8 lanes, with one layer of three cells, with and without a projection, and
    one output pass."""
    pes, lanes, model_at = 4, 8, 128

    def passes(projection):
        # kind, g_sigmoid, shift, entries, rows, count, source, target
        gates = (0, 1, 5, 2, 4, 3, 0, 2)
        second = (1, 0, 12, 2, 1, 2, 0, 2) if projection else (3, 0, 0, 3, 1, 3, 0, 2)
        return [gates, second, (2, 0, 0, 2, 1, 4, 2, 0)]

    memories = []
    for projection in (True, False):
        records, rows, beats = b"", 0, 0
        for kind, sigmoid, shift, entries, count_rows, count, source, target in passes(projection):
            records += struct.pack("<IHHHH52x", kind | sigmoid << 2 | shift << 3 | entries << 16, count_rows,
                                   count, source, target)
            if kind != 3:
                rows += count_rows
                beats += count_rows * entries
        header = struct.pack("<8I32x", 0x43455345, 2 | pes << 16, 3, rows, beats, 2, 2 if projection else 3,
                             1)
        constants = b"".join(struct.pack("<ihH", 100 * k, k, k % 4) for k in range(rows * pes))
        weights = struct.pack(f"<{beats * pes}H", *(k % 2 << 7 | k % 100 for k in range(beats * pes)))
        descriptor = struct.pack("<6QII8x", model_at, 0, 64, 128, 192, 0, lanes, 3)
        descriptor += struct.pack(f"<{lanes}H", *[k % 4 for k in range(lanes)])
        memories.append(descriptor.ljust(model_at, b"\0") + header + records + constants + weights)
    return memories


SEEDS = {"model": models, "safetensors": safetensors_files, "topology": topologies, "onnx": onnx_files,
         "kaldi": lambda: [kaldi(False), kaldi(True)], "checkpoint": checkpoints, "request": requests,
         "card": cards}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    folder = parser.parse_args().folder
    for name, seeds in SEEDS.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for k, seed in enumerate(seeds()):
            (folder / name / f"seed_{k}").write_bytes(seed)


if __name__ == "__main__":
    main()
