# SPDX-License-Identifier: Apache-2.0
"""Trunks as files small enough for the repository, since they cost most of the hours.

results/trunks/NAME.npz (numpy's compressed arrays): every matrix as integers of 7 bits with a float
scale for each row, the rest as it is. Branches go on from the file, on the machine that trained the
trunk as on any other, so that nothing depends on where they are trained.
"""

import numpy
import torch

LARGEST = 63


def path_of(results, name):
    """Where a trunk lies."""
    return results / "trunks" / (name + ".npz")


def write(path, tensors):
    """tensors: {name: float tensor of one or two dimensions}."""
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
    """{name: float tensor}."""
    with numpy.load(path) as arrays:
        return {name: torch.from_numpy(arrays[name] * arrays[name + "/scale"]
                                       if name + "/scale" in arrays.files else arrays[name])
                for name in arrays.files if not name.endswith("/scale")}
