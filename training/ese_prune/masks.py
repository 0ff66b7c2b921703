# SPDX-License-Identifier: Apache-2.0
"""Row-balanced masks: every row of a matrix keeps the same number of weights.

`ese-compile build --density` makes the same choice (compiler/prune.h), so for the same weights the
masks of training and of the compiler are equal.
"""

import dataclasses
import math
import numbers

import torch

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
DIVERGED = ("go back to an earlier checkpoint, and continue with a lower learning rate or with "
            "clipped gradients")


def entries_for(density, columns, name="weight"):
    """Returns how many weights a row keeps: round(density * columns), halves up, at least one."""
    if not isinstance(density, numbers.Real):
        raise TypeError(f"{name}: the density is {density!r}; give a number such as 0.1")
    if not 0 < density <= 1:
        raise ValueError(f"{name}: cannot keep a share of {density}; a density must be above 0 and "
                         "at most 1")
    return max(1, math.floor(density * columns + 0.5))


def check_floats(tensor, name, remedy=DIVERGED):
    """Raises unless every value of the tensor is a finite number in single precision.

    remedy: what to do if a value is not, for the error's text.
    """
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"{name}: is a {type(tensor).__name__}; give a torch.Tensor")
    if tensor.dtype not in FLOATS:
        raise TypeError(f"{name}: has the type {tensor.dtype}; convert it to floats with .float()")
    if tensor.is_meta or tensor.layout != torch.strided:
        raise TypeError(f"{name}: is {tensor.layout} on {tensor.device}; give a dense tensor that "
                        "has values")
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
    """Returns a mask of the largest magnitudes of each row. Among equals, lower columns are kept.

    weight: floats [rows, columns]. density or entries: the share or the number to keep in each row.
    allowed: an optional mask; nothing outside it is kept. name: what errors call the weight.
    The result is a bool tensor [rows, columns] that is True where a weight stays. Exactly `entries`,
    or round(density * columns), are True in every row. Magnitudes are compared in single precision,
    as in the compiler.
    """
    check_matrix(weight, name)
    rows, columns = weight.shape
    if (density is None) == (entries is None):
        raise ValueError(f"{name}: give either density or entries")
    if entries is None:
        entries = entries_for(density, columns, name)
    if entries != int(entries) or not 1 <= entries <= columns:
        raise ValueError(f"{name}: cannot keep {entries} entries of a row of {columns}; keep between "
                         f"1 and {columns}")
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
    """A matrix as the engine sees it: one parameter, or two whose columns are side by side."""

    kind: str  # "gates": [weight_ih | weight_hh] of a layer, "projection": weight_hr
    names: tuple[str, ...]  # the names of the parameters within the module
    lstm: torch.nn.LSTM
    parts: tuple[str, ...]  # their names within the LSTM

    @property
    def cells(self):
        """The number of cells in the layer."""
        return self.lstm.hidden_size

    @property
    def parameters(self):
        """The current parameters. They are looked up each time, because loading a state may replace them."""
        return tuple(getattr(self.lstm, part) for part in self.parts)

    @property
    def label(self):
        """The matrix's name in errors and reports, which ese-compile uses too."""
        return " | ".join(self.names)

    @property
    def columns(self):
        """The number of columns of all parts together."""
        return sum(part.shape[1] for part in self.parameters)

    def joined(self):
        """Returns the values of all parts side by side, without gradient."""
        return torch.cat([part.detach() for part in self.parameters], 1)

    def split(self, joined):
        """Splits a tensor shaped like joined() into its parts."""
        return joined.split([part.shape[1] for part in self.parameters], 1)

    def row(self, row):
        """Describes a row, as in "row 9 (gate f of cell 1)"."""
        if self.kind != "gates":
            return f"row {row}"
        return f"row {row} (gate {'ifgo'[row // self.cells]} of cell {row % self.cells})"


def parameter_of(module, prefix, name):
    """Returns the parameter `name` of a module. Raises if it is computed from others and may be stale."""
    value = getattr(module, name)
    if not isinstance(value, torch.nn.Parameter):
        raise TypeError(f"{prefix}{name}: is computed from other parameters, for example by "
                        "weight_norm or torch.nn.utils.prune; make it a parameter again with "
                        "remove_weight_norm, prune.remove or parametrize.remove_parametrizations")
    return value


def lstm_matrices(lstm, prefix=""):
    """Returns an LstmMatrix for every layer's gates and projection. Names begin with `prefix`."""
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
    """Returns the masks of an LSTM's weights, {name: bool tensor}.

    Gates are pruned on [weight_ih | weight_hh] of each layer, so one row may keep more input weights
    and another more recurrent weights. density_projection is for weight_hr; by default it equals the
    gates' density.
    """
    masks = {}
    for matrix in lstm_matrices(lstm, prefix):
        density = density_gates
        if matrix.kind == "projection" and density_projection is not None:
            density = density_projection
        mask = row_balanced_mask(matrix.joined(), density, name=matrix.label)
        masks.update(zip(matrix.names, (part.contiguous() for part in matrix.split(mask))))
    return masks
