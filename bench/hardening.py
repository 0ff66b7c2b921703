#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`./run bench hardening` measures what attacks do to live streams. It takes a good minute for each attack.

It prints each figure as a line of JSON on standard output, and its progress on standard error. Each attack of
bench/attacks.py runs at its full rate against a server of its own, which may use 512 MB of memory and 1,024
descriptors and serves 300 live streams in real time. After the run, ese-load compares the bits of all answers
with those of undisturbed streams, for which it opens new streams.

    hardening.p99_ratio.ATTACK     p99 of the streams' answers under attack, divided by the undisturbed p99
    hardening.memory_mib.ATTACK    the server's peak of memory above what it used before the attack
    hardening.recovery_s.ATTACK    time from the end of the attack until the server's memory is within 10 % of
                                   what it was before, or 4 MiB of it if that is more, as allowance for
                                   the pools of the allocator; or until the bench stops waiting (not "recovered")
    hardening.lost_streams         live streams that did not end as they should, over all attacks
    hardening.different_bits       streams with another answer than undisturbed ones
    hardening.unverified_streams   streams that could not be compared, because the server did not serve
                                   undisturbed ones after the attack

The undisturbed p99 is measured beside a process that burns as much processor time as it gets at the niceness of
the attacks. On a machine with two processors, an attack takes time from server and load merely because it
runs, and the ratio would otherwise measure the machine. The five seconds after an attack count with it, and
those after the burning process as well."""
import argparse
import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from bench import attacks  # noqa: E402
from bench.memory_cgroup import MemoryCgroup  # noqa: E402
from tools import server_ready  # noqa: E402

BIN = ROOT / "build" / "release" / "bin"
MODEL = ROOT / "pretrained" / "en-phones.ese"
STREAMS, RAMP_SECONDS, AFTER_SECONDS = 300, 3, 5
MEMORY_BYTES, DESCRIPTORS = 512 << 20, 1024
P99_RATIO_LIMIT = 2
RECOVERY_LIMIT_SECONDS = 60
NOISE_BYTES = 4 << 20  # more than this is not taken for noise of the allocator
TIMEOUT_SECONDS = 10  # for an answer, after which a live stream counts as lost
BURN = "import os\nos.nice(19)\nwhile True: pass"


def say(message):
    print(message, file=sys.stderr, flush=True)


def figure(name, value, unit, **more):
    value = round(value, 3) if isinstance(value, float) else value
    print(json.dumps({"name": f"hardening.{name}", "value": value, "unit": unit, **more}), flush=True)


class Server:
    """A server with little memory and few descriptors. It ends in __exit__."""

    def __init__(self, work):
        self._work = work

    def __enter__(self):
        ready, log = self._work / "ready", self._work / "log"
        ready.unlink(missing_ok=True)
        self.cgroup = MemoryCgroup(MEMORY_BYTES)
        with open(log, "wb") as out:
            self.process = subprocess.Popen(
                [BIN / "ese-server", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--ready-file",
                 ready, "--model", MODEL], stdout=out, stderr=out, preexec_fn=self._limit)
        try:
            self.addresses = server_ready.wait_until_ready(self.process, ready, log)
        except SystemExit:
            self.__exit__()
            raise
        return self

    def _limit(self):
        self.cgroup.join()
        resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.cgroup.__exit__()

    def state(self):
        status = self.process.poll()
        if status is None:
            return "serves"
        return f"ended by {signal.Signals(-status).name}" if status < 0 else f"exited with {status}"


class PeakOfMemory:
    """The largest use of memory between __enter__ and __exit__."""

    def __init__(self, cgroup):
        self._cgroup, self._over = cgroup, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.bytes = 0

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def _watch(self):
        while not self._over.wait(0.05):
            self.bytes = max(self.bytes, self._cgroup.used_bytes())


def start_load(work, server, seconds):
    """Starts ese-load, after a second of load that fills the pools of gRPC and of the allocator."""
    target = ["--server", server.addresses["grpc"], "--streams", str(STREAMS), "--ramp", str(RAMP_SECONDS)]
    subprocess.run([BIN / "ese-load", *target, "--seconds", "1"], check=False, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    command = [BIN / "ese-load", *target, "--rate", "realtime", "--verify", "--seconds", seconds + AFTER_SECONDS,
               "--timeout", TIMEOUT_SECONDS, "--report", work / "report"]
    (work / "report").unlink(missing_ok=True)
    with open(work / "load.log", "wb") as log:
        return subprocess.Popen([str(part) for part in command], stdout=log, stderr=log)


def read_report(work, load):
    load.wait()
    if not (work / "report").exists():
        return None
    report = json.loads((work / "report").read_text())
    # Without an answer, there is neither a latency nor anything to compare.
    return report if report["latency"]["count"] else None


def wait_for_recovery(server, limit_bytes):
    """Returns the time until the memory is below the limit or the waiting was given up, and which of them it was."""
    begin = time.monotonic()
    while (waited := time.monotonic() - begin) < RECOVERY_LIMIT_SECONDS and server.process.poll() is None:
        if server.cgroup.used_bytes() <= limit_bytes:
            return waited, True
        time.sleep(0.05)
    return waited, False


def measure_undisturbed(work, seconds):
    """Returns the p99 in milliseconds beside a burning process."""
    with Server(work) as server:
        load = start_load(work, server, seconds)
        time.sleep(RAMP_SECONDS)
        burn = subprocess.Popen([sys.executable, "-c", BURN])
        time.sleep(seconds)
        burn.kill()
        burn.wait()
        report = read_report(work, load)
    if not report or report["completed"] < STREAMS or report["differing"] or report["unverified"]:
        sys.exit(f"the undisturbed streams failed already:\n{(work / 'load.log').read_text()}")
    return report["latency"]["percentiles_ms"]["99"]


def measure(work, name, seconds, undisturbed_ms):
    """Runs one attack. Returns the numbers of streams that were lost, that had different bits, and that had
    nothing to compare their bits with."""
    with Server(work) as server:
        load = start_load(work, server, seconds)
        time.sleep(RAMP_SECONDS)
        before = server.cgroup.used_bytes()
        with PeakOfMemory(server.cgroup) as peak:
            attack = attacks.start(name, server.addresses, seconds)
            done = json.loads(attack.communicate()[0])
        recovery, recovered = wait_for_recovery(server, before + max(0.1 * before, NOISE_BYTES))
        after = server.cgroup.used_bytes()
        report = read_report(work, load)
        state = server.state()
    lost, differing, unverified = STREAMS, 0, STREAMS
    if report:
        lost, differing, unverified = STREAMS - report["completed"], report["differing"], report["unverified"]
    if report:
        p99 = report["latency"]["percentiles_ms"]["99"]
        figure(f"p99_ratio.{name}", p99 / undisturbed_ms, "ratio", limit=P99_RATIO_LIMIT, p99_ms=p99,
               undisturbed_p99_ms=undisturbed_ms, actions=done["actions"],
               broken_connections=done["broken_connections"])
    figure(f"memory_mib.{name}", (peak.bytes - before) / (1 << 20), "MiB", before_mib=round(before / (1 << 20), 1),
           server=state)
    figure(f"recovery_s.{name}", recovery, "s", recovered=recovered,
           after_mib=round(after / (1 << 20), 1))
    if lost or differing or unverified:
        say(f"{name}: {lost} streams lost, {differing} differ; ese-load says:\n{(work / 'load.log').read_text()}")
    return lost, differing, unverified


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("attacks", nargs="*", metavar="ATTACK",
                        help=f"some of {', '.join(attacks.BY_NAME)} (default: all)")
    parser.add_argument("--seconds", type=int, default=60, help="how long each attack lasts (default: 60)")
    arguments = parser.parse_args()
    if unknown := set(arguments.attacks) - set(attacks.BY_NAME):
        parser.error(f"no attack is called {unknown.pop()}; choose from {', '.join(attacks.BY_NAME)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # runs every __exit__
    sums = {"lost_streams": {}, "different_bits": {}, "unverified_streams": {}}
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        say("== undisturbed")
        undisturbed_ms = measure_undisturbed(work, arguments.seconds)
        figure("undisturbed_p99_ms", undisturbed_ms, "ms", streams=STREAMS, processors=os.cpu_count())
        for name in arguments.attacks or attacks.BY_NAME:
            say(f"== {name}")
            for counts, count in zip(sums.values(), measure(work, name, arguments.seconds, undisturbed_ms)):
                counts[name] = count
    for name, counts in sums.items():
        figure(name, sum(counts.values()), "streams", by_attack={a: count for a, count in counts.items() if count})


if __name__ == "__main__":
    main()
