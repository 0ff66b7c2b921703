# SPDX-License-Identifier: Apache-2.0
"""Tests the masks: /usr/bin/python3 -m unittest training.ese_prune.test_masks"""

import unittest

import torch

from .masks import entries_for, lstm_masks, lstm_matrices, row_balanced_mask


class EntriesTest(unittest.TestCase):
    """Tests that entries are counted as in compiler/prune.cc."""

    def test_halves_are_rounded_up(self):
        self.assertEqual(entries_for(0.5, 5), 3)  # round() would give 2
        self.assertEqual(entries_for(0.25, 6), 2)
        self.assertEqual(entries_for(0.25, 2), 1)
        self.assertEqual(entries_for(0.125, 20), 3)

    def test_other_counts_go_to_the_nearest(self):
        self.assertEqual(entries_for(0.1, 665), 67)  # 66.5 is a half in doubles too
        self.assertEqual(entries_for(0.1, 664), 66)
        self.assertEqual(entries_for(1, 7), 7)

    def test_at_least_one_stays(self):
        self.assertEqual(entries_for(0.001, 20), 1)

    def test_densities_outside_their_range_are_refused(self):
        for density in (0, -0.1, 1.01, float("nan")):
            with self.assertRaisesRegex(ValueError, "lstm.w: cannot keep a share of .* above 0"):
                entries_for(density, 10, "lstm.w")
        for density in ("0.1", None, [0.1]):
            with self.assertRaisesRegex(TypeError, "lstm.w: the density is .*; give a number"):
                entries_for(density, 10, "lstm.w")


class MaskTest(unittest.TestCase):
    """Tests row_balanced_mask."""

    def test_every_row_keeps_exactly_its_largest(self):
        torch.manual_seed(1)
        weight = torch.randn(50, 33)
        for density in (0.01, 0.1, 0.5, 0.95, 1.0):
            mask = row_balanced_mask(weight, density)
            self.assertEqual(mask.sum(1).unique().tolist(), [entries_for(density, 33)])
            least = weight.abs().masked_fill(~mask, 9).amin(1)
            most = weight.abs().masked_fill(mask, 0).amax(1)
            self.assertTrue((least >= most).all())

    def test_ties_keep_the_lower_column(self):
        weight = torch.tensor([[1.0, -2.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0], [-1.0, 1, -1.0, 1]])
        self.assertEqual(row_balanced_mask(weight, entries=2).int().tolist(),
                         [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]])

    def test_long_ties_keep_the_lower_columns(self):
        mask = row_balanced_mask(torch.ones(3, 2000), entries=777)
        self.assertTrue(mask[:, :777].all())

    def test_doubles_that_differ_beyond_single_precision_are_ties(self):
        weight = torch.tensor([[1.0, 1.0 + 1e-12]], dtype=torch.float64)
        self.assertEqual(row_balanced_mask(weight, entries=1).tolist(), [[True, False]])

    def test_half_precision(self):
        weight = torch.tensor([[1.0, 3.0, 2.0]])
        for kind in (torch.float16, torch.bfloat16):
            self.assertEqual(row_balanced_mask(weight.to(kind), entries=2).tolist(),
                             [[False, True, True]])

    def test_nothing_outside_allowed_is_kept(self):
        allowed = torch.tensor([[True, False, True]])
        weight = torch.tensor([[0.0, 9.0, 0.0]])
        self.assertTrue(torch.equal(row_balanced_mask(weight, entries=2, allowed=allowed), allowed))
        with self.assertRaisesRegex(ValueError, "w: row 0 may keep only 2 weights, not 3; lower"):
            row_balanced_mask(weight, entries=3, allowed=allowed, name="w")

    def test_wrong_weights_are_named_with_the_remedy(self):
        for weight, error, text in (
                ([[1.0]], TypeError, "w: is a list; give a torch.Tensor"),
                (torch.ones(2, 2, dtype=torch.int32), TypeError, "w: has the type .*float"),
                (torch.ones(4), ValueError, r"w: has the shape \[4\]; give a matrix"),
                (torch.ones(0, 4), ValueError, r"w: has the shape \[0, 4\]"),
                (torch.tensor([[1.0, float("nan")]]), ValueError,
                 r"w: the value at \[0, 1\] is nan .*checkpoint"),
                (torch.tensor([[1e300]], dtype=torch.float64), ValueError, "single precision")):
            with self.assertRaisesRegex(error, text):
                row_balanced_mask(weight, 0.5, name="w")

    def test_wrong_counts_are_refused(self):
        weight = torch.ones(2, 4)
        for arguments in ({"entries": 0}, {"entries": 5}, {"entries": 1.5}, {},
                          {"density": 0.5, "entries": 2}, {"density": 2}):
            with self.assertRaisesRegex(ValueError, "^w: "):
                row_balanced_mask(weight, name="w", **arguments)


class LstmMaskTest(unittest.TestCase):
    """Tests lstm_masks and lstm_matrices."""

    def test_gates_are_pruned_on_inputs_and_recurrence_together(self):
        lstm = torch.nn.LSTM(4, 3, proj_size=2)
        with torch.no_grad():
            lstm.weight_ih_l0.fill_(1.0)
            lstm.weight_hh_l0.fill_(0.5)
            lstm.weight_hh_l0[0].fill_(2.0)
        masks = lstm_masks(lstm, 0.5, 0.34)
        self.assertEqual(set(masks), {"weight_ih_l0", "weight_hh_l0", "weight_hr_l0"})
        self.assertEqual(masks["weight_ih_l0"].sum(1).tolist(), [1] + 11 * [3])
        self.assertEqual(masks["weight_hh_l0"].sum(1).tolist(), [2] + 11 * [0])
        self.assertEqual(masks["weight_hr_l0"].sum(1).tolist(), [1, 1])

    def test_every_layer_has_masks(self):
        masks = lstm_masks(torch.nn.LSTM(4, 3, num_layers=2), 0.5, prefix="encoder.")
        self.assertEqual(sorted(masks), ["encoder.weight_hh_l0", "encoder.weight_hh_l1",
                                         "encoder.weight_ih_l0", "encoder.weight_ih_l1"])

    def test_rows_are_named_by_gate_and_cell(self):
        gates, projection = lstm_matrices(torch.nn.LSTM(4, 3, proj_size=2), "a.")
        self.assertEqual(gates.label, "a.weight_ih_l0 | a.weight_hh_l0")
        self.assertEqual(gates.row(4), "row 4 (gate f of cell 1)")
        self.assertEqual(projection.row(1), "row 1")

    def test_what_ese_cannot_serve_is_refused(self):
        with self.assertRaisesRegex(ValueError, "a: is bidirectional"):
            lstm_masks(torch.nn.LSTM(4, 3, bidirectional=True), 0.5, prefix="a.")
        with self.assertRaisesRegex(TypeError, "the module: is a GRU; give a torch.nn.LSTM"):
            lstm_masks(torch.nn.GRU(4, 3), 0.5)
        with self.assertRaisesRegex(TypeError, "a.weight_hh_l0: is computed .*remove_weight_norm"):
            lstm_masks(torch.nn.utils.weight_norm(torch.nn.LSTM(4, 3), "weight_hh_l0"), 0.5, None,
                       "a.")


if __name__ == "__main__":
    unittest.main()
