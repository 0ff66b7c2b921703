# SPDX-License-Identifier: Apache-2.0
"""Row-balanced masks: every row of a matrix keeps the same number of weights.

The same choice as `ese-compile build --density` makes (compiler/prune.h), so that a mask of the
training and a mask of the compiler for the same weights are one.
"""

import dataclasses
import math
import numbers

import torch

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
DIVERGED = ("go back to a checkpoint from before, and train on with a lower rate or with clipped "
            "gradients")


def entries_for(density, columns, name="weight"):
    """Weights to keep in a row: round(density * columns), halves up, at least one."""
    if not isinstance(density, numbers.Real):
        raise TypeError(f"{name}: the density is {density!r}; give a number, as 0.1")
    if not 0 < density <= 1:
        raise ValueError(f"{name}: cannot keep a share of {density}; a density is above 0 and at "
                         "most 1")
    return max(1, math.floor(density * columns + 0.5))


def check_floats(tensor, name, remedy=DIVERGED):
    """Raises unless every value of the tensor is a finite number in single precision.

    remedy: what to do where one is not.
    """
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"{name}: is a {type(tensor).__name__}; give a torch.Tensor")
    if tensor.dtype not in FLOATS:
        raise TypeError(f"{name}: has the type {tensor.dtype}; give floats, as with .float()")
    if tensor.is_meta or tensor.layout != torch.strided:
        raise TypeError(f"{name}: is {tensor.layout} on {tensor.device}; give a dense tensor that "
                        "holds its values")
    bad = ~torch.isfinite(tensor.detach().float())
    if bad.any():
        place = [int(index) for index in bad.nonzero()[0]]
        raise ValueError(f"{name}: the value at {place} is {tensor[tuple(place)].item()} in single "
                         f"precision, and {int(bad.sum())} values are not finite; {remedy}")


def check_matrix(weight, name, remedy=DIVERGED):
    """Raises unless `weight` is a matrix of finite floats."""
    check_floats(weight, name, remedy)
    if weight.dim() != 2 or not weight.numel():
        raise ValueError(f"{name}: has the shape {list(weight.shape)}; give a matrix [rows, "
                         "columns]")


def row_balanced_mask(weight, density=None, *, entries=None, allowed=None, name="weight"):
    """The largest magnitudes of each row, of equals those in the lower columns.

    weight: floats [rows, columns]. density or entries: share or number to keep in each row.
    allowed: an optional mask outside which nothing may be kept. name: what errors call the weight.
    Returns a bool tensor [rows, columns], True where a weight stays, with exactly `entries` or
    round(density * columns) True in every row. Magnitudes are compared in single precision, as the
    compiler does.
    """
    check_matrix(weight, name)
    rows, columns = weight.shape
    if (density is None) == (entries is None):
        raise ValueError(f"{name}: give either density or entries")
    if entries is None:
        entries = entries_for(density, columns, name)
    if entries != int(entries) or not 1 <= entries <= columns:
        raise ValueError(f"{name}: cannot keep {entries} entries of a row of {columns}; keep from "
                         f"1 to {columns}")
    scores = weight.detach().float().abs()
    if allowed is not None:
        if allowed.shape != weight.shape or allowed.dtype != torch.bool:
            raise ValueError(f"{name}: `allowed` is {allowed.dtype} {list(allowed.shape)}; give a "
                             f"bool tensor {[rows, columns]}")
        scarcest = int(allowed.sum(1).argmin())
        if int(allowed[scarcest].sum()) < entries:
            raise ValueError(f"{name}: row {scarcest} may keep only {int(allowed[scarcest].sum())} "
                             f"weights, not {int(entries)}; lower the density")
        scores = scores.masked_fill(~allowed, -1.0)
    order = torch.sort(scores, dim=1, descending=True, stable=True)[1][:, :int(entries)]
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, order, True)


@dataclasses.dataclass(frozen=True)
class LstmMatrix:
    """A matrix as the engine sees it: one parameter, or two whose columns lie side by side."""

    kind: str  # "gates": [weight_ih | weight_hh] of a layer, "projection": weight_hr
    names: tuple[str, ...]  # of the parts, within the module
    lstm: torch.nn.LSTM
    parts: tuple[str, ...]  # the same, within the LSTM

    @property
    def cells(self):
        """Cells of the layer."""
        return self.lstm.hidden_size

    @property
    def parameters(self):
        """The parts as they are now: loading a state may have put others in their place."""
        return tuple(getattr(self.lstm, part) for part in self.parts)

    @property
    def label(self):
        """What errors and reports call it, as ese-compile does."""
        return " | ".join(self.names)

    @property
    def columns(self):
        """Columns of all parts."""
        return sum(part.shape[1] for part in self.parameters)

    def joined(self):
        """The values of all parts side by side, without gradient."""
        return torch.cat([part.detach() for part in self.parameters], 1)

    def split(self, joined):
        """The parts of a tensor that is shaped like joined()."""
        return joined.split([part.shape[1] for part in self.parameters], 1)

    def row(self, row):
        """"row 9 (gate f of cell 1)"."""
        if self.kind != "gates":
            return f"row {row}"
        return f"row {row} (gate {'ifgo'[row // self.cells]} of cell {row % self.cells})"


def parameter_of(module, prefix, name):
    """The parameter `name` of a module; raises where another computes it, so that it may be old."""
    value = getattr(module, name)
    if not isinstance(value, torch.nn.Parameter):
        raise TypeError(f"{prefix}{name}: is computed from other parameters, as by weight_norm or "
                        "torch.nn.utils.prune; make it a parameter again, with remove_weight_norm, "
                        "prune.remove or parametrize.remove_parametrizations")
    return value


def lstm_matrices(lstm, prefix=""):
    """The LstmMatrix of every layer's gates and projection; prefix: "encoder.", as in names."""
    name = prefix.rstrip(".") or "the module"
    if not isinstance(lstm, torch.nn.LSTM):
        raise TypeError(f"{name}: is a {type(lstm).__name__}; give a torch.nn.LSTM")
    if lstm.bidirectional:
        raise ValueError(f"{name}: is bidirectional, but ESE answers frame by frame and cannot "
                         "wait for the end of speech; train with bidirectional=False")
    matrices = []
    for layer in range(lstm.num_layers):
        for kind, parts in (("gates", ("weight_ih", "weight_hh")), ("projection", ("weight_hr",))):
            if kind == "projection" and not lstm.proj_size:
                continue
            parts = tuple(f"{part}_l{layer}" for part in parts)
            for part in parts:
                parameter_of(lstm, prefix, part)  # for its check
            names = tuple(prefix + part for part in parts)
            matrices.append(LstmMatrix(kind, names, lstm, parts))
    return matrices


def lstm_masks(lstm, density_gates, density_projection=None, prefix=""):
    """Masks of an LSTM's weights, {name: bool tensor}.

    Gates are pruned on [weight_ih | weight_hh] of each layer: a row may keep more of its inputs and
    another more of its recurrence. density_projection: of weight_hr, as the gates' if not given.
    """
    masks = {}
    for matrix in lstm_matrices(lstm, prefix):
        density = density_gates
        if matrix.kind == "projection" and density_projection is not None:
            density = density_projection
        mask = row_balanced_mask(matrix.joined(), density, name=matrix.label)
        masks.update(zip(matrix.names, (part.contiguous() for part in matrix.split(mask))))
    return masks
