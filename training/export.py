# SPDX-License-Identifier: Apache-2.0
"""Stage 4: writes the model, its topology and calibration features for the compiler."""

import json

import torch

from training import features, recipes
from training.ese_prune.export import write_safetensors
from training.train import load_finished, result_file

CALIBRATION_UTTERANCES = 30


def calibration(folder):
    """Returns about thirty training utterances, spread over the sources, without normalisation."""
    utterances = [u for u in torch.load(folder / "features.pt") if u["set"] == "train"]
    chosen = []
    sources = sorted({u["source"] for u in utterances})
    for source in sources:
        members = [u for u in utterances if u["source"] == source and
                   200 < len(u["versions"][0]) < 600]
        wanted = CALIBRATION_UTTERANCES // len(sources) + 1
        chosen += members[:: max(len(members) // wanted, 1)][:wanted]
    # The versions of recordings are sorted by speed, and the middle one has the original speed.
    stacks = [features.stack(u["versions"][len(u["versions"]) // 2].float()) for u in chosen]
    return {"features": torch.cat(stacks),
            "lengths": torch.tensor([len(stack) for stack in stacks], dtype=torch.int64)}


def held_out(folder, model, mean, inv_stddev, test_sets):
    """Returns all test utterances with their references and the float model's answers.

    Other engines can be compared with them. `features` (not normalised) and `log_probabilities` hold
    one utterance after the other, with `lengths` frames each. `units` holds their references, with
    `unit_lengths` units each. `set` is an index into `test_sets`.
    """
    members = [u for u in torch.load(folder / "features.pt") if u["set"] in test_sets]
    members.sort(key=lambda u: test_sets.index(u["set"]))
    model.eval()
    stacks, answers = [], []
    with torch.no_grad():
        for utterance in members:
            stacks.append(features.stack(utterance["versions"][0].float()))
            answers.append(model(features.normalise(stacks[-1], mean, inv_stddev)[:, None])[:, 0])
    return {"features": torch.cat(stacks), "log_probabilities": torch.cat(answers),
            "lengths": torch.tensor([len(stack) for stack in stacks]),
            "units": torch.cat([u["units"] for u in members]),
            "unit_lengths": torch.tensor([len(u["units"]) for u in members]),
            "set": torch.tensor([test_sets.index(u["set"]) for u in members])}


def lineage(results, name):
    """Returns (updates, frames) of a finished run and of all runs that it continues from."""
    updates = frames = 0
    while name:
        report = json.loads(result_file(results, name).read_text())
        updates, frames = updates + report["run"]["updates"], frames + report["frames"]
        name = report["run"]["parent"]
    return updates, frames


def topology(recipe, name, lstm, per, updates, frames):
    """Returns what the compiler must know besides the weights."""
    first = {"prefix": "lstm.", "cells": lstm.hidden_size, "projection": lstm.proj_size,
             "peepholes": False, "g": "tanh"}
    layers = [dict(first, suffix=f"_l{layer}",
                   input=lstm.proj_size if layer else features.BINS * features.STACK)
              for layer in range(lstm.num_layers)]
    return {
        "name": recipe.model(name),
        "features": {"sample_rate_hz": 16000, "frame_length_ms": 25, "frame_shift_ms": 10,
                     "num_mel_bins": features.BINS, "low_freq_hz": 20, "high_freq_hz": 0,
                     "preemphasis": 0.97, "stack": features.STACK},
        "layers": layers,
        "output": {"weight": "output.weight", "bias": "output.bias",
                   "units": recipe.settings.units, "blank": 0},
        "input": {"mean": "input.mean", "inv_stddev": "input.inv_stddev"},
        "training": {"data": recipe.source, "steps": updates, "frames": frames, "per": per},
    }


def run(folder, results, name):
    """Writes export/NAME in the work folder. Every file appears complete or not at all."""
    recipe = recipes.of(name)
    target = folder / "export" / name
    target.mkdir(parents=True, exist_ok=True)
    model, saved = load_finished(folder, name, len(recipe.settings.units))
    report = json.loads(result_file(results, name).read_text())
    tensors = dict(model.state_dict())
    tensors["input.mean"], tensors["input.inv_stddev"] = saved["mean"], saved["inv"]
    per = {group: value["per"] for group, value in report["per"].items()}
    write_safetensors(target / "calibration.safetensors", calibration(folder))
    write_safetensors(target / "heldout.safetensors",
                      held_out(folder, model, saved["mean"], saved["inv"], recipe.test_sets))
    write_safetensors(target / "model.safetensors", tensors)
    (target / "topology.json.part").write_text(
        json.dumps(topology(recipe, name, model.lstm, per, *lineage(results, name))) + "\n")
    (target / "topology.json.part").rename(target / "topology.json")
    print(f"exported to {target}")
