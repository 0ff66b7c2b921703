"""Quick tests of the recipe: /usr/bin/python3 -m unittest training.test_training"""

import unittest

import torch

from training import evaluate, features, settings, text
from training.model import GATES, PROJECTION, Masks, Recogniser


class ModelTest(unittest.TestCase):
    """The fast recurrence and the masks."""

    def setUp(self):
        torch.manual_seed(1)
        self.settings = settings.smoke()
        self.model = Recogniser(self.settings, len(text.UNITS))

    def test_recurrence_agrees_with_torch(self):
        x = torch.randn(17, 3, 153)
        weights = torch.randn(17, 3, len(text.UNITS))
        expected = self.model(x)
        (expected * weights).sum().backward()
        gradients = {name: p.grad.clone() for name, p in self.model.named_parameters()}
        self.model.zero_grad()
        actual, _ = self.model.train_forward(x, torch.float32)
        (actual * weights).sum().backward()
        self.assertTrue(torch.allclose(actual, expected, atol=1e-5))
        for name, parameter in self.model.named_parameters():
            scale = gradients[name].abs().max()
            self.assertLess((parameter.grad - gradients[name]).abs().max(), 1e-5 * scale, name)

    def test_every_row_keeps_the_same_number(self):
        masks = Masks(self.model)
        masks.shrink(21, 7)
        parameters = dict(self.model.named_parameters())
        gates = torch.cat([parameters[name] for name in GATES], 1)
        self.assertEqual((gates != 0).sum(1).unique().tolist(), [21])
        self.assertEqual((parameters[PROJECTION] != 0).sum(1).unique().tolist(), [7])


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
