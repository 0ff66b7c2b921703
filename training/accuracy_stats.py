# SPDX-License-Identifier: Apache-2.0
"""Statistics of the experiment's results in training/results, in plain Python.

Differences are paired: they compare the same utterances under two networks, over all seeds that both have.
Their 95 % intervals come from 2,000 bootstrap samples of the utterances.
"""

import json
import pathlib
import random
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "training/results"
SETS = ("asterisk", "others", "synth", "synth_unheard")
SAMPLES = 2000
FACTORS = ("20x", "30x", "40x")
ROUNDS = {"": ("dense", *FACTORS),  # the networks of a round have the same number of updates
          "_again": tuple(what + "_again" for what in ("dense", *FACTORS))}
DUTCH = "fillets_nl"  # the test set of the runs nl.*, which train the small LSTM
PATTERNS = {"row": "same count per row (ours)", "pe": "same count per PE (the paper's)",
            "unbalanced": "unbalanced"}


def read(folder):
    """Returns {name: contents} of all results/folder/NAME.json."""
    return {path.stem: json.loads(path.read_text())
            for path in sorted((RESULTS / folder).glob("*.json"))}


class Group:
    """One network of the experiment: {seed: error rates by test set}."""

    def __init__(self, by_seed):
        self.by_seed = by_seed

    def seeds(self):
        """Returns how many seeds were trained."""
        return len(self.by_seed)

    def pers(self, test_set):
        """Returns the error rate of each seed in percent."""
        return [100 * _rate(rates[test_set]["by_utterance"]) for rates in self.by_seed.values()]

    def per(self, test_set):
        """Returns the mean error rate of the seeds in percent."""
        values = self.pers(test_set)
        return sum(values) / len(values)

    def spread(self, test_set):
        """Returns the points between the best and the worst seed."""
        return max(self.pers(test_set)) - min(self.pers(test_set))


def _rate(counts):
    return sum(errors for errors, _ in counts) / sum(phones for _, phones in counts)


def loss(group, base, sets):
    """Returns (points, low, high): the PER of `group` minus that of `base`, over the seeds that both have."""
    seeds = sorted(set(group.by_seed) & set(base.by_seed))
    if not seeds:
        return None
    pairs = []
    for index in range(len(sets)):
        name = sets[index]
        columns = [(group.by_seed[s][name]["by_utterance"], base.by_seed[s][name]["by_utterance"])
                   for s in seeds]
        for ours, theirs in columns:
            if [n for _, n in ours] != [n for _, n in theirs]:
                raise ValueError(f"the two results on {name} are for different utterances; train both again")
        for utterance in range(len(columns[0][0])):
            pairs.append((sum(ours[utterance][0] - theirs[utterance][0]
                              for ours, theirs in columns) / len(seeds),
                          columns[0][0][utterance][1]))
    dice = random.Random(1)
    mean = 100 * _rate(pairs)
    means = sorted(100 * _rate(dice.choices(pairs, k=len(pairs))) for _ in range(SAMPLES))
    return mean, means[int(0.025 * SAMPLES)], means[int(0.975 * SAMPLES)]


def groups(runs):
    """Groups the runs' error rates: {("main", "20x"): Group, ("small", "row.d11"): Group, ...}."""
    found = {}
    for name, run in runs.items():
        match = re.fullmatch(r"(\w+)\.s(\d+)\.(.+)", name)
        if match and match[3] != "trunk":
            found.setdefault((match[1], match[3]), {})[int(match[2])] = run["per"]
    return {key: Group(by_seed) for key, by_seed in found.items()}


def of_pattern(found, size, pattern):
    """Returns [(density in percent, Group)] of a pattern, the dense network first."""
    line = [(100.0, found[size, "dense"])] if (size, "dense") in found else []
    for (of, what), group in found.items():
        match = re.fullmatch(pattern + r"\.d([\d.]+)", what)
        if of == size and match:
            line.append((float(match[1]), group))
    return sorted(line, key=lambda item: -item[0])
