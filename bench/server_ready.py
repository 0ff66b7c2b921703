# SPDX-License-Identifier: Apache-2.0
"""Waits for a started ese-server. For the benchmarks and training/."""
import sys
import time

START_SECONDS = 60


def wait_until_ready(process, ready_file, log_file):
    """The addresses, {"grpc": ..., "metrics": ...}, from its --ready-file; ends this program with the log
    where the server ends or does not come up in time."""
    deadline = time.monotonic() + START_SECONDS
    while not (ready_file.exists() and ready_file.read_text().endswith("\n")):
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"the server did not start:\n{log_file.read_text()}")
        time.sleep(0.05)
    return dict(line.split("=", 1) for line in ready_file.read_text().splitlines())
