#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the golden files of compiler/float_lstm_test.cc: small networks of torch.nn.LSTM and
torch.nn.Linear with random weights, and the logits that PyTorch computes with them.

Needs Debian's python3-torch, so that python3 is /usr/bin/python3:

    tests/golden/compiler/make_golden.py            # writes *.safetensors and *.json beside this script

For each network NAME: NAME.safetensors (weights), NAME.json (topology), and
NAME_calibration.safetensors (features, lengths, and the logits [frames, units] of every frame).
"""
import argparse
import json
import pathlib
import struct

import torch

KINDS = {torch.float32: "F32", torch.int64: "I64"}
LENGTHS = [12, 1, 20]
UNITS = ["<blank>", "AA", "B", "S"]
INPUTS = 5

NETWORKS = {
    "projected": dict(hidden_size=8, proj_size=6, num_layers=1),
    "stacked": dict(hidden_size=7, num_layers=2),
}


def write_safetensors(path, tensors):
    """Eight bytes of header length, a JSON header, the data end to end."""
    header, data = {}, b""
    for name, tensor in tensors.items():
        encoded = tensor.detach().contiguous().numpy().tobytes()
        header[name] = {"dtype": KINDS[tensor.dtype], "shape": list(tensor.shape),
                        "data_offsets": [len(data), len(data) + len(encoded)]}
        data += encoded
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def topology(name, shape):
    projection = shape.get("proj_size", 0)
    outputs = projection or shape["hidden_size"]
    layers = [{"prefix": "lstm.", "suffix": f"_l{k}", "input": outputs if k else INPUTS,
               "cells": shape["hidden_size"], "projection": projection}
              for k in range(shape["num_layers"])]
    return {"name": name, "layers": layers,
            "output": {"weight": "output.weight", "bias": "output.bias", "units": UNITS,
                       "blank": 0},
            "input": {"mean": "input.mean", "inv_stddev": "input.inv_stddev"},
            "training": {"seed": 1, "source": "random"}}


def make(name, shape, folder):
    torch.manual_seed(1)
    lstm = torch.nn.LSTM(INPUTS, **shape)
    output = torch.nn.Linear(shape.get("proj_size") or shape["hidden_size"], len(UNITS))
    mean = torch.linspace(-1.0, 2.0, INPUTS)
    inv_stddev = torch.linspace(0.5, 1.5, INPUTS)
    features = 1.5 * torch.randn(sum(LENGTHS), INPUTS) + 0.5
    logits = []
    with torch.no_grad():
        for utterance in features.split(LENGTHS):
            x = ((utterance - mean) * inv_stddev).unsqueeze(1)
            logits.append(output(lstm(x)[0]).squeeze(1))
    weights = {f"lstm.{key}": value for key, value in lstm.state_dict().items()}
    weights.update({"output.weight": output.weight, "output.bias": output.bias,
                    "input.mean": mean, "input.inv_stddev": inv_stddev})
    write_safetensors(folder / f"{name}.safetensors", weights)
    write_safetensors(folder / f"{name}_calibration.safetensors",
                      {"features": features, "lengths": torch.tensor(LENGTHS),
                       "logits": torch.cat(logits)})
    (folder / f"{name}.json").write_text(json.dumps(topology(name, shape), indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    folder = parser.parse_args().output
    for name, shape in NETWORKS.items():
        make(name, shape, folder)


if __name__ == "__main__":
    main()
