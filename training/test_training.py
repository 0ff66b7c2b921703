"""Quick tests of the recipe: /usr/bin/python3 -m unittest training.test_training"""

import unittest

import torch

from training import evaluate, features, runs, settings, text
from training.ese_prune.masks import lstm_matrices
from training.model import Recogniser
from training.patterns import PATTERNS, Saliency
from training.train import learning_rate, prune_updates

INPUTS = features.BINS * features.STACK


class ModelTest(unittest.TestCase):
    """The fast recurrence."""

    def test_recurrence_agrees_with_torch(self):
        torch.manual_seed(1)
        model = Recogniser(runs.SIZES["smoke"], INPUTS, len(text.UNITS))
        x = torch.randn(17, 3, INPUTS)
        weights = torch.randn(17, 3, len(text.UNITS))
        expected = model(x)
        (expected * weights).sum().backward()
        gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
        model.zero_grad()
        actual, layers = model.train_forward(x, torch.float32)
        (actual * weights).sum().backward()
        self.assertEqual(len(layers), 2)
        self.assertTrue(torch.allclose(actual, expected, atol=1e-5))
        for name, parameter in model.named_parameters():
            scale = gradients[name].abs().max()
            self.assertLess((parameter.grad - gradients[name]).abs().max(), 1e-5 * scale, name)


class PatternTest(unittest.TestCase):
    """Masks and saliencies to compare with."""

    def test_counts_and_choice(self):
        torch.manual_seed(2)
        weight = torch.randn(96, 50)
        for name, pattern in PATTERNS.items():
            mask = pattern(weight, entries=5, name="w")
            self.assertEqual(int(mask.sum()), 96 * 5, name)
        pe = PATTERNS["pe"](weight, entries=5).view(3, 32, 50)
        self.assertEqual(pe.sum((0, 2)).unique().tolist(), [15])
        # The rows of one processing element compete: its kept ones are its largest.
        share = weight.view(3, 32, 50).abs()[:, 7]
        self.assertGreaterEqual(share[pe[:, 7]].min(), share[~pe[:, 7]].max())
        kept = PATTERNS["unbalanced"](weight, entries=5)
        self.assertGreaterEqual(weight.abs()[kept].min(), weight.abs()[~kept].max())

    def test_pruned_stays_pruned_where_asked(self):
        weight = torch.randn(64, 20)
        for name, pattern in PATTERNS.items():
            allowed = pattern(torch.randn(64, 20), entries=9)
            mask = pattern(weight, entries=4, allowed=allowed)
            self.assertFalse((mask & ~allowed).any(), name)

    def test_saliency_orders_by_what_it_says(self):
        lstm = torch.nn.LSTM(6, 4)
        matrix = lstm_matrices(lstm)[0]
        optimiser = torch.optim.Adam(lstm.parameters())
        lstm(torch.randn(5, 2, 6))[0].square().sum().backward()
        movement = Saliency("movement", optimiser)
        movement.observe(dict(lstm.named_parameters()))
        optimiser.step()
        values = matrix.joined()
        gradient = torch.cat([part.grad for part in matrix.parameters], 1)
        expected = (values * gradient).abs()
        taylor = Saliency("taylor", optimiser)(matrix, values)
        self.assertTrue(torch.allclose(taylor, expected * (1 - 0.9), rtol=1e-4, atol=1e-9))
        scores = movement(matrix, values)
        self.assertTrue((scores > 0).all())
        with self.assertRaises(ValueError):
            Saliency("guess", optimiser)


class RunsTest(unittest.TestCase):
    """The experiment's plan."""

    def test_names_are_distinct_and_parents_come_first(self):
        seen = set()
        for run in runs.full():
            self.assertNotIn(run.name, seen)
            self.assertLessEqual(set(run.needs), seen, run.name)
            seen.add(run.name)

    def test_a_run_brings_what_it_needs(self):
        names = [run.name for run in runs.select(runs.full(), "small.s2.distilled.d5")]
        self.assertEqual(names, ["small.trunk", "small.s2.dense", "small.s2.distilled.d5"])
        self.assertEqual(runs.select(runs.full(), "nothing"), [])

    def test_main_rows_reach_their_factors(self):
        for run in runs.full():
            if run.name.startswith("main.s1.") and run.density < 1:
                factor = int(run.name.split(".")[2][:-1])
                size = runs.SIZES[run.size]
                gates, rows = 4 * size.cells, INPUTS + size.projection
                kept = (gates * round(run.density * rows)
                        + size.projection * round(run.density_projection * size.cells))
                weights = gates * rows + size.projection * size.cells
                self.assertGreaterEqual(32 * weights / (16 * kept), factor, run.name)
                self.assertLess(32 * weights / (16 * kept), 1.02 * factor, run.name)

    def test_learning_rates(self):
        sizes = settings.full()
        trunk = runs.Run("t", "small", 1, 100)
        branch = runs.Run("b", "small", 1, 100, "t", 0.1, cycles=3)
        self.assertLess(learning_rate(sizes, trunk, 0), 0.1 * sizes.peak_rate)
        self.assertEqual(prune_updates(branch), 35)
        self.assertEqual(learning_rate(sizes, branch, 34), sizes.prune_rate)
        rates = [learning_rate(sizes, branch, update) for update in range(35, 100)]
        rises = sum(later > earlier for earlier, later in zip(rates, rates[1:]))
        self.assertEqual(rises, 2)
        self.assertLess(rates[-1], 0.1 * sizes.prune_rate)


class TextTest(unittest.TestCase):
    """Words and phones."""

    def test_words(self):
        self.assertEqual(text.words_of("Press 1, or 42; don't re-enter!"),
                         "press one or forty two don't re enter".split())
        self.assertIsNone(text.words_of("dial 1234"))
        self.assertIsNone(text.words_of("press * now"))

    def test_flite_phones(self):
        self.assertEqual(text.phones_of_flite("pau:0.1 hh:0.2 ax:0.3 l:0.4 ow:0.6 pau:0.7 \n"),
                         ["HH", "AH", "L", "OW"])

    def test_units(self):
        self.assertEqual(len(text.UNITS), 40)
        self.assertEqual(text.UNITS[0], "<blank>")


class EvaluationTest(unittest.TestCase):
    """Best path and error rate."""

    def test_distance(self):
        self.assertEqual(evaluate.distance([1, 2, 3], [1, 3]), 1)
        self.assertEqual(evaluate.distance([], [1, 3]), 2)
        self.assertEqual(evaluate.distance([4, 5], [5, 4]), 2)

    def test_best_path(self):
        path = torch.nn.functional.one_hot(torch.tensor([0, 3, 3, 0, 3, 5, 5, 0]), 6).float()
        self.assertEqual(evaluate.best_path(path), [3, 3, 5])


class FeatureTest(unittest.TestCase):
    """Shapes of features."""

    def test_stacks_drop_the_remainder(self):
        frames = features.filter_banks(1000 * torch.randn(16000))
        self.assertEqual(tuple(frames.shape), (98, 51))
        stacks = features.stack(frames)
        self.assertEqual(tuple(stacks.shape), (32, 153))
        self.assertTrue(torch.equal(stacks[1, 51:102], frames[4]))


if __name__ == "__main__":
    unittest.main()
