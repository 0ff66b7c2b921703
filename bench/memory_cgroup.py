# SPDX-License-Identifier: Apache-2.0
"""A control group of Linux that limits the memory of a process, in version 1 or 2 of control groups."""
import os
import pathlib
import sys

ROOT = pathlib.Path("/sys/fs/cgroup")


class MemoryCgroup:
    """Exists from __enter__ to __exit__. By then its processes must have ended."""

    def __init__(self, limit_bytes):
        self._v1 = (ROOT / "memory").is_dir()
        self.path = (ROOT / "memory" if self._v1 else ROOT) / f"ese-hardening-{os.getpid()}"
        limits = ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"] if self._v1 else ["memory.max"]
        try:
            self.path.mkdir()
            for name in limits:
                if name == limits[0] or (self.path / name).exists():  # the kernel may not account swap
                    (self.path / name).write_text(str(limit_bytes))
            if (self.path / "memory.swap.max").exists():
                (self.path / "memory.swap.max").write_text("0")
        except OSError as error:
            if self.path.is_dir():
                self.path.rmdir()
            sys.exit(f"cannot limit the server's memory with a control group: {error}; run this as root, where "
                     f"{ROOT} is writable and has the memory controller")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.path.rmdir()

    def join(self):
        """Moves the calling process into the group."""
        (self.path / "cgroup.procs").write_text("0")

    def used_bytes(self):
        """The memory of the group's processes and what the kernel holds for them, without cached files."""
        used = int((self.path / ("memory.usage_in_bytes" if self._v1 else "memory.current")).read_text())
        statistics = dict(line.split() for line in (self.path / "memory.stat").read_text().splitlines())
        return used - sum(int(statistics[name]) for name in ("inactive_file", "active_file"))
