# SPDX-License-Identifier: Apache-2.0
"""Works through the runs in order. Any number of workers can share them, because they lock files."""

import fcntl
import time

import torch

from training import trunks
from training.train import Trainer, checkpoint, result_file


class _Lock:
    """A lock that one process holds. If the process dies, the system frees it."""

    def __init__(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(path, "w", encoding="ascii")

    def take(self):
        """Takes the lock and returns True if it was free."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            self._file.close()
            return False

    def free(self):
        """Releases the lock."""
        self._file.close()


def _there(folder, results, name):
    """Returns whether other runs can continue from this one or learn from it."""
    return trunks.path_of(results, name).exists() or (
        result_file(results, name).exists() and checkpoint(folder, name).exists())


def still_to_train(folder, results, runs):
    """Returns the runs without a result, and those whose missing network another of them needs."""
    wanted = set()
    for run in reversed(runs):  # a run comes after the runs that it needs
        if run.name in wanted or not result_file(results, run.name).exists():
            wanted.add(run.name)
            wanted.update(n for n in run.needs if not _there(folder, results, n))
    return [run for run in runs if run.name in wanted]


def work(folder, results, settings, runs, deadline=None):
    """Trains the runs that have no result yet. Begins no run after `deadline` (time.monotonic).

    A run whose parents are being trained by another worker waits, and the next run that can begin
    goes first.
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
