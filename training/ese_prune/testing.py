# SPDX-License-Identifier: Apache-2.0
"""Helpers for the tests: small networks, and a reader of .ese files (docs/model_format.md)."""

import os
import pathlib
import struct

import torch

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
PROGRAMS = pathlib.Path(os.environ.get("ESE_BIN") or REPOSITORY / "build/release/bin")
COMPILER = PROGRAMS / "ese-compile"


class Tagger(torch.nn.Module):
    """A network such as a user may have: an LSTM with a Linear on its output."""

    def __init__(self, inputs=7, cells=10, projection=6, layers=1, units=3, bias=True):
        super().__init__()
        self.lstm = torch.nn.LSTM(inputs, cells, layers, proj_size=projection, bias=bias)
        self.output = torch.nn.Linear(projection or cells, units, bias=bias)

    def forward(self, x):
        """Returns [frames, batch, units] for x [frames, batch, inputs]."""
        return self.output(self.lstm(x)[0])


def _varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 0x80:
            return value, at


def _fields(data):
    """Returns {field number: [values]} of a protobuf message. Nested messages and text stay bytes."""
    fields, at = {}, 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
        elif kind == 2:
            size, at = _varint(data, at)
            value, at = data[at:at + size], at + size
        else:
            size, form = {1: (8, "<Q"), 5: (4, "<I")}[kind]
            value, at = struct.unpack_from(form, data, at)[0], at + size
        fields.setdefault(key >> 3, []).append(value)
    return fields


class EseFile:
    """The sections and layers of a compiled model."""

    def __init__(self, path):
        self._data = pathlib.Path(path).read_bytes()
        magic, version, size = struct.unpack_from("<8sII", self._data)
        if (magic, version) != (b"ESEMODEL", 2):
            raise ValueError(f"{path}: not an .ese file of version 2")
        manifest = _fields(self._data[64:64 + size])
        self.input_fraction_bits = manifest.get(3, [0])[0]
        self.output_fraction_bits = [_fields(layer).get(6, [0])[0] for layer in manifest[4]]
        self.hidden_fraction_bits = [_fields(layer)[9][0] for layer in manifest[4]]
        self._sections = {}
        for section in map(_fields, manifest[6]):
            offset, count = section[2][0], section.get(3, [0])[0]
            self._sections[section[1][0].decode()] = self._data[offset:offset + count]

    def matrix(self, name, columns):
        """Returns (mask, integers, shift) of a matrix such as "layer0/gates", in the file's order of rows."""
        shift = torch.tensor(list(self._sections[name + "/shift"]))
        data = self._sections[name + "/entries"]
        entries = torch.tensor(struct.unpack(f"<{len(data) // 2}H", data)).view(len(shift), -1)
        column = torch.cumsum((entries >> 7) + 1, 1) - 1
        weight = (entries & 0x7F) - 128 * ((entries & 0x40) > 0).long()
        mask = torch.zeros(len(shift), columns, dtype=torch.bool).scatter_(1, column, True)
        return mask, torch.zeros(mask.shape, dtype=torch.long).scatter_(1, column, weight), shift


def gate_rows(cells):
    """Returns, for each row of an .ese file's gates, torch's row (four blocks of `cells` rows)."""
    rows = torch.arange(4 * cells)
    return rows % 4 * cells + rows // 4
