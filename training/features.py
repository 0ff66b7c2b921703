# SPDX-License-Identifier: Apache-2.0
"""Stage 2: computes and caches Kaldi-compatible log-mel features, and augments them for training.

The cache has a 51-dimensional frame every 10 ms. Augmentation works on these frames. Three frames side
by side make one input vector of the network every 30 ms.
"""

import math
import random
import wave

import numpy
import torch
import torchaudio

from training import data
from training.progress import Progress

BINS = 51
STACK = 3
LOWEST, HIGHEST = -4.0, 3.96875  # 8 bits at 2^-5, as the engine stores normalised features


def read_wav(path):
    """Returns the samples of a 16 kHz mono WAV file in the int16 range, as a float tensor."""
    with wave.open(str(path)) as file:
        if file.getframerate() != 16000 or file.getnchannels() != 1 or file.getsampwidth() != 2:
            raise ValueError(f"{path}: is not 16 kHz mono 16-bit; delete manifest.tsv and this file "
                             "to make it again")
        samples = numpy.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
    return torch.from_numpy(samples.astype(numpy.float32))


def filter_banks(samples):
    """Returns log-mel energies [frames, 51]. The C++ features reproduce this definition."""
    return torchaudio.compliance.kaldi.fbank(
        samples[None], sample_frequency=16000.0, frame_length=25.0, frame_shift=10.0,
        window_type="povey", dither=0.0, preemphasis_coefficient=0.97, remove_dc_offset=True,
        use_energy=False, use_power=True, use_log_fbank=True, snip_edges=True, low_freq=20.0,
        high_freq=0.0, num_mel_bins=BINS)


def stack(frames, start=0):
    """Puts three frames side by side, without overlap. An incomplete stack at the end is dropped."""
    count = (len(frames) - start) // STACK
    return frames[start:start + count * STACK].reshape(count, STACK * BINS)


def change_speed(samples, twentieths):
    """Plays faster (over 20 twentieths) or slower (under 20), changing tempo, pitch and formants."""
    if twentieths == 20:
        return samples
    return torchaudio.functional.resample(samples[None], twentieths, 20)[0]


