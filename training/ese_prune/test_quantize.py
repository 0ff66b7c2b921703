# SPDX-License-Identifier: Apache-2.0
"""Tests the engine's rounding: /usr/bin/python3 -m unittest training.ese_prune.test_quantize"""

import unittest

import torch

from .quantize import QuantizedLinear, QuantizedLSTM, fake_quantize, fake_quantize_weight, quantize_weight
from .testing import Tagger


class WeightTest(unittest.TestCase):
    """Tests quantize_weight and fake_quantize_weight."""

    def test_the_scale_of_each_row_is_the_largest_that_clips_nothing_or_finer(self):
        weight = torch.tensor([[63.0, -64.0, 1.0], [0.25, 0.0, -0.125], [0.0, 0.0, 0.0]])
        integers, shift = quantize_weight(weight)
        self.assertEqual(integers.tolist(), [[63, -64, 1], [32, 0, -16], [0, 0, 0]])
        self.assertEqual(shift.tolist(), [14, 7, 0])

    def test_halves_are_rounded_up(self):
        integers, _ = quantize_weight(torch.tensor([[63.0, 0.5, -0.5, 1.5]]))
        self.assertEqual(integers.tolist(), [[63, 1, 0, 2]])

    def test_a_finer_scale_that_clips_one_weight_is_chosen_if_its_error_is_smaller(self):
        for columns, wanted in ((4, (33, 0, 15)), (400, (63, 1, 14))):
            weight = torch.full((1, columns), 0.7)
            weight[0, 0] = 65.0
            integers, shift = quantize_weight(weight)
            self.assertEqual((integers[0, 0].item(), integers[0, 1].item(), shift.item()), wanted)

    def test_scales_up_to_four_times_finer_are_tried(self):
        weight = torch.zeros(2, 100000)
        weight[0, 1:20000] = 0.7
        weight[1, 1:] = 0.2  # nearest to its integer at a scale eight times finer
        weight[:, 0] = torch.tensor([130.0, 65.0])
        integers, shift = quantize_weight(weight)
        self.assertEqual(integers[:, :2].tolist(), [[63, 1], [33, 0]])
        self.assertEqual(shift.tolist(), [14, 15])

    def test_columns_of_coarser_vectors_count_for_more(self):
        rounded = fake_quantize_weight(torch.tensor([[0.25, 0.25]]), [5, 7])
        self.assertEqual(rounded.tolist(), [[0.25, 0.25]])
        integers, _ = quantize_weight(torch.tensor([[0.25, 0.25]]), torch.tensor([5, 7]))
        self.assertEqual(integers[0, 0].item(), 4 * integers[0, 1].item())

    def test_a_weight_beyond_every_scale_is_named(self):
        with self.assertRaisesRegex(ValueError, "w, row 1: .* beyond 252 .*clip the weights"):
            quantize_weight(torch.tensor([[1.0], [260.0]]), name="w")

    def test_pruned_weights_stay_zero_and_gradients_pass_unchanged(self):
        weight = torch.tensor([[0.3, 0.0, -0.7]], requires_grad=True)
        rounded = fake_quantize_weight(weight)
        self.assertEqual(rounded[0, 1].item(), 0.0)
        self.assertLess((rounded - weight).abs().max(), 1 / 128)
        rounded.sum().backward()
        self.assertEqual(weight.grad.tolist(), [[1.0, 1.0, 1.0]])


class ActivationTest(unittest.TestCase):
    """Tests fake_quantize."""

    def test_rounding_saturation_and_gradient(self):
        values = torch.tensor([0.015, 1 / 64, -1 / 64, 3.99, -4.5], requires_grad=True)
        rounded = fake_quantize(values)
        self.assertEqual(rounded.tolist(), [0.0, 1 / 32, 0.0, 127 / 32, -4.0])
        rounded.sum().backward()
        self.assertEqual(values.grad.tolist(), [1, 1, 1, 0, 0])


class QuantizedModuleTest(unittest.TestCase):
    """Tests QuantizedLSTM and QuantizedLinear."""

    def setUp(self):
        torch.manual_seed(2)

    def test_it_is_close_to_the_lstm(self):
        for module in (Tagger(), Tagger(projection=0), Tagger(layers=3), Tagger(bias=False)):
            x = fake_quantize(torch.randn(20, 3, 7))
            wanted, (h, c) = module.lstm(x)
            found, (quantized_h, quantized_c) = QuantizedLSTM(module.lstm, 5, 7)(x)
            self.assertLess((found - wanted).abs().max(), 0.05)
            self.assertLess((quantized_h - h).abs().max(), 0.05)
            self.assertLess((quantized_c - c).abs().max(), 0.1)
            self.assertFalse(torch.equal(found, wanted))

    def test_outputs_have_eight_bits(self):
        found, _ = QuantizedLSTM(Tagger().lstm, output_fraction_bits=6)(torch.randn(5, 2, 7))
        self.assertTrue(torch.equal(found * 64, torch.round(found * 64)))

    def test_batch_first(self):
        lstm = torch.nn.LSTM(7, 5, batch_first=True)
        x = torch.randn(3, 4, 7)
        whole, (h, _) = QuantizedLSTM(lstm)(x)
        self.assertEqual((list(whole.shape), list(h.shape)), ([3, 4, 5], [1, 3, 5]))
        alone, _ = QuantizedLSTM(lstm)(x[1:2])
        self.assertTrue(torch.allclose(alone[0], whole[1], atol=1e-6))

    def test_dropout_follows_the_lstm(self):
        lstm = torch.nn.LSTM(7, 5, 2, dropout=0.5)
        x, quantized = torch.randn(6, 2, 7), QuantizedLSTM(lstm)
        self.assertFalse(torch.equal(quantized(x)[0], quantized(x)[0]))
        lstm.eval()
        self.assertTrue(torch.equal(quantized(x)[0], quantized(x)[0]))

    def test_every_parameter_has_a_gradient(self):
        module = Tagger()
        logits = QuantizedLinear(module.output)(QuantizedLSTM(module.lstm)(torch.randn(5, 2, 7))[0])
        logits.square().sum().backward()
        for name, parameter in module.named_parameters():
            self.assertTrue(parameter.grad.any(), name)

    def test_wrong_inputs_are_refused(self):
        quantized = QuantizedLSTM(Tagger().lstm)
        for shape in ((5, 7), (5, 2, 6), (0, 2, 7)):
            with self.assertRaisesRegex(ValueError, r"give \[frames, batch, 7\]"):
                quantized(torch.zeros(shape))
        packed = torch.nn.utils.rnn.pack_sequence([torch.zeros(5, 7), torch.zeros(2, 7)])
        with self.assertRaisesRegex(TypeError, "input is a PackedSequence; .* padded"):
            quantized(packed)
        with self.assertRaisesRegex(ValueError, "2 numbers for 1 layers"):
            QuantizedLSTM(Tagger().lstm, output_fraction_bits=[5, 5])


if __name__ == "__main__":
    unittest.main()
