# SPDX-License-Identifier: Apache-2.0
"""How many weights a row keeps on its way from all weights to the target."""

import dataclasses
import math
import numbers


def cubic_entries(columns, target, progress):
    """Returns how many weights a row of `columns` keeps at a `progress` from 0 to 1."""
    return max(target, math.floor(target + (columns - target) * (1 - progress) ** 3 + 0.5))


@dataclasses.dataclass(frozen=True)
class CubicSchedule:
    """Prunes fast at first, while that is harmless, and then more and more slowly (Zhu, Gupta, 2017):

        entries = target + (columns - target) (1 - progress)^3

    progress goes from 0 at start_step to 1 at end_step and changes every `every` steps. If both steps
    are equal, everything is pruned at once. A good first choice is to let the schedule last a tenth to
    a third of all training, and to retrain for as long under the final masks.
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
            raise ValueError(f"CubicSchedule: cannot go from step {self.start_step} to "
                             f"{self.end_step}; set 0 <= start_step <= end_step")
        if self.every < 1:
            raise ValueError(f"CubicSchedule: masks cannot change every {self.every} steps; set "
                             "every >= 1")

    def progress(self, step):
        """Returns 0 up to start_step and 1 from end_step on."""
        if step >= self.end_step:
            return 1.0
        if step <= self.start_step:
            return 0.0
        moves = (step - self.start_step) // self.every
        return moves * self.every / (self.end_step - self.start_step)

    def entries(self, columns, target, step):
        """Returns how many weights a row of `columns` keeps after `step` steps, at least `target`."""
        return cubic_entries(columns, target, self.progress(step))
