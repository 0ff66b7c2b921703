# SPDX-License-Identifier: Apache-2.0
"""How many weights a row keeps on the way from all to the target."""

import dataclasses
import math
import numbers


def cubic_entries(columns, target, progress):
    """Weights that a row of `columns` keeps when `progress` (0 to 1) of its pruning is done."""
    return max(target, math.floor(target + (columns - target) * (1 - progress) ** 3 + 0.5))


@dataclasses.dataclass(frozen=True)
class CubicSchedule:
    """Fast at first, while pruning is harmless, then ever more gently (Zhu and Gupta, 2017):

        entries = target + (columns - target) (1 - progress)^3

    progress goes from 0 at start_step to 1 at end_step, in moves of `every` steps. Equal steps
    prune at once. A tenth to a third of all training between them, and as much retraining under
    the final masks after end_step, is a good beginning.
    """

    start_step: int
    end_step: int
    every: int = 10

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, numbers.Integral):
                raise TypeError(f"CubicSchedule: {field.name} is {value!r}; give a whole number of "
                                "steps")
        if not 0 <= self.start_step <= self.end_step:
            raise ValueError(f"a schedule from step {self.start_step} to {self.end_step}; set "
                             "0 <= start_step <= end_step")
        if self.every < 1:
            raise ValueError(f"masks cannot move every {self.every} steps; set every >= 1")

    def progress(self, step):
        """0 up to start_step, 1 from end_step on."""
        if step >= self.end_step:
            return 1.0
        if step <= self.start_step:
            return 0.0
        moves = (step - self.start_step) // self.every
        return moves * self.every / (self.end_step - self.start_step)

    def entries(self, columns, target, step):
        """Weights that a row of `columns` keeps after `step` steps; never fewer than target."""
        return cubic_entries(columns, target, self.progress(step))
