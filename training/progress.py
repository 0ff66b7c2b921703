"""Progress lines with the time that is left."""

import time


class Progress:
    """Prints at most one line every few seconds."""

    def __init__(self, what, total, interval=15.0):
        self._what, self._total, self._interval = what, max(total, 1), interval
        self._done, self._start = 0, time.monotonic()
        self._printed = self._start

    def step(self, count=1):
        """Counts work done."""
        self._done += count
        now = time.monotonic()
        if now - self._printed >= self._interval:
            self._printed = now
            left = (now - self._start) / self._done * (self._total - self._done)
            print(f"{self._what}: {self._done}/{self._total}, {left:.0f} s left", flush=True)
