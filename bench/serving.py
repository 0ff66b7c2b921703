#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`./run bench serving` measures what one core can serve, in about seven minutes.

It prints each figure as a line of JSON on standard output, and its progress on standard error. The server
is pinned to one core and ese-load to another. The model is the paper's LSTM with random weights. Streams
are real-time: they send chunks of 100 ms, which are ten frames of 153 floats (6 KB), and ask for the
recognised units. All processes are ended by their ids."""
import argparse
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from bench import performance  # noqa: E402
from tools import server_ready  # noqa: E402

BIN = ROOT / "build" / "release" / "bin"
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = CORES[0], CORES[-1]
TICK = os.sysconf("SC_CLK_TCK")
CHUNK_MS = 100
P99_LIMIT_MS = 30
TLS_PAIRS, TLS_LIMIT = 7, 1.3  # the limit of TLS's processor time per chunk over plaintext's
OVERLOADS = 1500, 2000  # streams offered


def say(message):
    print(message, file=sys.stderr, flush=True)


def figure(name, value, unit, **more):
    value = round(value, 3) if isinstance(value, float) else value
    print(json.dumps({"name": f"serving.{name}", "value": value, "unit": unit, **more}), flush=True)


def pinned(core):
    return lambda: os.sched_setaffinity(0, {core})


class Server:
    """A server under test, pinned to its core. It ends in __exit__ at the latest."""

    def __init__(self, work, name, arguments):
        self.ready, self.log = work / f"{name}.ready", work / f"{name}.log"
        self.arguments = arguments
        self.address = self.process = None

    def __enter__(self):
        self.start()
        return self

    def start(self):
        """Starts the server, at its earlier address if it had one."""
        self.ready.unlink(missing_ok=True)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.PIPE, stdout=log, stderr=log,
                preexec_fn=pinned(SERVER_CORE))
        lines = server_ready.wait_until_ready(self.process, self.ready, self.log)
        self.address, self.metrics_address = lines["grpc"], lines["metrics"]

    def command(self):
        return [BIN / "ese-server", "--listen", self.address or "127.0.0.1:0", "--metrics",
                "127.0.0.1:0", "--ready-file", self.ready, "--channels", "1", *self.arguments]

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def end(self, number):
        self.process.send_signal(number)
        return self.process.wait(timeout=60)

    def cpu_seconds(self, thread=None):
        """Returns the processor time of the process, or of its threads with that name."""
        folder = pathlib.Path(f"/proc/{self.process.pid}")
        paths = [folder / "stat"]
        if thread:
            paths = [t / "stat" for t in (folder / "task").iterdir()
                     if (t / "comm").read_text().strip() == thread]
        fields = (path.read_text().rpartition(")")[2].split() for path in paths)
        return sum(int(f[11]) + int(f[12]) for f in fields) / TICK

    def resident_bytes(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        sys.exit("no VmRSS in /proc")

    def open_streams(self):
        with urllib.request.urlopen(f"http://{self.metrics_address}/metrics", timeout=10) as reply:
            lines = reply.read().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith("ese_streams{"))


class Echo(Server):
    """A server that does nothing but gRPC, as a yardstick."""

    def command(self):
        return [BIN / "ese-bench-echo", self.ready]


class Load:
    """A running ese-load."""

    def __init__(self, work, addresses, *arguments):
        self.report = work / "report.json"
        self.report.unlink(missing_ok=True)
        chunk = [] if "--chunk-ms" in arguments else ["--chunk-ms", CHUNK_MS]
        command = [BIN / "ese-load", "--server", ",".join(addresses), "--frame-ms", 10, *chunk, "--report",
                   self.report, *arguments]
        say(" ".join(str(part) for part in command[1:]))
        self.process = subprocess.Popen([str(part) for part in command], stdout=sys.stderr,
                                        preexec_fn=pinned(LOAD_CORE))

    def result(self):
        self.process.wait()
        if not self.report.exists():
            sys.exit("ese-load wrote no report; its messages above say why")
        return json.loads(self.report.read_text())


def run_load(work, addresses, *arguments):
    return Load(work, addresses, *arguments).result()


def cpu_of_run(work, server, streams, seconds, *arguments):
    """Returns a run's report, the server's processor time per chunk in us, and the kernels' share of it."""
    before = server.cpu_seconds(), server.cpu_seconds("ese-channel")
    report = run_load(work, [server.address], "--streams", streams, "--ramp", 2, "--seconds", seconds,
                      *arguments)
    total = server.cpu_seconds() - before[0]
    kernels = server.cpu_seconds("ese-channel") - before[1]
    return report, 1e6 * total / report["chunks_sent"], kernels / total


