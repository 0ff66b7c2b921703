# SPDX-License-Identifier: Apache-2.0
"""Writes a network in the form that ese-compile reads (compiler/README.md)."""

import json
import numbers
import pathlib
import struct
import warnings

import torch

from .fbank import with_defaults
from .masks import check_floats, check_matrix, lstm_matrices, parameter_of

DTYPES = {torch.float32: "F32", torch.int64: "I64"}
PRUNED_BELOW = 0.95  # compiler/prune.h: a matrix with fewer non-zero weights was pruned in training

# Modules that do nothing at inference, or that do what the server does after the Linear.
TRANSPARENT = (torch.nn.Dropout, torch.nn.Identity, torch.nn.LogSoftmax, torch.nn.Softmax,
               torch.nn.modules.loss._Loss)


def safetensors_bytes(tensors):
    """Serialises in the safetensors format: the header's length in eight bytes, a JSON header, the data."""
    header, parts, offset = {}, [], 0
    for name, tensor in tensors.items():
        array = tensor.detach().cpu().contiguous().numpy()
        parts.append(array.astype(array.dtype.newbyteorder("<")).tobytes())
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape),
                        "data_offsets": [offset, offset + len(parts[-1])]}
        offset += len(parts[-1])
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(parts)


def write_safetensors(path, tensors):
    """Writes {name: float32 or int64 tensor}, either completely or not at all."""
    _write_all({path: safetensors_bytes(tensors)})


def _write_all(files):
    """Writes {path: bytes}. No file appears before all of them have been written."""
    parts = {path: path.with_name(path.name + ".part") for path in files}
    try:
        for path, data in files.items():
            try:
                parts[path].write_bytes(data)
            except OSError as error:
                raise OSError(error.errno, f"{error.strerror}; make room or choose another folder",
                              str(path)) from error
        for path, part in parts.items():
            part.replace(path)
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)


def _values(module):
    """Yields (name, value) for what may affect the output: parameters, and buffers except counters."""
    yield from module.named_parameters()
    yield from ((name, buffer) for name, buffer in module.named_buffers()
                if buffer.is_floating_point())


def _parts_of_module(module):
    """Returns the one LSTM and the one Linear of a module, with the prefixes of their names."""
    found = {torch.nn.LSTM: [], torch.nn.Linear: []}
    owned = set()
    for name, child in module.named_modules():
        kind = next((kind for kind in found if isinstance(child, kind)), None)
        if kind or isinstance(child, TRANSPARENT):
            if kind:
                found[kind].append((f"{name}." if name else "", child))
            owned.update(f"{name}." * bool(name) + key for key, _ in _values(child))
        elif type(child).__module__.startswith("torch.nn.") and not list(child.children()):
            raise ValueError(f"{name} is a {type(child).__name__}, which ESE does not compute; "
                             "train without it, or give the parts (lstm, linear) if the output "
                             "does not need it")
    other = [name for name, _ in _values(module) if name not in owned]
    if other:
        raise ValueError(f"{other[0]}: belongs to no LSTM or Linear, and ESE computes nothing "
                         "else; give the parts (lstm, linear) if the output does not need it; if "
                         "it is the normalisation, also give mean and inv_stddev; otherwise train "
                         "without it")
    for kind, parts in found.items():
        if len(parts) != 1:
            raise ValueError(f"{type(module).__name__} has {len(parts)} modules of type torch.nn."
                             f"{kind.__name__}; give the parts in their order, as (lstm, linear) "
                             "or ([lstm, lstm], linear)")
    return found[torch.nn.LSTM], found[torch.nn.Linear][0]


def _parts(model):
    """Returns [(prefix, LSTM), ...] from the input upwards, and (prefix, Linear)."""
    if isinstance(model, torch.nn.Module):
        return _parts_of_module(model)
    if not isinstance(model, (tuple, list)) or len(model) != 2:
        raise TypeError(f"the model is a {type(model).__name__}; give a torch.nn.Module, or its "
                        "parts as (lstm, linear) or ([lstm, lstm], linear)")
    lstms, output = model
    lstms = [lstms] if isinstance(lstms, torch.nn.Module) else list(lstms)
    if not lstms:
        raise ValueError("the model has no LSTM; give its parts as ([lstm, lstm], linear)")
    prefixes = ["lstm."] if len(lstms) == 1 else [f"lstm{k}." for k in range(len(lstms))]
    if not isinstance(output, torch.nn.Linear):
        raise TypeError(f"the output is a {type(output).__name__}; give a torch.nn.Linear")
    return list(zip(prefixes, lstms)), ("output.", output)


