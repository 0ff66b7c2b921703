# SPDX-License-Identifier: Apache-2.0
"""The recipes: what differs between the languages in each stage."""

import dataclasses
from collections.abc import Callable

from training import data, dutch, evaluate, runs, settings


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What `./run train --recipe LANGUAGE` uses."""

    language: str
    rows: Callable  # (work folder, settings) -> rows of the manifest
    settings: settings.Settings
    smoke_settings: settings.Settings
    runs: Callable
    smoke_runs: Callable
    shipped: dict  # {run: the model's name} for the runs that are exported
    test_sets: tuple
    source: str  # the training data, as the model's topology names them

    def model(self, run_name):
        """Returns the name of the model that a run is exported as."""
        return self.shipped.get(run_name, self.language + "-phones")


def _dutch(sizes):
    return dataclasses.replace(sizes, units=dutch.UNITS, recorded=tuple(dutch.SPEAKERS.values()),
                               recorded_repeats=1)


ENGLISH = Recipe(
    "en", data.english, settings.full(), settings.smoke(), runs.full, runs.smoke,
    {"main.s1.20x_again": "en-phones", "main.s1.40x_again": "en-phones-40x"}, evaluate.TEST_SETS,
    "Asterisk core sounds en (CC-BY-SA-3.0), flite voices slt rms awb reading sentences of the "
    "fortunes package")

DUTCH = Recipe(
    "nl", dutch.rows, _dutch(settings.full()), _dutch(settings.smoke()), runs.dutch,
    runs.dutch_smoke, {"nl.s1.20x": "nl-phones"}, (dutch.TEST_SET,), "fillets-ng-data-nl (GPL-2)")

RECIPES = {recipe.language: recipe for recipe in (ENGLISH, DUTCH)}


def of(run_name):
    """Returns the recipe of a run. The names of runs begin with the language, except in English."""
    return RECIPES.get(run_name.split(".")[0], ENGLISH)
