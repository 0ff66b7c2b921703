# SPDX-License-Identifier: Apache-2.0
"""Kaldi's log-mel filter banks, to train on the features that the server will compute.

The values agree with the server's features/fbank.h and with torchaudio.compliance.kaldi.fbank, but
torchaudio is not needed.
"""

import math
import warnings

import torch

# The keys of `features` in topology.json, and their default values.
FEATURES = {"sample_rate_hz": 16000, "frame_length_ms": 25, "frame_shift_ms": 10,
            "num_mel_bins": 51, "low_freq_hz": 20, "high_freq_hz": 0, "preemphasis": 0.97,
            "stack": 1}
WHOLE = ("sample_rate_hz", "num_mel_bins", "stack")


def with_defaults(features):
    """Returns `features` completed with the defaults; raises if such features cannot be computed."""
    if not isinstance(features, dict):
        raise TypeError(f"features: is a {type(features).__name__}; give a dict of "
                        f"{', '.join(FEATURES)}")
    unknown = sorted(set(features) - set(FEATURES))
    if unknown:
        raise ValueError(f"features: {unknown[0]!r} is unknown; the keys are {', '.join(FEATURES)}")
    missing = [key for key in ("sample_rate_hz", "num_mel_bins") if key not in features]
    if missing:
        raise ValueError(f"features: {missing[0]!r} is missing; give a number such as "
                         f"{FEATURES[missing[0]]}")
    for key, value in features.items():
        kinds = (int,) if key in WHOLE else (int, float)
        if not isinstance(value, kinds) or not math.isfinite(value) or (key in WHOLE and value < 1):
            raise ValueError(f"features: {key!r} is {value!r}; give a "
                             f"{'whole number above 0' if key in WHOLE else 'number'} such as "
                             f"{FEATURES[key]}")
    o = {**FEATURES, **features}
    length, shift = _window(o)
    if length < 2 or not 1 <= shift <= length:
        raise ValueError(f"features: 'frame_length_ms' is {o['frame_length_ms']} and 'frame_shift_ms' "
                         f"is {o['frame_shift_ms']}; set the length to two samples or more, and the "
                         "shift to one sample or more, but no more than the length")
    low, high = _band(o)
    if not 0 <= low < high <= o["sample_rate_hz"] / 2:
        raise ValueError(f"features: the mel bins are between {low} and {high} Hz; set "
                         "'low_freq_hz' and 'high_freq_hz' within 0 and "
                         f"{o['sample_rate_hz'] / 2:g}, half of 'sample_rate_hz'")
    return o


def _window(o):
    """Returns the length of a window and the distance between windows, in samples."""
    return [int(o["sample_rate_hz"] * 0.001 * o[key])
            for key in ("frame_length_ms", "frame_shift_ms")]


def _band(o):
    """Returns where the first triangle begins and the last ends; high_freq_hz <= 0 counts from Nyquist."""
    high = o["high_freq_hz"]
    return o["low_freq_hz"], high if high > 0 else o["sample_rate_hz"] / 2 + high


def _mel(hz):
    return 1127.0 * math.log(1.0 + hz / 700.0)


def _triangles(o, fft):
    """Returns triangles of equal width on the mel scale, [fft / 2, bins], without the bin at Nyquist."""
    low, high = map(_mel, _band(o))
    bins = o["num_mel_bins"]
    width = (high - low) / (bins + 1)
    mels = torch.tensor([_mel(k * o["sample_rate_hz"] / fft) for k in range(fft // 2)],
                        dtype=torch.float64)
    rise = ((mels - low) / width)[:, None] - torch.arange(bins)
    weights = torch.minimum(rise, 2 - rise).clamp(min=0)
    if not (weights > 0).any(0).all():
        raise ValueError(f"features: num_mel_bins is {bins}, which is so many that a bin covers no "
                         f"frequency of the {fft}-point transform; set fewer")
    return weights


def filter_banks(samples, features):
    """Computes the model's frames from the samples of one recording.

    samples: [n], in the range of 16-bit integers (-32768 to 32767), at sample_rate_hz. Multiply
    fractions of full scale, as torchaudio.load returns them, by 32768; otherwise a warning follows.
    features: the topology's `features`, see FEATURES.
    Returns float32 [frames, num_mel_bins * stack], not normalised. Samples at the end that do not
    fill a frame are left out.
    """
    o = with_defaults(features)
    samples = torch.as_tensor(samples).double()
    if samples.dim() != 1:
        raise ValueError(f"samples have the shape {list(samples.shape)}; give one channel, [n]")
    loudest = float(samples.abs().max()) if len(samples) else 0
    if 0 < loudest <= 1:
        warnings.warn(f"samples reach {loudest:g} at most, but the server computes features from "
                      "16-bit integers; give fractions of full scale times 32768", stacklevel=2)
    length, shift = _window(o)
    fft = 1 << (length - 1).bit_length()
    triangles = _triangles(o, fft).to(samples.device)
    if len(samples) < length:
        return torch.empty(0, o["num_mel_bins"] * o["stack"], device=samples.device)
    windows = samples.unfold(0, length, shift)
    windows = windows - windows.mean(1, keepdim=True)
    # As in Kaldi, the first sample counts as its own predecessor.
    before = torch.cat([windows[:, :1], windows[:, :-1]], 1)
    povey = torch.hann_window(length, periodic=False, dtype=torch.float64,
                              device=samples.device).pow(0.85)
    windows = (windows - o["preemphasis"] * before) * povey
    power = torch.fft.rfft(windows, fft)[:, :-1].abs().square()
    energies = (power @ triangles).clamp(min=torch.finfo(torch.float32).eps).log().float()
    frames = len(energies) // o["stack"]
    return energies[:frames * o["stack"]].reshape(frames, -1)
