# SPDX-License-Identifier: Apache-2.0
"""Where files go and how large everything is; one place for the recipe's numbers but the runs'."""

import dataclasses
import os
import pathlib

from training import text

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent


def work_dir(language="en"):
    """A recipe's folder for audio, features, checkpoints and the export; git-ignored by default."""
    folder = os.environ.get("ESE_TRAIN_DIR") or REPOSITORY / "build" / "train"
    folder = pathlib.Path(folder).resolve()
    if language != "en":
        folder = folder / language
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@dataclasses.dataclass(frozen=True)
class Size:
    """Of the LSTM."""

    layers: int
    cells: int
    projection: int


@dataclasses.dataclass(frozen=True)
class Settings:
    """Data and learning rates. `smoke()` shrinks them to about a minute."""

    # Data
    units: tuple = tuple(text.UNITS)
    recorded: tuple = ("asterisk",)  # sources of recordings, which are trained on at every speed
    train_sentences: int = 10500
    test_sentences: int = 120
    recorded_repeats: int = 6
    recorded_limit: int = 0  # 0: all recordings

    # Updates
    batch_frames: int = 4000
    warm_up_updates: int = 150
    peak_rate: float = 1.5e-3
    decayed_rate: float = 6e-4  # at a trunk's end
    branch_rate: float = 2e-3  # over the peak: less of the loss stays than at 6e-4 or 1.5e-3
    final_rate: float = 1e-5
    dropout: float = 0.15


def full():
    """What the repository's results were made with."""
    return Settings()


def smoke():
    """Tiny data, to exercise every stage."""
    return Settings(train_sentences=48, test_sentences=4, recorded_repeats=1, recorded_limit=40,
                    batch_frames=1500, warm_up_updates=2)
