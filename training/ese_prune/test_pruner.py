# SPDX-License-Identifier: Apache-2.0
"""Tests the pruner and its schedule: /usr/bin/python3 -m unittest training.ese_prune.test_pruner"""

import io
import unittest
import warnings

import torch

from .pruner import Pruner
from .schedule import CubicSchedule
from .testing import Tagger

GATES = "lstm.weight_ih_l0 | lstm.weight_hh_l0"


class ScheduleTest(unittest.TestCase):
    """Tests CubicSchedule."""

    def test_it_goes_from_all_weights_to_the_target(self):
        schedule = CubicSchedule(100, 200, every=1)
        counts = [schedule.entries(665, 74, step) for step in range(0, 300)]
        self.assertEqual(set(counts[:101]), {665})
        self.assertLess(counts[101], 665)
        self.assertEqual(counts[150], 74 + round(591 / 8))
        self.assertEqual(set(counts[200:]), {74})
        self.assertEqual(counts, sorted(counts, reverse=True))

    def test_it_changes_only_at_every_nth_step_but_ends_on_time(self):
        schedule = CubicSchedule(0, 25, every=10)
        counts = [schedule.entries(100, 10, step) for step in range(30)]
        changes = [step for step in range(1, 30) if counts[step] != counts[step - 1]]
        self.assertEqual(changes, [10, 20, 25])

    def test_equal_steps_prune_at_once(self):
        schedule = CubicSchedule(3, 3)
        self.assertEqual([schedule.entries(9, 2, step) for step in (2, 3)], [9, 2])

    def test_wrong_steps_are_refused(self):
        for arguments in ((-1, 3), (4, 3), (0, 3, 0)):
            with self.assertRaises(ValueError):
                CubicSchedule(*arguments)


class Training:
    """A module with its optimizer and pruner, on fixed random data."""

    def __init__(self, schedule=None, density=0.3, **options):
        schedule = schedule or CubicSchedule(2, 12, every=1)
        torch.manual_seed(1)
        self.module = Tagger()
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=0.02)
        self.pruner = Pruner(self.module, density, schedule, **options)
        self.x, self.wanted = torch.randn(9, 4, 7), torch.randn(9, 4, 3)

    def step(self):
        """Makes one update."""
        self.optimizer.zero_grad()
        (self.module(self.x) - self.wanted).square().mean().backward()
        self.optimizer.step()
        self.pruner.step()

    def counts(self):
        """Returns the distinct numbers of non-zero weights per row, of the gates and the projection."""
        lstm = self.module.lstm
        gates = torch.cat([lstm.weight_ih_l0, lstm.weight_hh_l0], 1)
        return [(weights != 0).sum(1).unique().tolist() for weights in (gates, lstm.weight_hr_l0)]


