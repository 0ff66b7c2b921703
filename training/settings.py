"""Where files go and how large everything is; one place for every number of the recipe."""

import dataclasses
import os
import pathlib

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent


def work_dir():
    """The folder for audio, features, checkpoints and the export (git-ignored by default)."""
    folder = os.environ.get("ESE_TRAIN_DIR") or REPOSITORY / "build" / "train"
    folder = pathlib.Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@dataclasses.dataclass
class Settings:
    """Sizes and schedule of a run. `smoke()` shrinks them to about a minute."""

    # Data
    train_sentences: int = 10500
    test_sentences: int = 120
    recorded_repeats: int = 6
    recorded_limit: int = 0  # 0: all recordings

    # Model
    input_dim: int = 153
    cells: int = 1024
    projection: int = 512
    gate_entries: int = 74  # of 665 in each row of [weight_ih | weight_hh]: 11.1 %
    projection_entries: int = 102  # of 1024 in each row of weight_hr: 10 %

    # Schedule, in minutes of wall-clock time on one thread
    dense_minutes: float = 44.0
    prune_minutes: float = 18.0
    retrain_minutes: float = 31.0
    batch_frames: int = 4000
    peak_rate: float = 1.5e-3
    prune_rate: float = 6e-4
    final_rate: float = 1e-5
    seed: int = 1


def full():
    """The run that makes the shipped model."""
    return Settings()


def smoke():
    """A run of about a minute that exercises every stage."""
    return Settings(
        train_sentences=48,
        test_sentences=4,
        recorded_repeats=1,
        recorded_limit=40,
        cells=64,
        projection=32,
        gate_entries=21,
        projection_entries=7,
        dense_minutes=0.2,
        prune_minutes=0.1,
        retrain_minutes=0.1,
        batch_frames=1500,
    )
