# SPDX-License-Identifier: Apache-2.0
"""Stores trunks in files that are small enough for the repository, because trunks take most of the time.

results/trunks/NAME.npz (numpy's compressed arrays) holds every matrix as 7-bit integers with a float
scale for each row, and everything else unchanged. Branches always continue from this file, even on
the machine that trained the trunk, so their results do not depend on the machine.
"""

import numpy
import torch

LARGEST = 63


def path_of(results, name):
    """Returns the path of a trunk's file."""
    return results / "trunks" / (name + ".npz")


def write(path, tensors):
    """Writes {name: float tensor of one or two dimensions}."""
    arrays = {}
    for name, tensor in tensors.items():
        array = tensor.detach().numpy()
        if array.ndim == 2:
            scale = numpy.maximum(abs(array).max(1, keepdims=True), 1e-30) / LARGEST
            arrays[name + "/scale"] = scale.astype(numpy.float32)
            array = numpy.rint(array / scale).astype(numpy.int8)
        arrays[name] = array
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with open(part, "wb") as file:
        numpy.savez_compressed(file, **arrays)
    part.rename(path)


def read(path):
    """Returns {name: float tensor}."""
    with numpy.load(path) as arrays:
        return {name: torch.from_numpy(arrays[name] * arrays[name + "/scale"]
                                       if name + "/scale" in arrays.files else arrays[name])
                for name in arrays.files if not name.endswith("/scale")}
