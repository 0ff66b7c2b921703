# SPDX-License-Identifier: Apache-2.0
"""Other masks and saliencies, for comparison: values for ese_prune.Pruner's `pattern` and `saliency`."""

import torch

from training.ese_prune.masks import row_balanced_mask

PROCESSING_ELEMENTS = 32


def _largest(scores, groups, count, allowed):
    """Returns a mask of each group's `count` largest magnitudes. Row r is in group r % groups."""
    scores = scores.detach().float().abs()
    if allowed is not None:
        scores = scores.masked_fill(~allowed, -1.0)
    rows, columns = scores.shape
    grouped = scores.view(rows // groups, groups, columns).transpose(0, 1).reshape(groups, -1)
    order = torch.sort(grouped, dim=1, descending=True, stable=True)[1][:, :count]
    mask = torch.zeros_like(grouped, dtype=torch.bool).scatter_(1, order, True)
    return mask.view(groups, rows // groups, columns).transpose(0, 1).reshape(rows, columns)


def pe_balanced_mask(scores, *, entries, allowed=None, name="weight"):
    """Returns a mask with the paper's balance: the rows r with the same r mod 32 share one budget."""
    rows = scores.shape[0]
    if rows % PROCESSING_ELEMENTS:
        raise ValueError(f"{name}: {rows} rows cannot be divided evenly among {PROCESSING_ELEMENTS} "
                         "processing elements; choose a multiple")
    count = entries * rows // PROCESSING_ELEMENTS
    return _largest(scores, PROCESSING_ELEMENTS, count, allowed)


def unbalanced_mask(scores, *, entries, allowed=None, name="weight"):
    """Returns a mask of the largest magnitudes of the whole matrix. `name` is unused."""
    del name
    return _largest(scores, 1, entries * scores.shape[0], allowed)


PATTERNS = {"row": row_balanced_mask, "pe": pe_balanced_mask, "unbalanced": unbalanced_mask}


class Saliency:
    """Estimates what removing a weight would cost, from the optimiser's averages over about 50 updates.

    taylor: |w g|, the first-order change of the loss. second_order: w^2 E[g^2], which is optimal
    brain damage with the squared gradient in place of the curvature. movement: the sum of -w g since
    pruning began, which is large for weights that training moves away from zero (Sanh et al. 2020).
    """

    KINDS = ("magnitude", "taylor", "second_order", "movement")

    def __init__(self, kind, optimiser):
        if kind not in self.KINDS:
            raise ValueError(f"saliency {kind}: give one of {', '.join(self.KINDS)}")
        self._kind, self._optimiser, self._moved = kind, optimiser, {}

    def observe(self, parameters):
        """Must be called with {name: parameter} after backward and before the optimiser's step."""
        if self._kind == "movement":
            for name, parameter in parameters.items():
                moved = self._moved.setdefault(name, torch.zeros_like(parameter))
                moved.addcmul_(parameter.detach(), parameter.grad, value=-1)

    def _scores(self, name, parameter, values):
        if self._kind == "movement":
            return self._moved[name]
        average = self._optimiser.state[parameter]
        if self._kind == "taylor":
            return (values * average["exp_avg"]).abs()
        return values.square() * average["exp_avg_sq"]

    def __call__(self, matrix, values):
        """Returns the scores [rows, columns] of an ese_prune LstmMatrix. They are not negative."""
        if self._kind == "magnitude":
            return values
        parts = zip(matrix.names, matrix.parameters, matrix.split(values))
        scores = torch.cat([self._scores(*part) for part in parts], 1)
        if self._kind == "movement":  # may be negative; what moved furthest towards zero goes first
            scores = scores - scores.min(1, keepdim=True)[0] + 1e-12
        return scores

    def state_dict(self):
        """Returns what load_state_dict needs."""
        return self._moved

    def load_state_dict(self, state):
        """Continues from a state_dict()."""
        self._moved = state
