# SPDX-License-Identifier: Apache-2.0
r"""Streams a WAV file to ese-server and prints each recognised unit after its time in seconds.

    venv/bin/python recognize.py HOST:PORT FILE.wav [MODEL]

The environment variable ESE_TLS_CA names the file with the certificates of who may sign the server's certificate;
without it, the connection is not encrypted. ESE_TLS_CERTIFICATE and ESE_TLS_KEY name the client's own certificate
and its key. ESE_TOKEN is a bearer token, which is sent over TLS only.

proto/ese/v1/speech.proto describes the protocol. Install the packages and generate the stubs in this folder first:

    python3 -m venv venv
    venv/bin/pip install --requirement requirements.txt
    venv/bin/python -m grpc_tools.protoc --proto_path=../../../proto --python_out=. --grpc_python_out=. \
        ese/v1/speech.proto
"""

import os
import pathlib
import sys
import wave

import grpc
from ese.v1 import speech_pb2, speech_pb2_grpc

CHUNKS_PER_SECOND = 10
DEADLINE_SECONDS = 60  # for the whole call; a live stream would set none


def requests(audio, model):
    """Yields the config, then the audio in chunks. gRPC asks for the next request when it can send
    it, so flow control needs no code here."""
    rate = audio.getframerate()
    yield speech_pb2.StreamingInferRequest(
        config=speech_pb2.StreamingConfig(
            model=model,
            audio=speech_pb2.AudioInput(sample_rate_hz=rate),
            return_units=True,
        )
    )
    while chunk := audio.readframes(rate // CHUNKS_PER_SECOND):
        yield speech_pb2.StreamingInferRequest(chunk=chunk)


def read(variable):
    path = os.environ.get(variable)
    return pathlib.Path(path).read_bytes() if path else None


def connect(server):
    if not (authorities := read("ESE_TLS_CA")):
        for variable in ("ESE_TOKEN", "ESE_TLS_CERTIFICATE", "ESE_TLS_KEY"):
            if os.environ.get(variable):
                raise ValueError(f"{variable} needs an encrypted connection; set ESE_TLS_CA, too")
        return grpc.insecure_channel(server)
    credentials = grpc.ssl_channel_credentials(authorities, read("ESE_TLS_KEY"), read("ESE_TLS_CERTIFICATE"))
    if token := os.environ.get("ESE_TOKEN"):
        credentials = grpc.composite_channel_credentials(credentials, grpc.access_token_call_credentials(token))
    return grpc.secure_channel(server, credentials)


def recognize(server, path, model):
    with wave.open(path, "rb") as audio, connect(server) as channel:
        if (audio.getnchannels(), audio.getsampwidth()) != (1, 2):
            raise ValueError(f"{path}: not mono 16-bit; convert it first")
        stub = speech_pb2_grpc.SpeechInferenceStub(channel)
        # gRPC sends from a thread of its own while this one reads.
        call = stub.StreamingInfer(requests(audio, model), timeout=DEADLINE_SECONDS)
        final = False
        for response in call:
            for unit in response.units:
                print(f"{unit.start_seconds:.3f} {unit.symbol}", flush=True)
            final = response.is_final
        if not final:
            raise ValueError("the call ended without a final response")


def describe(error):
    text = f"{error.code().name}: {error.details()}"
    for key, value in error.trailing_metadata() or ():
        if key == "retry-after-ms":
            text += f" (try again in {value} ms)"
    return text


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: python recognize.py HOST:PORT FILE.wav [MODEL]")
    try:
        recognize(sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) == 4 else "")
    except grpc.RpcError as error:
        sys.exit(f"recognize.py: {describe(error)}")
    except (OSError, EOFError, ValueError, wave.Error) as error:
        sys.exit(f"recognize.py: {error}")


if __name__ == "__main__":
    main()
