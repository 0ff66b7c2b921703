# SPDX-License-Identifier: Apache-2.0
"""Prints progress with the time that is left."""

import time


class Progress:
    """Prints at most one line every few seconds. done: the work that earlier sessions did."""

    def __init__(self, what, total, interval=15.0, done=0):
        self._what, self._total, self._interval = what, max(total, 1), interval
        self._done, self._before, self._start = done, done, time.monotonic()
        self._printed = self._start

    def step(self, count=1, note=""):
        """Counts `count` units of work as done. `note` is appended to the line."""
        self._done += count
        now = time.monotonic()
        if now - self._printed >= self._interval:
            self._printed = now
            pace = (now - self._start) / (self._done - self._before)
            left = pace * (self._total - self._done)
            print(f"{self._what}: {self._done}/{self._total}, {left:.0f} s left"
                  + (f", {note}" if note else ""), flush=True)
