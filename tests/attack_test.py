#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""attack_test.py BIN: runs each attack of bench/attacks.py for two seconds against a server of its own.

The server serves live streams meanwhile. Under every attack it must keep running and lose none of them, their
answers must have the bits of undisturbed streams, its memory may grow only so far, /metrics must answer, and
afterwards it must take new clients."""
import json
import multiprocessing.pool
import pathlib
import resource
import subprocess
import sys
import tempfile
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from bench import attacks  # noqa: E402
from tools import server_ready  # noqa: E402

SECONDS = 2
STREAMS = 4
DESCRIPTORS = 1024
# The calls that --max-waiting-calls allows take 50 MiB, and a starved server queues resets for a moment. Without
# guards, long strings took 150 MiB and a gzip bomb 1,000 MiB.
GROWTH_LIMIT_MIB = 128
# Every command ends by then, also if the server no longer answers.
PATIENCE_SECONDS = 30
AT_ONCE = 2


def limit_descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))


class Trial:
    """A server, its live streams and one attack."""

    def __init__(self, binaries, work, name):
        self._bin, self._work, self._name = binaries, work, name
        self._faults = []

    def run(self):
        """Returns what went wrong, in sentences."""
        ready, log = self._work / "ready", self._work / "log"
        with open(log, "wb") as out:
            self._server = subprocess.Popen(
                [self._bin / "ese-server", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--ready-file",
                 ready, "--model", ROOT / "pretrained" / "en-phones.ese",
                 # No stream is refused because the machine is busy.
                 "--max-load", "0"],
                stdout=out, stderr=out, preexec_fn=limit_descriptors)
        try:
            self._addresses = server_ready.wait_until_ready(self._server, ready, log)
            self._attack()
        finally:
            self._server.kill()
            self._server.wait()
        return self._faults

    def _expect(self, holds, fault):
        if not holds:
            self._faults.append(fault)

    def _load(self, streams, seconds):
        report = self._work / f"report-{streams}"
        command = [self._bin / "ese-load", "--server", self._addresses["grpc"], "--streams", streams, "--seconds",
                   seconds, "--rate", "realtime", "--verify", "--timeout", PATIENCE_SECONDS / 2, "--report", report]
        return report, subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)

    def _check_load(self, what, report, load):
        try:
            load.wait(2 * PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            load.kill()
            load.wait()
        if not report.exists():
            self._faults.append(f"{what} got no connection")
            return
        numbers = json.loads(report.read_text())
        self._expect(numbers["completed"] == numbers["streams"],
                     f"{numbers['streams'] - numbers['completed']} of {what} were lost")
        self._expect(numbers["differing"] == 0, f"{numbers['differing']} of {what} had other bits")
        self._expect(numbers["unverified"] == 0, f"{numbers['unverified']} of {what} had nothing to compare with")

    def _check_scrape(self):
        try:
            with urllib.request.urlopen(f"http://{self._addresses['metrics']}/metrics",
                                        timeout=PATIENCE_SECONDS / 3) as reply:
                reply.read()
        except OSError as error:
            self._faults.append(f"/metrics did not answer during the attack: {error}")

    def _attack(self):
        before = self._peak_mib()
        live = self._load(STREAMS, SECONDS + 1)
        attack = attacks.start(self._name, self._addresses, SECONDS, nice=0)  # on a busy machine too
        self._check_scrape()
        actions = json.loads(attack.communicate()[0])["actions"]
        self._check_load("the live streams", *live)
        self._check_load("the new clients", *self._load(1, 0.2))
        self._expect(actions > 0, "the attack did nothing")
        self._expect(self._server.poll() is None, "the server ended")
        if self._server.poll() is None:
            growth = self._peak_mib() - before
            print(f"{self._name}: {actions} actions; the server's memory grew by {growth:.1f} MiB at its peak", flush=True)
            self._expect(growth <= GROWTH_LIMIT_MIB, f"the server's memory grew by {growth:.1f} MiB")

    def _peak_mib(self):
        for line in pathlib.Path(f"/proc/{self._server.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        sys.exit("/proc has no VmHWM")


def main():
    binaries = pathlib.Path(sys.argv[1])

    def try_attack(name):
        with tempfile.TemporaryDirectory() as work:
            return name, Trial(binaries, pathlib.Path(work), name).run()

    names = sys.argv[2:] or attacks.BY_NAME
    failed = False
    with multiprocessing.pool.ThreadPool(AT_ONCE) as pool:
        for name, faults in pool.imap(try_attack, names):
            for fault in faults:
                print(f"{name}: FAILED: {fault}", flush=True)
            failed = failed or bool(faults)
    sys.exit(failed)


if __name__ == "__main__":
    main()
