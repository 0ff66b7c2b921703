# SPDX-License-Identifier: Apache-2.0
"""Waits until an ese-server that was just started is ready."""
import sys
import time

START_SECONDS = 60


def wait_until_ready(process, ready_file, log_file):
    """Returns the addresses, {"grpc": ..., "metrics": ...}, from the server's --ready-file. Ends this program
    and shows the log if the server exits or is not ready in time."""
    deadline = time.monotonic() + START_SECONDS
    while not (ready_file.exists() and ready_file.read_text().endswith("\n")):
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"the server did not start:\n{log_file.read_text()}")
        time.sleep(0.05)
    return dict(line.split("=", 1) for line in ready_file.read_text().splitlines())
