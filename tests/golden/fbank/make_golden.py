#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the golden files of features/fbank_test.cc: samples, and the log-mel energies that
torchaudio.compliance.kaldi.fbank computes from them (dither 0, all else as features/fbank.h says).

Needs Debian's python3-torchaudio, python3-numpy and pocketsphinx-testdata, so that python3 is
/usr/bin/python3:

    tests/golden/fbank/make_golden.py            # writes *.fbank beside this script

A file is little-endian and holds, in this order:
    char[8]  "ESEFBNK1"
    int32    sample_rate_hz
    float32  frame_length_ms, frame_shift_ms
    int32    num_mel_bins
    float32  low_freq_hz, high_freq_hz, preemphasis
    int32    samples, windows
    int16    [samples]
    float32  [windows][num_mel_bins]   not stacked
"""
import argparse
import math
import pathlib
import struct
import wave

import numpy
import torch
import torchaudio

SPEECH = "/usr/share/pocketsphinx/test/data/cards/001.wav"  # "ten of clubs", 16 kHz, BSD-2-Clause

WIDEBAND = dict(rate=16000, length=25.0, shift=10.0, bins=51, low=20.0, high=0.0, preemphasis=0.97)
TELEPHONE = dict(WIDEBAND, rate=8000, bins=23)
# Nothing at its default; 11025 Hz has no whole number of samples in 10 ms.
UNUSUAL = dict(rate=11025, length=20.0, shift=8.0, bins=30, low=64.0, high=-400.0, preemphasis=0.9)


def noise(count, amplitude):
    """Uniform noise from a fixed integer generator (Numerical Recipes' LCG), the same anywhere."""
    out = numpy.empty(count)
    state = 12345
    for i in range(count):
        state = (state * 1664525 + 1013904223) % 2**32
        out[i] = (state / 2**31 - 1) * amplitude
    return out


def chirp(rate, seconds):
    """50 Hz to 0.48 of the rate, over noise: without noise the bins far from the tone would hold
    only the rounding of the transform, which differs between implementations."""
    t = numpy.arange(int(rate * seconds)) / rate
    sweep = (0.48 * rate - 50) / seconds
    return 9000 * numpy.sin(2 * math.pi * (50 * t + sweep * t * t / 2)) + noise(len(t), 1000)


def clipped(rate, seconds):
    """Noise driven far beyond full scale, with runs of -32768 and 32767."""
    return noise(int(rate * seconds), 1e5)


def silence(rate, seconds):
    return numpy.zeros(int(rate * seconds))


def speech(path, rate):
    with wave.open(str(path)) as w:
        assert (w.getframerate(), w.getnchannels(), w.getsampwidth()) == (16000, 1, 2), path
        x = numpy.frombuffer(w.readframes(w.getnframes()), "<i2").astype(numpy.float32)
    if rate != 16000:
        x = torchaudio.functional.resample(torch.from_numpy(x), 16000, rate).numpy()
    return x


def write(path, signal, o):
    samples = numpy.clip(numpy.rint(signal), -32768, 32767).astype("<i2")
    energies = torchaudio.compliance.kaldi.fbank(
        torch.from_numpy(samples.astype(numpy.float32))[None],
        sample_frequency=float(o["rate"]), frame_length=o["length"], frame_shift=o["shift"],
        num_mel_bins=o["bins"], low_freq=o["low"], high_freq=o["high"],
        preemphasis_coefficient=o["preemphasis"], dither=0.0, window_type="povey",
        remove_dc_offset=True, round_to_power_of_two=True, use_power=True, use_log_fbank=True,
        use_energy=False, snip_edges=True).numpy().astype("<f4")
    header = struct.pack("<8siffifffii", b"ESEFBNK1", o["rate"], o["length"], o["shift"], o["bins"],
                         o["low"], o["high"], o["preemphasis"], len(samples), len(energies))
    path.write_bytes(header + samples.tobytes() + energies.tobytes())
    print(f"{path.name}: {len(samples)} samples, {len(energies)} windows, "
          f"{path.stat().st_size} bytes, energies {energies.min():.3f}..{energies.max():.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--speech", default=SPEECH, help="16 kHz mono 16-bit WAV (%(default)s)")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    args = parser.parse_args()
    if not pathlib.Path(args.speech).exists():
        parser.error(f"no {args.speech}: apt-get install pocketsphinx-testdata, or give --speech")
    for name, o in [("16k", WIDEBAND), ("8k", TELEPHONE)]:
        rate = o["rate"]
        write(args.out / f"chirp_{name}.fbank", chirp(rate, 0.4), o)
        write(args.out / f"clipped_{name}.fbank", clipped(rate, 0.15), o)
        write(args.out / f"silence_{name}.fbank", silence(rate, 0.1), o)
        write(args.out / f"speech_{name}.fbank", speech(args.speech, rate), o)
    write(args.out / "unusual_11k.fbank", chirp(11025, 0.2), UNUSUAL)


if __name__ == "__main__":
    main()