def bench_real_time(work, model):
    with Echo(work, "echo", []) as echo:
        _, echo_us, _ = cpu_of_run(work, echo, 1000, 5)
    with Server(work, "server", ["--model", model]) as server:
        report, us, share = cpu_of_run(work, server, 1000, 12, "--return", "units")
        figure("p99_ms.1000", report["latency"]["percentiles_ms"]["99"], "ms",
               p50=report["latency"]["percentiles_ms"]["50"],
               p999=report["latency"]["percentiles_ms"]["99.9"],
               client_late_p99=report["client_late"]["percentiles_ms"]["99"])
        figure("errors.1000", report["streams"] - report["completed"], "streams")
        figure("cpu_us_per_chunk", us, "us", peer="grpc_echo", peer_value=round(echo_us, 1),
               ratio=round(echo_us / us, 3))
        figure("kernel_share.1000", share, "share")
        search = run_load(work, [server.address], "--return", "units", "--find-max", "--p99-ms",
                          P99_LIMIT_MS, "--streams", 1000, "--ramp", 1, "--seconds", 4,
                          "--timeout", 5)
        most = search["most_streams"]
        figure(f"max_streams.p99_{P99_LIMIT_MS}ms", most, "streams", steps=search.get("steps"))
        if most > 0:
            _, us, share = cpu_of_run(work, server, most, 6, "--return", "units")
            figure("kernel_share", share, "share", streams=most, cpu_us_per_chunk=round(us, 1))


def bench_overload(work, model):
    """Offers more streams than one core can serve; those that are admitted must not suffer."""
    for streams in OVERLOADS:
        with Server(work, "overload", ["--model", model]) as server:
            report = run_load(work, [server.address], "--streams", streams, "--ramp", 10,
                              "--seconds", 6, "--return", "units")
        failed = sum(error["count"] for error in report["errors"].values())
        figure(f"overload.p99_ms.{streams}", report["latency"]["percentiles_ms"]["99"], "ms",
               accepted=report["accepted"], refused=report["refused"], failed=failed,
               client_late_p99=report["client_late"]["percentiles_ms"]["99"])


def bench_idle(work, model, streams):
    with Server(work, "idle", ["--model", model, "--max-streams", str(2 * streams)]) as server:
        run_load(work, [server.address], "--streams", 100, "--seconds", 1)  # warm
        before = server.resident_bytes()
        load = Load(work, [server.address], "--rate", "idle", "--streams", streams, "--ramp", 10,
                    "--seconds", 4, "--connections", 20)
        most, resident = 0, before
        while load.process.poll() is None:
            if (now_open := int(server.open_streams())) >= most:
                most, resident = now_open, server.resident_bytes()
            time.sleep(0.2)
        report = load.result()
        # Admission may have refused some, because it expects streams that have begun to keep sending.
        figure("bytes_per_idle_stream", (resident - before) / max(most, 1), "bytes", streams=most,
               refused=report["streams"] - report["accepted"])


