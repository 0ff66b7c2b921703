# SPDX-License-Identifier: Apache-2.0
"""Tests export: /usr/bin/python3 -m unittest training.ese_prune.test_export

The tests look for ese-compile in ESE_BIN, or in build/release/bin if that is not set. If it is not in
build/release/bin, the tests that need it are skipped.
"""

import json
import os
import pathlib
import struct
import subprocess
import tempfile
import unittest
import warnings

import torch

from .export import export
from .masks import lstm_matrices, row_balanced_mask
from .pruner import Pruner
from .quantize import QuantizedLinear, QuantizedLSTM, quantize_weight
from .schedule import CubicSchedule
from .testing import COMPILER, EseFile, Tagger, gate_rows

UNITS = ["<blank>", "a", "b"]


def read_safetensors(path):
    """Returns {name: (dtype, shape, bytes)}."""
    data = path.read_bytes()
    size = struct.unpack_from("<Q", data)[0]
    return {name: (entry["dtype"], entry["shape"],
                   data[8 + size + entry["data_offsets"][0]:8 + size + entry["data_offsets"][1]])
            for name, entry in json.loads(data[8:8 + size]).items()}


class ExportTest(unittest.TestCase):
    """Tests what is written and what is refused."""

    def setUp(self):
        torch.manual_seed(3)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name) / "new"

    def topology(self):
        """Returns the contents of topology.json."""
        return json.loads((self.folder / "topology.json").read_text())

    def test_a_module(self):
        module = Tagger(layers=2).double()
        export(module, self.folder, name="x", units=UNITS, blank=0, mean=torch.ones(7),
               calibration=[torch.zeros(4, 7), torch.ones(2, 7)], training={"steps": 3})
        tensors = read_safetensors(self.folder / "model.safetensors")
        self.assertEqual({name: entry[:2] for name, entry in tensors.items()}, {
            **{name: ("F32", list(p.shape)) for name, p in module.named_parameters()},
            "input.mean": ("F32", [7]), "input.inv_stddev": ("F32", [7])})
        self.assertEqual(tensors["output.bias"][2],
                         struct.pack("<3f", *module.output.bias.tolist()))
        self.assertEqual(self.topology(), {
            "name": "x", "training": {"steps": 3},
            "layers": [{"prefix": "lstm.", "suffix": "_l0", "input": 7, "cells": 10,
                        "projection": 6},
                       {"prefix": "lstm.", "suffix": "_l1", "input": 6, "cells": 10,
                        "projection": 6}],
            "output": {"weight": "output.weight", "bias": "output.bias", "units": UNITS,
                       "blank": 0},
            "input": {"mean": "input.mean", "inv_stddev": "input.inv_stddev"}})
        calibration = read_safetensors(self.folder / "calibration.safetensors")
        self.assertEqual(calibration["features"][:2], ("F32", [6, 7]))
        self.assertEqual(calibration["lengths"], ("I64", [2], struct.pack("<2q", 4, 2)))
        self.assertEqual(list(self.folder.glob("*.part")), [])

    def test_parts(self):
        lstms = [torch.nn.LSTM(7, 5, bias=False), torch.nn.LSTM(5, 4)]
        export((lstms, torch.nn.Linear(4, 3, bias=False)), self.folder, units=UNITS,
               features={"sample_rate_hz": 8000, "num_mel_bins": 7})
        self.assertEqual([layer["prefix"] for layer in self.topology()["layers"]],
                         ["lstm0.", "lstm1."])
        self.assertEqual(self.topology()["features"]["stack"], 1)
        tensors = read_safetensors(self.folder / "model.safetensors")
        self.assertEqual(tensors["lstm0.bias_hh_l0"], ("F32", [20], bytes(80)))
        self.assertEqual(tensors["output.bias"], ("F32", [3], bytes(12)))
        self.assertFalse((self.folder / "calibration.safetensors").exists())

    def test_losses_and_counters_within_the_module_do_not_matter(self):
        module = Tagger()
        module.loss = torch.nn.CrossEntropyLoss(weight=torch.ones(3))
        module.register_buffer("updates", torch.tensor(7))
        export(module, self.folder, units=UNITS)

    def test_the_balance_is_returned_and_unequal_rows_give_a_warning(self):
        module = Tagger()
        pruner = Pruner(module, 0.5, CubicSchedule(0, 0))
        pruner.step()
        pruner.finish()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            self.assertEqual(export(module, self.folder, units=UNITS), {
                "lstm.weight_ih_l0 | lstm.weight_hh_l0": (7, 7, 13),
                "lstm.weight_hr_l0": (5, 5, 10)})
        with torch.no_grad():
            module.lstm.weight_hr_l0[1].zero_()
        with self.assertWarnsRegex(UserWarning, r"weight_hr_l0: row 1 has 0 .*finish\(\)"):
            export(module, self.folder, units=UNITS)

    def refuse(self, error, text, model=None, **changes):
        """Checks that the export fails with this error and writes nothing."""
        arguments = {"units": UNITS, **changes}
        with self.assertRaisesRegex(error, text):
            export(Tagger() if model is None else model, self.folder, **arguments)
        self.assertFalse(self.folder.exists())

    def test_wrong_arguments_are_named_with_the_remedy(self):
        self.refuse(ValueError, "units: 2 names for the 3 rows of output.weight", units=["a", "b"])
        self.refuse(ValueError, "none of them empty", units=["a", "", "b"])
        self.refuse(ValueError, "blank: is 3; give the index", blank=3)
        self.refuse(ValueError, r"input.mean: has the shape \[6\]; .*\[7\]", mean=torch.zeros(6))
        self.refuse(ValueError, r"input.inv_stddev: the value at \[0\] is inf",
                    inv_stddev=1 / torch.zeros(7))
        self.refuse(ValueError, r"8 bins x 1 = 8 values per frame, but lstm.weight_ih_l0 reads 7",
                    features={"sample_rate_hz": 8000, "num_mel_bins": 8})
        self.refuse(ValueError, r"calibration\[1\]: has the shape \[2, 5\]",
                    calibration=[torch.zeros(4, 7), torch.zeros(2, 5)])
        self.refuse(ValueError, "calibration: has no utterances", calibration=[])

    def test_other_kinds_of_arguments_are_named(self):
        self.refuse(TypeError, "the model is a OrderedDict; give a torch.nn.Module",
                    Tagger().state_dict())
        self.refuse(ValueError, "the model has no LSTM", ([], torch.nn.Linear(6, 3)))
        self.refuse(ValueError, "units: 0 names", units="abc")
        self.refuse(ValueError, "units: .* text in UTF-8", units=["a", "\udcff", "b"])
        self.refuse(ValueError, "blank: is 1.5; give the index", blank=1.5)
        self.refuse(ValueError, "blank: is 'a'; give the index", blank="a")
        for name in ("", None, "\udcff"):
            self.refuse(ValueError, "name: is .*; give text", name=name)
        self.refuse(TypeError, r"input.mean: .*; give a float tensor \[7\]", mean="x")
        self.refuse(ValueError, r"calibration\[0\]: .* nan .*; correct how features are computed",
                    calibration=[torch.full((2, 7), float("nan"))])

    def test_facts_that_json_cannot_hold_leave_nothing_behind(self):
        for training in ({"x": float("nan")}, {"x": torch.ones(1)}, {"x": "\udcff"}):
            self.refuse(TypeError, "training: .*; give finite numbers", training=training)
        self.refuse(TypeError, "training: is a list; give a dict", training=[1])

    def test_text_beyond_ascii_is_written_as_it_is(self):
        units = ["<blank>", "ä", "\U0001d11e"]
        export(Tagger(), self.folder, units=units, name="ü")
        self.assertEqual((self.topology()["name"], self.topology()["output"]["units"]),
                         ("ü", units))
        self.assertIn("ä".encode(), (self.folder / "topology.json").read_bytes())

    def test_a_file_that_cannot_be_written_is_named_and_the_others_stay_as_they_were(self):
        export(Tagger(), self.folder, units=UNITS)
        before = {path: path.read_bytes() for path in self.folder.iterdir()}
        (self.folder / "topology.json.part").symlink_to("/dev/full")
        with self.assertRaisesRegex(OSError, "make room or choose another folder.*topology.json"):
            export(Tagger(cells=11), self.folder, units=UNITS)
        self.assertEqual({path: path.read_bytes() for path in self.folder.iterdir()}, before)

    def test_weights_that_are_not_finite_are_named(self):
        for name in ("lstm.weight_hh_l0", "lstm.bias_ih_l0", "output.weight"):
            module = Tagger()
            with torch.no_grad():
                dict(module.named_parameters())[name].view(-1)[0] = float("nan")
            self.refuse(ValueError, f"^{name}: the value at .* is nan", module)

    def test_networks_that_ese_cannot_serve_are_named(self):
        module = Tagger()
        module.norm = torch.nn.LayerNorm(6)
        self.refuse(ValueError, "norm is a LayerNorm, which ESE does not compute", module)
        module = Tagger()
        module.scale = torch.nn.Parameter(torch.ones(1))
        self.refuse(ValueError, "scale: belongs to no LSTM or Linear", module)
        module = Tagger()
        module.second = torch.nn.Linear(3, 3)
        self.refuse(ValueError, "has 2 modules of type torch.nn.Linear; give the parts", module)
        module = Tagger()
        module.register_buffer("mean", torch.zeros(7))
        self.refuse(ValueError, "mean: belongs to no LSTM or Linear.*give mean and inv_stddev",
                    module)
        module = Tagger()
        torch.nn.utils.weight_norm(module.output)
        self.refuse(TypeError, "output.weight: is computed from other.*remove_weight_norm", module)
        self.refuse(ValueError, "lstm: is bidirectional",
                    (torch.nn.LSTM(7, 3, bidirectional=True), torch.nn.Linear(6, 3)))
        self.refuse(ValueError, r"output.weight: has the shape \[3, 5\], but the LSTM has 4",
                    (torch.nn.LSTM(7, 4), torch.nn.Linear(5, 3)))
        self.refuse(ValueError, "lstm1: reads 7 values, but the LSTM before",
                    ([torch.nn.LSTM(7, 4), torch.nn.LSTM(7, 4)], torch.nn.Linear(4, 3)))
        self.refuse(TypeError, "the output is a LSTM", (torch.nn.LSTM(7, 4), torch.nn.LSTM(4, 3)))


