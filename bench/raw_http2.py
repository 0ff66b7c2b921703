# SPDX-License-Identifier: Apache-2.0
"""A client that writes the frames of HTTP/2 (RFC 9113) itself, so that it can break the rules.

Header fields are literals without indexing (RFC 7541, section 6.2.2), so there is no HPACK state."""
import select
import socket
import struct

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS = 1, 1, 4
INITIAL_WINDOW_SIZE = 4  # a setting
CANCEL = 8  # an error code
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MAX_PAYLOAD = 1 << 14
DEFAULT_WINDOW = (1 << 16) - 1
PATIENCE_SECONDS = 1  # for a peer that neither reads nor accepts


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(**values):
    """The payload of SETTINGS: settings(_4=0) sets number 4 to 0."""
    return b"".join(struct.pack(">HI", int(name[1:]), value) for name, value in values.items())


def hpack_string(text):
    """A string without Huffman coding: its length with a prefix of 7 bits, and its bytes."""
    length, head = len(text), b""
    if length < 127:
        return bytes([length]) + text
    head, length = b"\x7f", length - 127
    while length >= 128:
        head, length = head + bytes([length % 128 + 128]), length // 128
    return head + bytes([length]) + text


def header_block(*fields):
    return b"".join(b"\0" + hpack_string(name) + hpack_string(value) for name, value in fields)


def call_headers(path, *more):
    return header_block((b":method", b"POST"), (b":scheme", b"http"), (b":path", path.encode()),
                        (b":authority", b"localhost"), (b"te", b"trailers"),
                        (b"content-type", b"application/grpc"), *more)


def grpc_message(payload, compressed=False):
    return struct.pack(">BI", compressed, len(payload)) + payload


class Connection:
    """One connection to a server. Its methods raise OSError when the server closes it or does not read it.

    It respects flow control when it sends, answers pings, and never grants the server a larger window."""

    def __init__(self, address, own_settings=b""):
        self._socket = socket.create_connection(address, timeout=PATIENCE_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._received = b""
        self._next_stream = 1
        self._window, self._stream_window = DEFAULT_WINDOW, DEFAULT_WINDOW
        self.open = {}  # the window of each stream that has not ended
        self.send(PREFACE + frame(SETTINGS, 0, 0, own_settings))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def send(self, data):
        self._socket.sendall(data)

    def reset(self):
        """Closes the connection by a reset, which leaves nothing in TIME_WAIT."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def begin_call(self, headers, then=b""):
        """Sends HEADERS, and the frames `then` makes of the stream's number together with them."""
        stream, self._next_stream = self._next_stream, self._next_stream + 2
        self.open[stream] = self._stream_window
        self.send(frame(HEADERS, END_HEADERS, stream, headers) + (then(stream) if then else b""))
        return stream

    def room(self, stream):
        """How many bytes may be sent on the stream now. 0 if it has ended."""
        return max(0, min(self._window, self.open.get(stream, 0)))

    def send_data(self, stream, data, going):
        """Sends the data as the server's windows allow, while going() holds and the stream is open."""
        while data and stream in self.open and going():
            size = min(self.room(stream), MAX_PAYLOAD, len(data))
            if size:
                self.send(frame(DATA, 0, stream, data[:size]))
                self._window -= size
                self.open[stream] -= size
                data = data[size:]
            self.pump(0 if size else 0.05)

    def pump(self, wait_seconds=0):
        """Reads what the server has sent, and acts on it."""
        while self._poll.poll(1000 * wait_seconds):
            wait_seconds = 0
            received = self._socket.recv(1 << 16)
            if not received:
                raise ConnectionError("the server has closed the connection")
            self._received += received
            while len(self._received) >= 9:
                end = 9 + int.from_bytes(self._received[:3], "big")
                if len(self._received) < end:
                    break
                kind, flags, stream = struct.unpack(">BBI", self._received[3:9])
                payload, self._received = self._received[9:end], self._received[end:]
                self._handle(kind, flags, stream, payload)

    def _handle(self, kind, flags, stream, payload):
        if kind == WINDOW_UPDATE:
            more = int.from_bytes(payload, "big")
            if stream == 0:
                self._window += more
            elif stream in self.open:
                self.open[stream] += more
        elif kind == SETTINGS and not flags & ACK:
            for number, value in struct.iter_unpack(">HI", payload):
                if number == INITIAL_WINDOW_SIZE:
                    change, self._stream_window = value - self._stream_window, value
                    self.open = {s: window + change for s, window in self.open.items()}
            self.send(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self.send(frame(PING, ACK, 0, payload))
        elif kind == RST_STREAM or (kind in (DATA, HEADERS) and flags & END_STREAM):
            self.open.pop(stream, None)
        elif kind == GOAWAY:
            raise ConnectionError("the server has sent GOAWAY")
