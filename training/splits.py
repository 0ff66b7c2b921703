# SPDX-License-Identifier: Apache-2.0
"""Measures other widths than the engine's 7-bit weights and 8-bit activations, without fine-tuning.

The widths are emulated in floats (ese_prune.quantize): products are rounded as the engine would round
them, and gates and cells stay floats. The engine's own figures are measured on the engine (shipped.py).

    /usr/bin/python3 -m training.splits NAME [NAME ...]      finished runs of the experiment
"""

import json
import sys

import torch

from training import evaluate, text
from training.ese_prune.quantize import QuantizedLinear, QuantizedLSTM
from training.settings import REPOSITORY, work_dir
from training.train import load_finished

SPLITS = ((12, 16), (8, 8), (7, 8), (6, 8), (5, 8))  # weights, activations; the paper's first


class Quantized(torch.nn.Module):
    """A Recogniser whose products are rounded."""

    def __init__(self, model, weight_bits, activation_bits):
        super().__init__()
        self.lstm = QuantizedLSTM(model.lstm, weight_bits=weight_bits,
                                  activation_bits=activation_bits)
        self.output = QuantizedLinear(model.output, weight_bits=weight_bits)

    def forward(self, x):
        """Returns the logits of normalised features [frames, batch, inputs]."""
        return self.output(self.lstm(x)[0])


def measure(folder, results, name):
    """Writes results/splits/NAME.json for a finished run: {"W/A": error rates of each test set}."""
    path = results / "splits" / (name + ".json")
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    model, saved = load_finished(folder, name, len(text.UNITS))
    tests = [u for u in torch.load(folder / "features.pt") if u["set"] != "train"]
    table = {}
    for weight_bits, activation_bits in SPLITS:
        quantized = Quantized(model, weight_bits, activation_bits).eval()
        table[f"{weight_bits}/{activation_bits}"] = evaluate.error_rates(
            quantized, tests, saved["mean"], saved["inv"])
    path.write_text(json.dumps(table) + "\n")
    print(f"{name}: " + ", ".join(f"{split} {rates['asterisk']['per']} %"
                                  for split, rates in table.items()), flush=True)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        measure(work_dir(), REPOSITORY / "training/results", argument)
