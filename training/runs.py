# SPDX-License-Identifier: Apache-2.0
"""The experiment: which networks are trained, how they are pruned, and in which order.

A trunk is trained from scratch, dense, at a high learning rate. Branches continue from it with a rate
that falls to nearly zero; one stays dense, and the others are pruned. All branches of a trunk get the
same number of updates, so the differences between them come from pruning. Branches with another seed
start from the same trunk, but their order of data, augmentation and dropout differ.
"""

import dataclasses

from training.patterns import PATTERNS
from training.settings import Size

SIZES = {"main": Size(1, 1024, 512),  # the paper's
         "small": Size(2, 320, 160), "smoke": Size(2, 64, 32)}
INPUTS = 153
FACTORS = (20, 40, 30)  # how many times smaller than in fp32 the matrices get, with 16 bits per entry
WIDE_DENSITIES = (0.11, 0.05, 0.20, 0.03, 0.08, 0.15, 0.30)  # the most informative come first
TRIED_AT = (0.10, 0.05)


@dataclasses.dataclass(frozen=True)
class Run:
    """One training run. Its name is SIZE.trunk or SIZE.sSEED.WHAT, and its files are named after it."""

    name: str
    size: str
    seed: int
    updates: int
    parent: str = ""  # the trunk or finished run that it continues from; "": from scratch
    density: float = 1.0  # the share of each row that is kept
    density_projection: float = 0.0  # the same for weight_hr; 0: like the others
    pattern: str = "row"
    saliency: str = "magnitude"
    regrow: bool = False
    prune_share: float = 0.35  # the share of the updates in which masks tighten
    cycles: int = 1  # cycles of the learning rate after pruning
    teacher: str = ""  # a finished run whose posteriors are learned as well

    @property
    def is_trunk(self):
        """Whether the run is trained from scratch."""
        return not self.parent

    @property
    def needs(self):
        """The names of the runs that must be finished first."""
        return [name for name in (self.parent, self.teacher) if name]


TRICKS = {
    "regrow": {"regrow": True},
    "taylor": {"saliency": "taylor"},
    "second_order": {"saliency": "second_order"},
    "movement": {"saliency": "movement"},
    "distilled": {},
    "longer": {},
    "cyclic": {"cycles": 3},
    "slower_pruning": {"prune_share": 0.6},
    "more_projection": {},
}


def _density(columns, factor):
    """Returns the largest density at which a matrix is at least `factor` times smaller."""
    return 2 * columns // factor / columns


def _percent(density):
    return f"d{100 * density:g}"


def _tricks(size, seed, updates):
    """Yields runs at two densities, plain and with each trick alone."""
    for density in TRIED_AT:
        base = Run(f"{size}.s{seed}.row.{_percent(density)}", size, seed, updates, f"{size}.trunk",
                   density)
        yield base
        for trick, changes in TRICKS.items():
            changes = dict(changes, name=f"{size}.s{seed}.{trick}.{_percent(density)}")
            if trick == "distilled":
                changes["teacher"] = f"{size}.s{seed}.dense"
            if trick == "longer":
                changes["updates"] = 2 * updates
            if trick == "more_projection":
                # Of the 0.91 M weights of 2 x 320/160, 0.81 M are in gate rows, so the total budget
                # stays the same.
                changes.update(density=density * 0.92, density_projection=density * 1.75)
            yield dataclasses.replace(base, **changes)


def _wide(size, seed, updates):
    """Yields a run for every pattern at every density."""
    for density in WIDE_DENSITIES:
        for pattern in PATTERNS:
            yield Run(f"{size}.s{seed}.{pattern}.{_percent(density)}", size, seed, updates,
                      f"{size}.trunk", density, pattern=pattern)


def _dense(size, seed, updates):
    return Run(f"{size}.s{seed}.dense", size, seed, updates, f"{size}.trunk")


def _main(seed, updates):
    """Returns the dense run, and the pruned runs with the dense one as their teacher."""
    dense = _dense("main", seed, updates)
    return [dense] + [Run(f"main.s{seed}.{factor}x", "main", seed, updates, "main.trunk",
                          _density(INPUTS + SIZES["main"].projection, factor),
                          _density(SIZES["main"].cells, factor), teacher=dense.name)
                      for factor in FACTORS]


def _again(run, parent, updates):
    """Returns `run`, but continuing from a finished run: rows fill up and are pruned once more."""
    return dataclasses.replace(run, name=f"{run.name}_again", parent=parent.name, updates=updates,
                               prune_share=0.2)


def _main_again(dense, *pruned):
    """Returns runs that train the dense network further and prune each factor from the 20x network."""
    return [_again(dense, dense, 2000)] + [_again(run, pruned[0], 2000) for run in pruned]


def _language(language, size, trunk_updates, updates):
    """Yields the runs of another language's recipe. As in English, both seeds share one trunk."""
    columns, trunk = INPUTS + SIZES[size].projection, f"{language}.trunk"
    yield Run(trunk, size, 1, trunk_updates)
    for seed in (1, 2):
        yield Run(f"{language}.s{seed}.dense", size, seed, updates, trunk)
        for factor in (20, 40):
            yield Run(f"{language}.s{seed}.{factor}x", size, seed, updates, trunk,
                      _density(columns, factor), _density(SIZES[size].cells, factor))


def dutch():
    """Returns all runs of the Dutch recipe."""
    return list(_language("nl", "small", 900, 320))


def dutch_smoke():
    """Returns the same runs with a few updates each."""
    return list(_language("nl", "smoke", 6, 4))


def full():
    """Returns all runs, the most informative first."""
    small = {seed: [_dense("small", seed, 400), *_wide("small", seed, 400)] for seed in (1, 2)}
    main = _main(1, 2000)
    runs = [Run("main.trunk", "main", 1, 2000), *main, *_main_again(*main), *_main(2, 2000),
            Run("small.trunk", "small", 1, 1600), *small[1], *_tricks("small", 1, 400), *small[2],
            *_tricks("small", 2, 400)]
    return list(dict.fromkeys(runs))


def select(runs, prefix):
    """Returns the runs whose names begin with `prefix`, and those that they need."""
    wanted = {run.name for run in runs if run.name.startswith(prefix)}
    for run in reversed(runs):  # a run comes after the runs that it needs
        if run.name in wanted:
            wanted.update(run.needs)
    return [run for run in runs if run.name in wanted]


def smoke():
    """Returns every kind of run, with a few updates each."""
    tricks = list(_tricks("smoke", 1, 4))
    runs = [Run("smoke.trunk", "smoke", 1, 6), _dense("smoke", 1, 4), *tricks,
            _again(tricks[0], tricks[0], 4), *_wide("smoke", 1, 4)]
    return list(dict.fromkeys(runs))
