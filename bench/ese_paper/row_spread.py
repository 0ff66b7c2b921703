#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures how unequal a trained network's rows and columns are, for the random weights of network.cc.

    bench/ese_paper/row_spread.py [CHECKPOINT]   (build/train/runs/main.trunk.pt, from ./run train)

For each matrix it prints the standard deviation of the logarithm of the rows' and the columns' root
mean square. Then it keeps 10 % of the network's own weights and prints the words of the longest PE's
share, once with equally many weights for each PE (balanced) and once with the largest weights of the
matrix (unbalanced). The unbalanced share is also given as a multiple of the mean share."""
import pathlib
import sys

import numpy as np
import torch

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PES, MAX_GAP = 32, 15
GATES = "ifco"  # in torch's order; the paper calls the third gate c


def matrices(model):
    """Yields the matrices of a one-layer torch.nn.LSTM with projection, with the paper's names."""
    for suffix, key in (("x", "lstm.weight_ih_l0"), ("r", "lstm.weight_hh_l0")):
        for gate, weights in zip(GATES, model[key].float().numpy().reshape(4, -1, model[key].shape[1])):
            yield f"W{gate}{suffix}", weights
    yield "Wym", model["lstm.weight_hr_l0"].float().numpy()


def spread(weights, axis):
    return np.log(np.sqrt((weights ** 2).mean(axis))).std()


def entries(mask):
    """Returns the number of entries of each PE, padding included."""
    counts = []
    for pe in range(PES):
        share = mask[pe::PES]
        gap, count = np.zeros(share.shape[1], int), 0
        for row in share:
            count += (1 + gap[row] // (MAX_GAP + 1)).sum()
            gap = np.where(row, 0, gap + 1)
        counts.append(count)
    return np.array(counts)


def balanced(magnitudes, density):
    mask = np.zeros(magnitudes.shape, bool)
    for pe in range(PES):
        share = magnitudes[pe::PES]
        mask[pe::PES] = share > np.quantile(share, 1 - density)
    return mask


def main():
    torch.set_num_threads(1)
    default = ROOT / "build" / "train" / "runs" / "main.trunk.pt"
    path = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else default
    saved = torch.load(path, map_location="cpu")
    print(f"{path.name} after {saved['state']['update']} updates")
    print("matrix   rows  columns  balanced words  unbalanced words   of mean")
    for name, weights in matrices(saved["model"]):
        magnitudes = np.abs(weights)
        even = entries(balanced(magnitudes, 0.1))
        uneven = entries(magnitudes > np.quantile(magnitudes, 0.9))
        print(f"{name:6} {spread(weights, 1):6.3f} {spread(weights, 0):8.3f} {even.max():15} "
              f"{uneven.max():17} {uneven.max() / uneven.mean():9.3f}")


if __name__ == "__main__":
    main()
