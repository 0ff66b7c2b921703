# SPDX-License-Identifier: Apache-2.0
"""Prunes the LSTMs of a module while it trains."""

import warnings

import torch

from .masks import check_floats, entries_for, lstm_matrices, row_balanced_mask
from .schedule import CubicSchedule

STATE = ("steps", "finished", "targets", "entries", "masks", "dense")


class _Target:
    """One matrix, its current mask, and the number of entries per row that it is to reach."""

    def __init__(self, matrix, entries, saliency, pattern):
        self.matrix, self.target = matrix, entries
        self.saliency, self.pattern = saliency, pattern
        self.entries = matrix.columns
        self.mask = torch.ones_like(matrix.joined(), dtype=torch.bool)
        self.dense = None  # with regrow, the weights as if not pruned, until the masks are final

    def to_device(self):
        """Moves the mask to the module's device, which may have changed."""
        device = self.matrix.parameters[0].device
        self.mask = self.mask.to(device)
        if self.dense is not None:
            self.dense = self.dense.to(device)

    def write(self, values):
        """Sets the weights to `values` under the mask, and to zero elsewhere."""
        kept = values.masked_fill(~self.mask, 0.0)
        for part, new in zip(self.matrix.parameters, self.matrix.split(kept)):
            part.copy_(new)

    def shrink(self, entries, allowed=None):
        """Makes a mask that keeps `entries` weights of each row."""
        values = self.matrix.joined() if self.dense is None else self.dense
        scores = values if self.saliency is None else self.saliency(self.matrix, values)
        self.mask = self.pattern(scores, entries=entries, allowed=allowed, name=self.matrix.label)
        self.entries = entries