class PrunerTest(unittest.TestCase):
    """Tests Pruner."""

    def test_rows_are_always_balanced_and_exact_at_the_end(self):
        for regrow in (False, True):
            training = Training(regrow=regrow)
            for _ in range(16):
                training.step()
                kept = [[entries] for entries, _ in training.pruner.entries().values()]
                self.assertEqual(training.counts(), kept)
            self.assertEqual(training.pruner.finish(),
                             {GATES: (4, 13), "lstm.weight_hr_l0": (3, 10)})
            self.assertEqual(training.counts(), [[4], [3]])

    def test_the_target_is_reached_at_the_last_step_even_if_no_change_is_due(self):
        for regrow in (False, True):
            training = Training(CubicSchedule(0, 13, every=7), regrow=regrow)
            for _ in range(13):
                training.step()
            self.assertEqual(training.counts(), [[4], [3]])

    def test_nothing_changes_before_the_start(self):
        training = Training(CubicSchedule(5, 9))
        for _ in range(5):
            training.step()
        self.assertEqual(training.counts(), [[13], [10]])

    def test_pruned_weights_stay_pruned(self):
        training = Training()
        before = training.pruner.masks
        for _ in range(14):
            training.step()
            now = training.pruner.masks
            for name in now:
                self.assertFalse((now[name] & ~before[name]).any(), name)
            before = now

    def test_not_even_a_large_update_brings_a_pruned_weight_back(self):
        training = Training()
        for _ in range(5):
            training.step()
        before = training.pruner.masks
        with torch.no_grad():
            for name, mask in before.items():
                dict(training.module.named_parameters())[name][~mask] = 9.0
        training.pruner.step()
        self.assertLess(training.pruner.entries()[GATES][0], int(
            (before["lstm.weight_ih_l0"].sum(1) + before["lstm.weight_hh_l0"].sum(1)).max()))
        for name, mask in training.pruner.masks.items():
            self.assertFalse((mask & ~before[name]).any(), name)
            self.assertLess(dict(training.module.named_parameters())[name].max(), 9.0)

    def test_with_regrow_pruned_weights_come_back(self):
        training, back = Training(density=0.5, regrow=True), 0
        before = training.pruner.masks
        for _ in range(12):
            training.step()
            now = training.pruner.masks
            back += sum(int((now[name] & ~before[name]).sum()) for name in now)
            before = now
        self.assertGreater(back, 0)

    def test_masks_are_fixed_after_the_end(self):
        for regrow in (False, True):
            training = Training(regrow=regrow)
            for _ in range(12):
                training.step()
            before = training.pruner.masks
            for _ in range(3):
                training.step()
            for name, mask in training.pruner.masks.items():
                self.assertTrue(torch.equal(mask, before[name]), name)

    def test_training_may_continue_after_finish(self):
        training = Training(CubicSchedule(0, 1))
        training.step()
        training.pruner.finish()
        training.step()
        self.assertEqual(training.counts(), [[4], [3]])

    def test_a_kept_weight_of_zero_still_counts(self):
        training = Training(CubicSchedule(0, 1))
        training.step()
        with torch.no_grad():
            training.module.lstm.weight_hr_l0.zero_()
        training.pruner.finish()
        self.assertEqual(training.counts()[1], [3])
        self.assertLess(training.module.lstm.weight_hr_l0.abs().max(), 1e-37)

    def test_finishing_early_prunes_the_rest_with_a_warning(self):
        training = Training()
        training.step()
        with self.assertWarnsRegex(UserWarning, "after 1 steps of a schedule that ends at 12"):
            training.pruner.finish()
        self.assertEqual(training.counts(), [[4], [3]])

    def test_densities_of_gates_and_projection(self):
        training = Training(CubicSchedule(0, 0), None, density_gates=0.5, density_projection=0.2)
        training.step()
        self.assertEqual(training.counts(), [[7], [2]])  # 6.5 is rounded up

    def test_gradients_of_pruned_weights_are_masked(self):
        training = Training(CubicSchedule(0, 0))
        training.step()
        training.module(training.x).sum().backward()
        training.pruner.mask_gradients()
        mask = training.pruner.masks["lstm.weight_hr_l0"]
        self.assertFalse(training.module.lstm.weight_hr_l0.grad[~mask].any())
        self.assertTrue(training.module.lstm.weight_hr_l0.grad[mask].any())

    def test_resumed_training_gives_the_same_bits(self):
        for regrow in (False, True):
            straight = Training(regrow=regrow)
            for _ in range(6):
                straight.step()
            file = io.BytesIO()
            torch.save([straight.module.state_dict(), straight.optimizer.state_dict(),
                        straight.pruner.state_dict()], file)
            for _ in range(8):
                straight.step()
            straight.pruner.finish()

            resumed = Training(regrow=regrow)
            file.seek(0)
            for part, state in zip((resumed.module, resumed.optimizer, resumed.pruner),
                                   torch.load(file)):
                part.load_state_dict(state)
            for _ in range(8):
                resumed.step()
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # the schedule continued from its step
                resumed.pruner.finish()
            for name, value in straight.module.state_dict().items():
                self.assertTrue(torch.equal(value, resumed.module.state_dict()[name]), name)

    def test_a_state_of_other_densities_is_refused(self):
        state = Training(density=0.2).pruner.state_dict()
        with self.assertRaisesRegex(ValueError, "same densities"):
            Training(density=0.3).pruner.load_state_dict(state)

    def test_parameters_that_replaced_others_are_pruned(self):
        training = Training(CubicSchedule(0, 0))
        lstm = training.module.lstm  # load_state_dict(assign=True) does so
        lstm.weight_hr_l0 = torch.nn.Parameter(torch.randn_like(lstm.weight_hr_l0))
        training.pruner.step()
        self.assertEqual(training.counts()[1], [3])

    def test_a_state_of_something_else_is_refused(self):
        pruner = Training().pruner
        for state in ({}, None, Tagger().state_dict()):
            with self.assertRaisesRegex(ValueError, "no 'steps'; give what Pruner.state_dict"):
                pruner.load_state_dict(state)

    def test_an_unreachable_density_is_named_with_the_remedy(self):
        module = Tagger()
        with torch.no_grad():
            module.lstm.weight_ih_l0[12, :] = 0
        schedule = CubicSchedule(0, 1)
        with self.assertRaisesRegex(ValueError, r"lstm.weight_ih_l0 \| lstm.weight_hh_l0: row 12 "
                                    r"\(gate f of cell 2\) has 6 non-zero .* 10 cannot stay; .*"
                                    "lower the density, or set regrow=True"):
            Pruner(module, 0.8, schedule)
        Pruner(module, 0.4, schedule)
        Pruner(module, 0.8, schedule, regrow=True)

    def test_wrong_arguments_are_refused(self):
        schedule = CubicSchedule(0, 1)
        with self.assertRaisesRegex(ValueError, "schedule=CubicSchedule"):
            Pruner(Tagger(), 0.5)
        with self.assertRaisesRegex(ValueError, "schedule=CubicSchedule"):
            Pruner(Tagger(), 0.5, CubicSchedule)
        with self.assertRaisesRegex(TypeError, "got a OrderedDict; give the torch.nn.Module"):
            Pruner(Tagger().state_dict(), 0.5, schedule)
        with self.assertRaisesRegex(TypeError, "end_step is 10.5; give a whole number"):
            CubicSchedule(0, 10.5)
        with self.assertRaisesRegex(TypeError, "weight_hh_l0: is torch.strided on meta"):
            Pruner(Tagger().to("meta"), 0.5, schedule)
        with self.assertRaisesRegex(ValueError, "weight_hr_l0: give density"):
            Pruner(Tagger(), None, schedule, density_gates=0.5)
        with self.assertRaisesRegex(ValueError, "Linear contains no torch.nn.LSTM"):
            Pruner(torch.nn.Linear(3, 3), 0.5, schedule)
        with self.assertRaisesRegex(ValueError, "mask_gradients: .* leave one of them out"):
            Pruner(Tagger(), 0.5, schedule, regrow=True).mask_gradients()

    def test_weights_that_are_not_finite_are_named(self):
        training = Training(CubicSchedule(2, 2))
        training.step()
        with torch.no_grad():
            training.module.lstm.weight_hh_l0[3, 2] = float("nan")
        with self.assertRaisesRegex(ValueError, r"weight_hh_l0: the value at \[3, 9\] is nan"):
            training.pruner.step()

    def test_finish_names_weights_that_diverged_after_the_schedule(self):
        training = Training(CubicSchedule(0, 0))
        training.step()
        with torch.no_grad():
            training.module.lstm.weight_hr_l0.fill_(float("nan"))
        with self.assertRaisesRegex(ValueError, "weight_hr_l0: the value at .* is nan"):
            training.pruner.finish()


if __name__ == "__main__":
    unittest.main()