@unittest.skipUnless(COMPILER.exists() or "ESE_BIN" in os.environ,
                     f"no {COMPILER}; build it, or set ESE_BIN")
class CompilerTest(unittest.TestCase):
    """Tests that ese-compile reads what is exported and chooses the same masks and integers."""

    def setUp(self):
        torch.manual_seed(4)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def compile(self, module, *flags):
        """Exports and compiles a module, and keeps ese-compile's report in self.report."""
        self.features = torch.randn(30, 3, module.lstm.input_size).clamp(-3.9, 3.9)
        export(module, self.folder, units=UNITS, blank=0, calibration=self.features.unbind(1))
        command = [COMPILER, "build", "--json", "-o", self.folder / "m.ese", *flags]
        for flag, file in (("--weights", "model.safetensors"), ("--topology", "topology.json"),
                           ("--calibration", "calibration.safetensors")):
            command += [flag, self.folder / file]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.report = json.loads(done.stdout)
        return EseFile(self.folder / "m.ese")

    def expect_same(self, model, lstm, densities):
        """Checks that the masks and integers of a compiled model are those of this package."""
        input_bits = model.input_fraction_bits
        for index, matrix in enumerate(lstm_matrices(lstm)):
            layer = index // 2 if lstm.proj_size else index
            output_bits = model.output_fraction_bits[layer]
            weight, bits = matrix.joined(), model.hidden_fraction_bits[layer]
            if matrix.kind == "gates":
                if layer:
                    input_bits = model.output_fraction_bits[layer - 1]
                inputs = matrix.parameters[0].shape[1]
                bits = torch.tensor([input_bits] * inputs +
                                    [output_bits] * (matrix.columns - inputs))
                weight = weight[gate_rows(lstm.hidden_size)]
            mask = row_balanced_mask(weight, densities[matrix.kind])
            found, integers, shift = model.matrix(f"layer{layer}/{matrix.kind}", matrix.columns)
            self.assertTrue(torch.equal(found, mask), matrix.label)
            wanted, wanted_shift = quantize_weight(weight * mask, bits)
            self.assertTrue(torch.equal(integers, wanted.long()), matrix.label)
            self.assertTrue(torch.equal(shift, wanted_shift), matrix.label)

    def test_dense_weights_are_pruned_to_the_same_masks(self):
        for arguments, density in (({}, 0.1), ({}, 0.5), ({"layers": 2}, 0.25),
                                   ({"projection": 0, "cells": 16}, 0.3),
                                   ({"inputs": 153, "cells": 256, "projection": 128}, 0.11)):
            module = Tagger(**arguments)
            model = self.compile(module, "--density", str(density))
            self.expect_same(model, module.lstm, {"gates": density, "projection": density})

    def test_a_half_entry_is_rounded_up_by_both(self):
        module = Tagger()  # 13 and 10 columns: 6.5 and 2.5 entries
        model = self.compile(module, "--density-gates", "0.5", "--density-projection", "0.25")
        self.expect_same(model, module.lstm, {"gates": 0.5, "projection": 0.25})
        self.assertEqual(model.matrix("layer0/gates", 13)[0].sum(1).unique().tolist(), [7])
        self.assertEqual(model.matrix("layer0/projection", 10)[0].sum(1).unique().tolist(), [3])

    def test_both_break_ties_in_the_same_way(self):
        module = Tagger(inputs=40, cells=32, projection=24)
        with torch.no_grad():
            for parameter in module.lstm.parameters():
                parameter.copy_(torch.randint(-2, 3, parameter.shape) / 4)
        with self.assertWarns(UserWarning):  # because of the zero weights
            model = self.compile(module, "--density", "0.4")
        self.expect_same(model, module.lstm, {"gates": 0.4, "projection": 0.4})

    def test_fake_quantization_loses_what_the_engine_loses(self):
        for arguments in ({"cells": 96, "projection": 40, "layers": 2}, {"projection": 0}):
            module = Tagger(inputs=24, **arguments)
            with torch.no_grad():
                for parameter in module.lstm.parameters():
                    parameter.mul_(2.5)
            model = self.compile(module)
            output_bits = model.output_fraction_bits
            lstm = QuantizedLSTM(module.lstm, model.input_fraction_bits, output_bits,
                                 model.hidden_fraction_bits)
            output = QuantizedLinear(module.output, output_bits[-1])
            with torch.no_grad():
                wanted = module(self.features)
                error = wanted - output(lstm(self.features)[0])
            snr_db = 10 * torch.log10(wanted.square().sum() / error.square().sum()).item()
            engine_db = self.report["fidelity"]["logits_snr_db"]
            self.assertAlmostEqual(snr_db, engine_db, delta=1.0)

    def test_a_dense_lstm_without_retraining_keeps_30_db(self):
        # Its outputs get smaller from layer to layer; in Q0.7 the third would keep 21 dB.
        module = Tagger(inputs=40, cells=256, projection=0, layers=3)
        model = self.compile(module, "--density", "1")
        self.assertGreaterEqual(min(self.report["fidelity"]["layer_snr_db"]), 30)
        self.assertGreater(model.hidden_fraction_bits[2], model.hidden_fraction_bits[0])

    def test_weights_that_only_doubles_can_hold_are_kept_as_the_masks_have_them(self):
        module = Tagger().double()
        with torch.no_grad():
            module.lstm.weight_hr_l0[2] = 1e-60  # zero in single precision
        pruner = Pruner(module, 0.3, CubicSchedule(0, 0))
        pruner.step()
        pruner.finish()
        model = self.compile(module)
        self.assertEqual(model.matrix("layer0/projection", 10)[0].sum(1).unique().tolist(), [3])

    def test_masks_of_the_training_are_kept(self):
        module = Tagger(layers=2)
        pruner = Pruner(module, 0.3, CubicSchedule(0, 0))
        pruner.step()
        pruner.finish()
        model = self.compile(module)
        self.expect_same(model, module.lstm, {"gates": 0.3, "projection": 0.3})


if __name__ == "__main__":
    unittest.main()