class Pruner:
    """Keeps every torch.nn.LSTM within `module` row-balanced and makes it sparser on a schedule.

    Call step() after each optimizer.step(), and finish() once at the end.

    density: the share of each row that gates and projections keep in the end. density_gates and
    density_projection set it for one kind of matrix.
    regrow: masks may change until the end of the schedule. The gradient of a pruned weight then
    continues to train it in the background (dynamic pruning with feedback, Lin et al. 2020), and the
    weight comes back once it is larger than another of its row. This costs a copy of the weights.
    Without regrow, a pruned weight stays pruned.
    saliency: decides which weights are kept. It is a function of (LstmMatrix, its values [rows,
    columns]) that returns a score for each weight; the largest scores stay. By default the score is
    the magnitude.
    pattern: decides which masks are allowed. It is a function with the arguments of
    row_balanced_mask, which is the pattern that the engine runs best.

    Raises ValueError or TypeError, with the tensor and the remedy, if ESE cannot serve an LSTM, if a
    weight is not finite, or if a density cannot be reached because training began with fewer weights.
    """

    def __init__(self, module, density=None, schedule=None, *, density_gates=None,
                 density_projection=None, regrow=False, saliency=None,
                 pattern=row_balanced_mask):
        if not isinstance(module, torch.nn.Module):
            raise TypeError(f"Pruner: got a {type(module).__name__}; give the torch.nn.Module")
        if not isinstance(schedule, CubicSchedule):
            raise ValueError("Pruner: give schedule=CubicSchedule(start_step, end_step)")
        self.schedule, self.regrow, self._pattern = schedule, regrow, pattern
        self.steps, self.finished = 0, False
        self._targets = []
        densities = {"gates": density if density_gates is None else density_gates,
                     "projection": density if density_projection is None else density_projection}
        for name, child in module.named_modules():
            if isinstance(child, torch.nn.LSTM):
                for matrix in lstm_matrices(child, f"{name}." if name else ""):
                    if densities[matrix.kind] is None:
                        raise ValueError(f"{matrix.label}: give density or "
                                         f"density_{matrix.kind}, such as 0.1")
                    entries = entries_for(densities[matrix.kind], matrix.columns, matrix.label)
                    self._check_reachable(matrix, entries)
                    self._targets.append(_Target(matrix, entries, saliency, pattern))
        if not self._targets:
            raise ValueError(f"{type(module).__name__} contains no torch.nn.LSTM; give the module "
                             "that does")

    def _check_reachable(self, matrix, entries):
        # This mask keeps everything; it is made for its checks of shape, type and values.
        row_balanced_mask(matrix.joined(), entries=matrix.columns, name=matrix.label)
        there = (matrix.joined() != 0).sum(1)
        row = int(there.argmin())
        balanced = self._pattern is row_balanced_mask
        if balanced and not self.regrow and int(there[row]) < entries:
            raise ValueError(
                f"{matrix.label}: {matrix.row(row)} has {int(there[row])} non-zero weights of "
                f"{matrix.columns}, so {entries} cannot stay; begin with weights that were not "
                "pruned, lower the density, or set regrow=True")

    @property
    def masks(self):
        """The current masks, {parameter's name: bool tensor}."""
        return {name: part for target in self._targets
                for name, part in zip(target.matrix.names, target.matrix.split(target.mask))}

    def entries(self):
        """Returns {matrix: (entries kept in each row, columns)}; gates are "weight_ih | weight_hh"."""
        return {target.matrix.label: (target.entries, target.matrix.columns)
                for target in self._targets}

    @torch.no_grad()
    def mask_gradients(self):
        """Sets the gradients of pruned weights to zero.

        Calling it is optional. Call it before gradients are clipped, to keep pruned weights out of
        their norm. It cannot be used with regrow, which needs these gradients.
        """
        if self.regrow and not self.finished:
            raise ValueError("Pruner.mask_gradients: it would prevent regrow=True from regrowing; "
                             "leave one of them out")
        for target in self._targets:
            target.to_device()
            for part, mask in zip(target.matrix.parameters, target.matrix.split(target.mask)):
                if part.grad is not None:
                    part.grad.masked_fill_(~mask, 0.0)

    @torch.no_grad()
    def step(self):
        """Tightens the masks on schedule and applies them. Call it after each optimizer.step()."""
        self.steps += 1
        moving = not self.finished and self.steps <= self.schedule.end_step
        due = (self.steps - self.schedule.start_step) % self.schedule.every == 0
        for target in self._targets:
            target.to_device()
            values = target.matrix.joined()
            entries = target.entries
            if not self.finished:
                entries = self.schedule.entries(target.matrix.columns, target.target, self.steps)
            if self.regrow and moving:
                # A pruned weight was zero, so its value is now the optimizer's update.
                pruned = values if target.dense is None else target.dense + values
                values = target.dense = torch.where(target.mask, values, pruned)
                if entries < target.entries or (entries < target.matrix.columns and due):
                    target.shrink(entries)
            elif entries < target.entries:
                target.dense = None
                target.shrink(entries, target.mask)
            target.write(values)
            if not moving:
                target.dense = None

    @torch.no_grad()
    def finish(self):
        """Makes the masks final; returns entries(). Training may continue under them, with step().

        Every row then has exactly its number of non-zero weights. A kept weight that is zero in
        single precision becomes the smallest normal number, which the compiler rounds to zero.
        """
        if self.steps < self.schedule.end_step and not self.finished:
            warnings.warn(f"Pruner.finish: called after {self.steps} steps of a schedule that ends at "
                          f"{self.schedule.end_step}; the rest is pruned at once, which costs "
                          "accuracy; shorten the schedule or continue training", stacklevel=2)
        for target in self._targets:
            target.to_device()
            if target.entries > target.target:
                target.shrink(target.target, None if self.regrow else target.mask)
            values = target.matrix.joined() if target.dense is None else target.dense
            check_floats(values, target.matrix.label)
            target.dense = None
            tiny = max(torch.finfo(values.dtype).tiny, torch.finfo(torch.float32).tiny)
            target.write(values.masked_fill(values.float() == 0, tiny))
        self.finished = True
        return self.entries()

    def state_dict(self):
        """Returns what load_state_dict needs. Save it together with the module and the optimizer."""
        return {"steps": self.steps, "finished": self.finished,
                "targets": {t.matrix.label: t.target for t in self._targets},
                "entries": {t.matrix.label: t.entries for t in self._targets},
                "masks": {t.matrix.label: t.mask.clone() for t in self._targets},
                "dense": {t.matrix.label: t.dense.clone() for t in self._targets
                          if t.dense is not None}}

    def load_state_dict(self, state):
        """Continues from the state_dict() of a pruner with the same densities on the same network."""
        missing = [key for key in STATE if not isinstance(state, dict) or key not in state]
        if missing:
            raise ValueError(f"the saved pruner has no {missing[0]!r}; give what "
                             "Pruner.state_dict() returned")
        wanted = {target.matrix.label: target.target for target in self._targets}
        if state["targets"] != wanted:
            raise ValueError(f"the saved pruner keeps {state['targets']} weights per row, but this one "
                             f"keeps {wanted}; make it for the same module with the same densities")
        for target in self._targets:
            label = target.matrix.label
            if state["masks"][label].shape != target.mask.shape:
                raise ValueError(f"{label}: the saved mask has the shape "
                                 f"{list(state['masks'][label].shape)}, but the weights have "
                                 f"{list(target.mask.shape)}; make the pruner for the same module")
        self.steps, self.finished = state["steps"], state["finished"]
        for target in self._targets:
            label = target.matrix.label
            target.entries, target.mask = state["entries"][label], state["masks"][label].clone()
            dense = state["dense"].get(label)
            target.dense = None if dense is None else dense.clone()
            target.to_device()
