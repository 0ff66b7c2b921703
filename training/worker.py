# SPDX-License-Identifier: Apache-2.0
"""Works through the runs: any number of workers share them, in order, through locks on files."""

import fcntl
import time

import torch

from training import trunks
from training.train import Trainer, checkpoint, result_file


class _Lock:
    """Held by one process; freed by the system should that die."""

    def __init__(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(path, "w", encoding="ascii")

    def take(self):
        """True if it was free."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            self._file.close()
            return False

    def free(self):
        """Gives it back."""
        self._file.close()


def _there(folder, results, name):
    """True if other runs can go on from this one, or learn from it."""
    return trunks.path_of(results, name).exists() or (
        result_file(results, name).exists() and checkpoint(folder, name).exists())


def still_to_train(folder, results, runs):
    """Those without a result, and those whose network is needed for them and is not here."""
    wanted = set()
    for run in reversed(runs):  # what a run needs stands before it
        if run.name in wanted or not result_file(results, run.name).exists():
            wanted.add(run.name)
            wanted.update(n for n in run.needs if not _there(folder, results, n))
    return [run for run in runs if run.name in wanted]


def work(folder, results, settings, runs, deadline=None):
    """Trains what has no result yet. Stops at `deadline` (time.monotonic) between runs.

    A run whose parents are being trained elsewhere waits; the next one that can begin goes first.
    """
    utterances = torch.load(folder / "features.pt")
    while True:
        open_runs = still_to_train(folder, results, runs)
        if not open_runs or (deadline and time.monotonic() > deadline):
            return
        for run in open_runs:
            if not all(_there(folder, results, name) for name in run.needs):
                continue
            lock = _Lock(folder / "runs" / (run.name + ".lock"))
            if not lock.take():
                continue
            try:
                if run in still_to_train(folder, results, runs):
                    Trainer(folder, results, settings, run, utterances).run()
            finally:
                lock.free()
            break
        else:
            time.sleep(2)