def compute(folder, settings):
    """Caches the features of every utterance, and of training utterances at several speeds."""
    target = folder / "features.pt"
    if target.exists():
        return
    rows = data.read_manifest(folder)
    progress = Progress("features", len(rows))
    dice = random.Random(3)
    unit_of = {unit: index for index, unit in enumerate(settings.units)}
    result = []
    for row in rows:
        progress.step()
        samples = read_wav(folder / row["file"])
        speeds = [20]
        if row["set"] == "train":
            recorded = row["source"] in settings.recorded
            speeds = (17, 18, 19, 20, 21, 22, 23) if recorded else dice.sample(range(17, 24), 2)
        versions = [filter_banks(change_speed(samples, speed)) for speed in speeds]
        units = torch.tensor([unit_of[phone] for phone in row["phones"].split()])
        versions = [v.half() for v in versions if len(v) // STACK > 1.05 * len(units)]
        if versions:
            result.append({"set": row["set"], "source": row["source"], "file": row["file"],
                           "versions": versions, "units": units})
    torch.save(result, target.with_suffix(".part"))
    target.with_suffix(".part").rename(target)


class Augment:
    """Randomly changes log-mel frames, to imitate microphones, rooms and voices cheaply."""

    def __init__(self, seed):
        self._dice = random.Random(seed)
        bins = torch.arange(BINS, dtype=torch.float32)
        self._warps = []
        for alpha in (0.9, 0.93, 0.96, 1.0, 1.04, 1.07, 1.1):
            position = (bins * alpha).clamp(max=BINS - 1)
            low = position.floor().long().clamp(max=BINS - 2)
            part = position - low
            matrix = torch.zeros(BINS, BINS)
            matrix[low, torch.arange(BINS)] += 1 - part
            matrix[low + 1, torch.arange(BINS)] += part
            self._warps.append(matrix)
        self._cosines = [torch.cos(math.pi * k * bins / (BINS - 1)) for k in range(1, 6)]

    def _silence(self, frames, longest):
        """Returns a random number of frames as quiet as the quietest part of the utterance."""
        count = self._dice.randint(0, longest)
        floor = frames.kthvalue(1 + len(frames) // 20, 0)[0]
        return floor + 0.3 * torch.randn(count, BINS)

    def _channel(self):
        """Returns a random microphone's response. It is smooth, and may lack low or high frequencies."""
        dice = self._dice
        response = torch.zeros(BINS)
        for wave_number, cosine in enumerate(self._cosines, 1):
            response += dice.gauss(0, 0.8 / math.sqrt(wave_number)) * cosine
        if dice.random() < 0.3:
            count = dice.randint(1, 8)
            response[BINS - count:] -= dice.uniform(0, 6) * torch.linspace(1 / count, 1, count)
        if dice.random() < 0.3:
            count = dice.randint(1, 5)
            response[:count] -= dice.uniform(0, 5) * torch.linspace(1, 1 / count, count)
        return response

    def __call__(self, frames):
        dice = self._dice
        frames = torch.cat([self._silence(frames, 30), frames, self._silence(frames, 20)])
        frames = frames @ dice.choice(self._warps)
        frames = frames + self._channel()
        tilt = torch.linspace(-1, 1, BINS)
        if dice.random() < 0.8:  # additive noise with a random spectrum, -5 to -45 dB
            level = torch.logsumexp(frames.reshape(-1), 0) - math.log(frames.numel())
            level = level - dice.uniform(5, 45) * math.log(10) / 10
            shape = dice.gauss(-0.7, 0.9) * tilt + dice.gauss(0, 0.5) * tilt * tilt
            noise = level + shape + 0.5 * torch.randn_like(frames)
            frames = torch.logaddexp(frames, noise)
        frames = frames + dice.uniform(-12, 8) * math.log(10) / 10
        mean = frames.mean(0)
        for _ in range(2):
            width = dice.randint(0, 12)
            start = dice.randint(0, max(len(frames) - width, 0))
            frames[start:start + width] = mean
        width = dice.randint(0, 8)
        start = dice.randint(0, BINS - width)
        frames[:, start:start + width] = mean[start:start + width]
        return frames


class Batches:
    """Makes epochs of augmented batches [frames, utterances, 153] of utterances of similar length."""

    def __init__(self, utterances, settings, seed):
        self._utterances = utterances
        self._settings = settings
        self._dice = random.Random(seed)
        self._augment = Augment(seed)

    def _pieces(self):
        """Returns lists of utterances to be joined: one long one, or several short ones."""
        order = []
        for utterance in self._utterances:
            recorded = utterance["source"] in self._settings.recorded
            order += [utterance] * (self._settings.recorded_repeats if recorded else 1)
        self._dice.shuffle(order)
        pieces, waiting, length = [], [], 0
        for utterance in order:
            version = self._dice.choice(utterance["versions"])
            if len(version) > 180:
                pieces.append([(version, utterance["units"])])
                continue
            waiting.append((version, utterance["units"]))
            length += len(version)
            if length > self._dice.randint(80, 350):
                pieces.append(waiting)
                waiting, length = [], 0
        return pieces + ([waiting] if waiting else [])

    def _vector(self, piece):
        frames = torch.cat([self._augment(version.float()) for version, _ in piece])
        return stack(frames, self._dice.randint(0, STACK - 1)), torch.cat([u for _, u in piece])

    def epoch(self):
        """Yields (features [T, B, 153], not normalised; lengths; units; unit counts)."""
        pieces = self._pieces()
        pieces.sort(key=lambda piece: sum(len(v) for v, _ in piece) + self._dice.random() * 20)
        groups, group = [], []
        for piece in pieces:
            longest = (sum(len(v) for v, _ in piece)) // STACK
            if group and longest * (len(group) + 1) > self._settings.batch_frames:
                groups.append(group)
                group = []
            group.append(piece)
        groups.append(group)
        self._dice.shuffle(groups)
        for group in groups:
            vectors = [self._vector(piece) for piece in group]
            vectors = [(x, u) for x, u in vectors if len(x) > len(u)]
            if vectors:
                lengths = torch.tensor([len(x) for x, _ in vectors])
                batch = torch.nn.utils.rnn.pad_sequence([x for x, _ in vectors])
                counts = torch.tensor([len(u) for _, u in vectors])
                yield batch, lengths, torch.cat([u for _, u in vectors]), counts


def statistics(utterances, settings):
    """Returns the mean and the inverse standard deviation of the augmented training features."""
    rows = []
    for batch, lengths, _, _ in Batches(utterances, settings, 5).epoch():
        rows += [batch[:length, index] for index, length in enumerate(lengths)]
        if len(rows) > 1500:
            break
    rows = torch.cat(rows)
    return rows.mean(0), 1 / rows.std(0).clamp(min=0.5)


def normalise(features, mean, inv_stddev):
    """Normalises and clamps features, as the engine does before it rounds them to 8 bits."""
    return ((features - mean) * inv_stddev).clamp(LOWEST, HIGHEST)