def _layers(lstms, tensors):
    """Returns the topology's layers, and adds their weights to `tensors`."""
    layers = []
    for prefix, lstm in lstms:
        lstm_matrices(lstm, prefix)  # checks the LSTM
        outputs = lstm.proj_size or lstm.hidden_size
        if layers and lstm.input_size != (layers[-1]["projection"] or layers[-1]["cells"]):
            raise ValueError(f"{prefix[:-1]}: reads {lstm.input_size} values, but the LSTM before "
                             "it has another number of outputs; give the LSTMs from the input upwards")
        for name, parameter in lstm.named_parameters():
            tensors[prefix + name] = parameter
        for layer in range(lstm.num_layers):
            layers.append({"prefix": prefix, "suffix": f"_l{layer}",
                           "input": outputs if layer else lstm.input_size,
                           "cells": lstm.hidden_size, "projection": lstm.proj_size})
            if not lstm.bias:
                for bias in ("bias_ih", "bias_hh"):
                    tensors[f"{prefix}{bias}_l{layer}"] = torch.zeros(4 * lstm.hidden_size)
    return layers


def _normalisation(mean, inv_stddev, inputs):
    given = {"input.mean": mean, "input.inv_stddev": inv_stddev}
    for name, value in given.items():
        if value is None:
            value = torch.full((inputs,), float(name == "input.inv_stddev"))
        try:
            value = torch.as_tensor(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise TypeError(f"{name}: {error}; give a float tensor [{inputs}]") from error
        check_floats(value, name, "give the features' mean, and 1 / standard deviation, or 1 where "
                                  "the deviation is 0")
        if list(value.shape) != [inputs]:
            raise ValueError(f"{name}: has the shape {list(value.shape)}; the network reads "
                             f"[{inputs}]")
        given[name] = value
    return given


def _calibration(utterances, inputs):
    for index, utterance in enumerate(utterances):
        check_matrix(utterance, f"calibration[{index}]", "correct how features are computed, or "
                                                         "leave out this utterance")
        if utterance.shape[1] != inputs:
            raise ValueError(f"calibration[{index}]: has the shape {list(utterance.shape)}; the "
                             f"network reads [frames, {inputs}]")
    if not utterances:
        raise ValueError("calibration: has no utterances; give a few dozen of the training data, or "
                         "None")
    return {"features": torch.cat([utterance.detach().float() for utterance in utterances]),
            "lengths": torch.tensor([len(utterance) for utterance in utterances])}


def _balance(lstms):
    """Returns {matrix: (fewest, most non-zero weights of a row, columns)}; warns of unequal rows."""
    balance = {}
    for prefix, lstm in lstms:
        for matrix in lstm_matrices(lstm, prefix):
            weights = matrix.joined()
            check_matrix(weights, matrix.label)
            kept = (weights.float() != 0).sum(1)
            least, most = int(kept.min()), int(kept.max())
            balance[matrix.label] = (least, most, matrix.columns)
            if least < most and int(kept.sum()) < PRUNED_BELOW * weights.numel():
                warnings.warn(f"{matrix.label}: {matrix.row(int(kept.argmin()))} has {least} "
                              f"non-zero weights, but {matrix.row(int(kept.argmax()))} has {most}; "
                              "call Pruner.finish() first, or compile with --pad or --density",
                              stacklevel=3)
    return balance


def _is_text(value):
    """Returns whether it is a string that is not empty and that UTF-8 can encode."""
    try:
        return isinstance(value, str) and bool(value.encode())
    except UnicodeEncodeError:
        return False


def _output(units, blank, linear, weight, bias):
    """Returns the topology's `output`."""
    units = [] if isinstance(units, str) or not hasattr(units, "__iter__") else list(units)
    if len(units) != linear.out_features or not all(_is_text(unit) for unit in units):
        raise ValueError(f"units: {len(units)} names for the {linear.out_features} rows of "
                         f"{weight}; give one for each row, text in UTF-8, none of them empty")
    if blank is not None and not (isinstance(blank, numbers.Integral) and
                                  0 <= blank < len(units)):
        raise ValueError(f"blank: is {blank!r}; give the index of one of the {len(units)} units")
    return {"weight": weight, "bias": bias, "units": units,
            "blank": -1 if blank is None else int(blank)}


def _json_bytes(topology):
    """Returns the bytes of topology.json. Its `training` is the only part that is checked here."""
    if not isinstance(topology["training"], dict):
        raise TypeError(f"training: is a {type(topology['training']).__name__}; give a dict")
    try:
        text = json.dumps(topology, indent=1, allow_nan=False, ensure_ascii=False)
        return (text + "\n").encode()
    except (TypeError, ValueError) as error:
        raise TypeError(f"training: {error}; give finite numbers, text in UTF-8, or lists and dicts "
                        "of these") from error


def export(model, folder, *, units, blank=None, name="model", features=None, mean=None,
           inv_stddev=None, calibration=None, training=None):
    """Writes model.safetensors, topology.json and calibration.safetensors into `folder`.

    model: a module with one torch.nn.LSTM (of any number of layers) and one torch.nn.Linear on its
    output, or these parts: (lstm, linear), or ([lstm, lstm], linear) from the input upwards.
    units: the name of each output. blank: the index of CTC's blank, if there is one.
    name: the name by which clients select the model.
    features: how the server computes features from audio (see FEATURES). None: the model takes
    features only.
    mean, inv_stddev: [inputs]; the network was trained on (feature - mean) * inv_stddev.
    calibration: a list of float tensors [frames, inputs], not normalised: a few dozen utterances of
    the training data, from which ese-compile chooses formats. None: the file is not written.
    training: a dict of any facts, for people.

    Returns {matrix: (fewest, most non-zero weights of a row, columns)}. Raises ValueError or TypeError
    with the tensor and the remedy, or OSError with the file. If it raises, nothing is written.
    """
    lstms, (output_prefix, output) = _parts(model)
    tensors = {}
    layers = _layers(lstms, tensors)
    inputs, outputs = layers[0]["input"], layers[-1]["projection"] or layers[-1]["cells"]
    weight, bias = output_prefix + "weight", output_prefix + "bias"
    if output.in_features != outputs:
        raise ValueError(f"{weight}: has the shape {list(output.weight.shape)}, but the LSTM has "
                         f"{outputs} outputs; give the Linear that reads them")
    if not _is_text(name):
        raise ValueError(f"name: is {name!r}; give text, because clients select the model by it")
    tensors[weight] = parameter_of(output, output_prefix, "weight")
    tensors[bias] = (torch.zeros(output.out_features) if output.bias is None else
                     parameter_of(output, output_prefix, "bias"))
    tensors.update(_normalisation(mean, inv_stddev, inputs))
    for key, tensor in tensors.items():
        check_floats(tensor, key)
    topology = {"name": name, "layers": layers,
                "output": _output(units, blank, output, weight, bias),
                "input": {"mean": "input.mean", "inv_stddev": "input.inv_stddev"},
                "training": {} if training is None else training}
    if features is not None:
        topology["features"] = features = with_defaults(features)
        values = features["num_mel_bins"] * features["stack"]
        if values != inputs:
            raise ValueError(f"features: {features['num_mel_bins']} bins x {features['stack']} "
                             f"= {values} values per frame, but {layers[0]['prefix']}weight_ih_l0 "
                             f"reads {inputs}; correct num_mel_bins or stack")
    files = {"model.safetensors": safetensors_bytes(
        {key: tensor.detach().float() for key, tensor in tensors.items()})}
    if calibration is not None:
        files["calibration.safetensors"] = safetensors_bytes(
            _calibration(list(calibration), inputs))
    files["topology.json"] = _json_bytes(topology)
    balance = _balance(lstms)

    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _write_all({folder / file: data for file, data in files.items()})
    return balance
