# SPDX-License-Identifier: Apache-2.0
"""Phone error rates: the Levenshtein distance between the CTC best path and the reference phones."""

import torch

from training import features

TEST_SETS = ("asterisk", "others", "synth", "synth_unheard")


def best_path(log_probabilities):
    """Returns the units of the best path, with repeats merged and blanks removed."""
    path = torch.unique_consecutive(log_probabilities.argmax(-1))
    return path[path != 0].tolist()


def distance(found, wanted):
    """Returns the Levenshtein distance of two lists."""
    row = list(range(len(wanted) + 1))
    for i, unit in enumerate(found, 1):
        previous, row[0] = row[0], i
        for j, other in enumerate(wanted, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (unit != other))
    return row[-1]


def normalised(utterance, mean, inv_stddev):
    """Returns the network's input for a test utterance."""
    return features.normalise(features.stack(utterance["versions"][0].float()), mean, inv_stddev)


def _by_source(members, counts):
    sources = {}
    for utterance in members:
        total = sources.setdefault(utterance["source"], [0, 0])
        for index, count in enumerate(counts[utterance["file"]]):
            total[index] += count
    return sources


def summary(by_utterance):
    """Returns a set's [[errors, phones], ...] together with their sums and the rate in percent."""
    errors, phones = map(sum, zip(*by_utterance))
    return {"per": round(100 * errors / phones, 2), "errors": errors, "phones": phones,
            "by_utterance": by_utterance}


def error_rates(model, utterances, mean, inv_stddev):
    """Returns {set: {per (percent), errors, phones, by_utterance: [[errors, phones], ...]}}.

    Utterances are in the order of their files' names, so that runs can be compared pairwise. If a
    set has several sources, `by_source` has [errors, phones] for each of them.
    """
    was_training = model.training
    model.eval()
    result = {}
    with torch.no_grad():
        for name in sorted({u["set"] for u in utterances}):
            members = [u for u in utterances if u["set"] == name]
            members.sort(key=lambda u: len(u["versions"][0]))
            counts = {}
            for start in range(0, len(members), 32):
                group = members[start:start + 32]
                inputs = [normalised(u, mean, inv_stddev) for u in group]
                outputs = model(torch.nn.utils.rnn.pad_sequence(inputs))
                for index, utterance in enumerate(group):
                    found = best_path(outputs[:len(inputs[index]), index])
                    counts[utterance["file"]] = [distance(found, utterance["units"].tolist()),
                                                 len(utterance["units"])]
            if members:
                result[name] = summary([counts[file] for file in sorted(counts)])
                sources = _by_source(members, counts)
                if len(sources) > 1:
                    result[name]["by_source"] = sources
    model.train(was_training)
    return result


def ranges(model, utterances, mean, inv_stddev):
    """Returns the largest |c| and |y|. The engine's cells stay below 32, and its outputs below 4."""
    lstm, largest_c, largest_y, total, outside = model.lstm, 0.0, 0.0, 0, 0
    with torch.no_grad():
        for utterance in utterances:
            state = None
            for frame in normalised(utterance, mean, inv_stddev):
                y, state = lstm(frame[None, None], state)
                largest_c = max(largest_c, state[1].abs().max().item())
                largest_y = max(largest_y, y.abs().max().item())
                outside += int((y.abs() > 4).sum())
                total += y.numel()
    return {"cell": round(largest_c, 2), "projection": round(largest_y, 2),
            "projection_outside_4": outside / max(total, 1)}