def bench_vanish(work, model, cycles):
    with Server(work, "vanish", ["--model", model]) as server:
        def vanish(count):
            Load(work, [server.address], "--vanish", count, "--streams", 50).process.wait()
            deadline = time.monotonic() + 10
            while server.open_streams() > 0 and time.monotonic() < deadline:
                time.sleep(0.1)
            return server.resident_bytes()
        before = vanish(cycles // 5)  # gRPC and the allocator fill their pools
        after = vanish(cycles)
        figure("vanish", after - before, "bytes", before=before, after=after, cycles=cycles,
               open_streams=server.open_streams())


def bench_resume(work, model, streams):
    key = work / "key"
    key.write_bytes(os.urandom(32))
    key.chmod(0o600)
    arguments = ["--model", model, "--checkpoint-key", key, "--drain-seconds", "10"]
    with Server(work, "a", arguments) as a, Server(work, "b", arguments) as b:
        load = Load(work, [a.address, b.address], "--streams", streams, "--ramp", 2, "--seconds", 16,
                    "--resume", "--checkpoint-every", 100, "--verify", "--return", "posteriors")
        time.sleep(6)
        drained = a.end(signal.SIGTERM)
        a.start()
        time.sleep(5)
        b.end(signal.SIGKILL)
        b.start()
        report = load.result()
        figure("resume.lost_streams", report["streams"] - report["completed"], "streams",
               streams=streams, broken=report["breaks"], resumed=report["resumed"],
               resume_p99_ms=report["resume"]["percentiles_ms"]["99"],
               latency_max_ms=report["latency"]["percentiles_ms"]["100"], drained_exit=drained)
        figure("resume.differing_streams", report["differing"], "streams",
               unverified=report["unverified"], frames_verified=report["frames_verified"])


def make_certificate(work):
    """Returns a certificate for 127.0.0.1 that is its own authority, and its key."""
    certificate, key = work / "server.crt", work / "server.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                    "-nodes", "-days", "1", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
                   check=True, capture_output=True)
    key.chmod(0o600)
    return certificate, key


def bench_tls(work, model):
    """Both servers run all the time, but only one has load at a time; pairs change their order."""
    certificate, key = make_certificate(work)
    tls_arguments = ["--tls-certificate", certificate, "--tls-key", key]
    with Server(work, "plain", ["--model", model]) as plain, \
            Server(work, "tls", ["--model", model, *tls_arguments]) as tls:
        sides = [(plain, []), (tls, ["--tls", "--tls-ca", certificate])]
        pairs = []
        for pair in range(TLS_PAIRS + 1):
            us = {}
            for server, flags in sides if pair % 2 == 0 else reversed(sides):
                _, us[server], _ = cpu_of_run(work, server, 500, 4, "--return", "units", *flags)
            pairs.append((us[plain], us[tls]))
    del pairs[0]  # the first pair warms the servers up
    figure("tls_over_plain", statistics.median(t / p for p, t in pairs), "x", limit=TLS_LIMIT,
           pairs=[round(t / p, 3) for p, t in pairs],
           plain_us=round(statistics.median(p for p, _ in pairs), 1),
           tls_us=round(statistics.median(t for _, t in pairs), 1),
           processor=performance.processor())


def main():
    parts = {"real_time": bench_real_time, "overload": bench_overload,
             "idle": lambda w, m: bench_idle(w, m, 10000),
             "vanish": lambda w, m: bench_vanish(w, m, 10000),
             "resume": lambda w, m: bench_resume(w, m, 500),
             "tls": bench_tls}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of {', '.join(parts)} (default: all)")
    chosen = parser.parse_args().parts or list(parts)
    if unknown := [part for part in chosen if part not in parts]:
        parser.error(f"no part is called {unknown[0]}; choose from {', '.join(parts)}")
    if SERVER_CORE == LOAD_CORE:
        say("there is only one core: server and load share it, so latencies mean little")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # runs every __exit__
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        model = work / "paper.ese"
        subprocess.run([BIN / "ese-bench-model", model], check=True)
        for part in chosen:
            say(f"== {part}")
            parts[part](work, model)


if __name__ == "__main__":
    main()
