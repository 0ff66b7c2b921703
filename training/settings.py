# SPDX-License-Identifier: Apache-2.0
"""Where files go, and the recipe's numbers except those of the runs (runs.py)."""

import dataclasses
import os
import pathlib

from training import text

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent


def work_dir(language="en"):
    """Returns a recipe's folder for audio, features, checkpoints and exports. Git ignores the default."""
    folder = os.environ.get("ESE_TRAIN_DIR") or REPOSITORY / "build" / "train"
    folder = pathlib.Path(folder).resolve()
    if language != "en":
        folder = folder / language
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@dataclasses.dataclass(frozen=True)
class Size:
    """The size of the LSTM."""

    layers: int
    cells: int
    projection: int


@dataclasses.dataclass(frozen=True)
class Settings:
    """The amounts of data and the learning rates."""

    # Data
    units: tuple = tuple(text.UNITS)
    recorded: tuple = ("asterisk",)  # sources of recordings; training uses them at every speed
    train_sentences: int = 10500
    test_sentences: int = 120
    recorded_repeats: int = 6
    recorded_limit: int = 0  # 0: all recordings

    # Updates
    batch_frames: int = 4000
    warm_up_updates: int = 150
    peak_rate: float = 1.5e-3
    decayed_rate: float = 6e-4  # at the end of a trunk
    branch_rate: float = 2e-3  # above the peak; pruning costs less than at 6e-4 or 1.5e-3
    final_rate: float = 1e-5
    dropout: float = 0.15


def full():
    """Returns the settings of the results in the repository."""
    return Settings()


def smoke():
    """Returns settings with tiny data, which exercise every stage in about a minute."""
    return Settings(train_sentences=48, test_sentences=4, recorded_repeats=1, recorded_limit=40,
                    batch_frames=1500, warm_up_updates=2)
