# SPDX-License-Identifier: Apache-2.0
"""Quick tests of the recipe: /usr/bin/python3 -m unittest training.test_training"""

import pathlib
import tempfile
import unittest

import torch

from training import data, dutch, evaluate, features, recipes, runs, settings, text, trunks, worker
from training.ese_prune.masks import lstm_matrices
from training.model import Recogniser
from training.patterns import PATTERNS, Saliency
from training.train import checkpoint, learning_rate, prune_updates, result_file

INPUTS = features.BINS * features.STACK


class ModelTest(unittest.TestCase):
    """Tests the fast recurrence."""

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
    """Tests the masks and saliencies for comparison."""

    def test_counts_and_choice(self):
        torch.manual_seed(2)
        weight = torch.randn(96, 50)
        for name, pattern in PATTERNS.items():
            mask = pattern(weight, entries=5, name="w")
            self.assertEqual(int(mask.sum()), 96 * 5, name)
        pe = PATTERNS["pe"](weight, entries=5).view(3, 32, 50)
        self.assertEqual(pe.sum((0, 2)).unique().tolist(), [15])
        # Each processing element keeps the largest weights of all its rows.
        share = weight.view(3, 32, 50).abs()[:, 7]
        self.assertGreaterEqual(share[pe[:, 7]].min(), share[~pe[:, 7]].max())
        kept = PATTERNS["unbalanced"](weight, entries=5)
        self.assertGreaterEqual(weight.abs()[kept].min(), weight.abs()[~kept].max())

    def test_nothing_outside_allowed_is_kept(self):
        weight = torch.randn(64, 20)
        for name, pattern in PATTERNS.items():
            allowed = pattern(torch.randn(64, 20), entries=9)
            mask = pattern(weight, entries=4, allowed=allowed)
            self.assertFalse((mask & ~allowed).any(), name)

    def test_saliencies_follow_their_formulas(self):
        lstm = torch.nn.LSTM(6, 4)
        matrix = lstm_matrices(lstm)[0]
        optimiser = torch.optim.Adam(lstm.parameters())
        lstm(torch.randn(5, 2, 6))[0].square().sum().backward()
        movement = Saliency("movement", optimiser)
        movement.observe(dict(lstm.named_parameters()))
        before = matrix.joined().detach().clone()
        optimiser.step()
        values = matrix.joined()
        gradient = torch.cat([part.grad for part in matrix.parameters], 1)
        expected = (values * gradient).abs()
        taylor = Saliency("taylor", optimiser)(matrix, values)
        self.assertTrue(torch.allclose(taylor, expected * (1 - 0.9), rtol=1e-4, atol=1e-9))
        scores = movement(matrix, values)
        self.assertTrue((scores > 0).all())
        # Scores are in the order of -w g across both matrices of a row.
        moved = before * -gradient
        self.assertTrue(torch.allclose(scores, moved - moved.min(1, keepdim=True)[0], atol=1e-6))
        with self.assertRaises(ValueError):
            Saliency("guess", optimiser)


class RunsTest(unittest.TestCase):
    """Tests the experiment's plan."""

    def test_names_are_distinct_and_parents_come_first(self):
        seen = set()
        for run in runs.full():
            self.assertNotIn(run.name, seen)
            self.assertLessEqual(set(run.needs), seen, run.name)
            seen.add(run.name)

    def test_selecting_a_run_selects_what_it_needs(self):
        names = [run.name for run in runs.select(runs.full(), "small.s2.distilled.d5")]
        self.assertEqual(names, ["small.trunk", "small.s2.dense", "small.s2.distilled.d5"])
        self.assertEqual(runs.select(runs.full(), "nothing"), [])

    def test_main_rows_reach_their_factors(self):
        for run in runs.full():
            if run.name.startswith("main.s1.") and run.density < 1:
                factor = int(run.name.split(".")[2].split("x")[0])
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
        self.assertEqual(learning_rate(sizes, branch, 34), sizes.branch_rate)
        rates = [learning_rate(sizes, branch, update) for update in range(35, 100)]
        rises = sum(later > earlier for earlier, later in zip(rates, rates[1:]))
        self.assertEqual(rises, 2)
        self.assertLess(rates[-1], 0.1 * sizes.branch_rate)


class WorkerTest(unittest.TestCase):
    """Tests which runs are trained again, and the trunks' files."""

    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        self.folder = pathlib.Path(self.scratch.name)
        self.results = self.folder / "results"
        trunk = runs.Run("t", "smoke", 1, 9)
        dense = runs.Run("dense", "smoke", 1, 9, "t")
        self.runs = [trunk, dense, runs.Run("pupil", "smoke", 1, 9, "t", 0.1, teacher="dense")]

    def names(self):
        return [run.name for run in worker.still_to_train(self.folder, self.results, self.runs)]

    def touch(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def test_results_that_are_kept_are_not_made_again(self):
        self.assertEqual(self.names(), ["t", "dense", "pupil"])
        for run in self.runs:
            self.touch(result_file(self.results, run.name))
        self.assertEqual(self.names(), [])

    def test_a_network_that_is_needed_is_trained_again(self):
        self.touch(result_file(self.results, "t"))
        self.touch(result_file(self.results, "dense"))
        self.assertEqual(self.names(), ["t", "dense", "pupil"])
        self.touch(trunks.path_of(self.results, "t"))
        self.assertEqual(self.names(), ["dense", "pupil"])
        self.touch(checkpoint(self.folder, "dense"))
        self.assertEqual(self.names(), ["pupil"])

    def test_trunks_keep_seven_bits_of_their_matrices(self):
        tensors = {"w": torch.randn(5, 9), "b": torch.randn(5), "none": torch.zeros(2, 3)}
        path = trunks.path_of(self.results, "t")
        trunks.write(path, tensors)
        back = trunks.read(path)
        self.assertEqual(set(back), set(tensors))
        self.assertTrue(torch.equal(back["b"], tensors["b"]))
        self.assertTrue(torch.equal(back["none"], tensors["none"]))
        step = tensors["w"].abs().max(1, keepdim=True)[0] / 63
        self.assertTrue(((back["w"] - tensors["w"]).abs() <= 0.501 * step).all())
        self.assertEqual(back["w"].dtype, torch.float32)


class TextTest(unittest.TestCase):
    """Tests words and phones."""

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


class DutchTest(unittest.TestCase):
    """Tests the lines, the phones and the test set of the Dutch recipe."""

    def test_dialogs(self):
        script = """
            -- A comment
            dialogId("a-m-1", "font_small", "He said \\"no\\".")
            dialogStr("Kijk in \\/etc, \\"nu\\".")

            dialogId("a-x-2", "font_poster", "Without a line")
            dialogId("a-v-3", "font_big", "")
            dialogStr("Zo'n vis?")"""
        self.assertEqual(dutch.dialogs(script), {"a-m-1": ("font_small", 'Kijk in /etc, "nu".'),
                                                 "a-v-3": ("font_big", "Zo'n vis?")})

    def test_recordings_of_two_levels_may_share_a_name(self):
        with tempfile.TemporaryDirectory() as folder:
            game = pathlib.Path(folder) / "usr/share/games/fillets-ng"
            for level, line in (("keys", "Ja."), ("magnet", "Nee.")):
                (game / "script" / level).mkdir(parents=True)
                (game / "sound" / level / "nl").mkdir(parents=True)
                (game / "script" / level / "dialogs_nl.lua").write_text(
                    f'dialogId("r-0", "font_big", "?")\ndialogStr("{line}")\n')
                (game / "sound" / level / "nl/r-0.ogg").touch()
            (game / "sound/keys/nl/untold.ogg").touch()
            found = [(level, speaker, line)
                     for level, _, speaker, line in dutch.recordings(pathlib.Path(folder))]
        self.assertEqual(found, [("keys", "fillets-nl-big", "Ja."),
                                 ("magnet", "fillets-nl-big", "Nee.")])

    def test_phones(self):
        self.assertEqual(len(dutch.UNITS), 36)
        self.assertEqual(len(set(dutch.UNITS)), 36)
        self.assertEqual(dutch.phones_of_espeak("ʋ_ɑ_t _ɪ_s v_ɔː_r_ˈaː_r_ s_x_ˈɪ_p__\n ɣ_ˈeː_n\n"),
                         "ʋ ɑ t ɪ s v o r a r s x ɪ p x e n".split())
        self.assertEqual(dutch.phones_of_espeak("(en)_p_ˈa_tʃ_(nl)_ b_ˈeː_tʲ_ə"),
                         "p a t ʃ b e t j ə".split())
        self.assertIsNone(dutch.phones_of_espeak("θ_ɪ"))

    def test_every_merged_phone_is_a_unit(self):
        for name in dutch.MERGED:
            self.assertIsNotNone(dutch.phones_of_espeak(name), name)

    def test_the_test_set_is_chosen_by_text(self):
        self.assertEqual(dutch.words_of("Hé, zo\u2019n vis... OF 12?"),
                         ["hé", "zo'n", "vis", "of", "12"])
        self.assertEqual(dutch.held_out(dutch.words_of("Kijk uit!")),
                         dutch.held_out(dutch.words_of("kijk, uit")))
        share = sum(dutch.held_out([str(number)]) for number in range(9000))
        self.assertAlmostEqual(share / 9000, 1 / 9, delta=0.01)
        row = ("train", "s", "f", ["kijk", "uit"], ["k"])
        data.check_disjoint([row, (dutch.TEST_SET, "s", "f", ["kijk"], ["k"])])
        with self.assertRaisesRegex(RuntimeError, "kijk"):
            data.check_disjoint([row, (dutch.TEST_SET, *row[1:])])

    def test_runs_belong_to_the_recipe(self):
        for recipe in recipes.RECIPES.values():
            names = [run.name for run in recipe.runs()]
            self.assertLessEqual(set(recipe.shipped), set(names))
            self.assertEqual(len(names), len(set(names)))
            for name in names:
                self.assertIs(recipes.of(name), recipe, name)


class EvaluationTest(unittest.TestCase):
    """Tests the best path and the edit distance."""

    def test_distance(self):
        self.assertEqual(evaluate.distance([1, 2, 3], [1, 3]), 1)
        self.assertEqual(evaluate.distance([], [1, 3]), 2)
        self.assertEqual(evaluate.distance([4, 5], [5, 4]), 2)

    def test_best_path(self):
        path = torch.nn.functional.one_hot(torch.tensor([0, 3, 3, 0, 3, 5, 5, 0]), 6).float()
        self.assertEqual(evaluate.best_path(path), [3, 3, 5])


class FeatureTest(unittest.TestCase):
    """Tests the shapes of features."""

    def test_stacks_drop_the_remainder(self):
        frames = features.filter_banks(1000 * torch.randn(16000))
        self.assertEqual(tuple(frames.shape), (98, 51))
        stacks = features.stack(frames)
        self.assertEqual(tuple(stacks.shape), (32, 153))
        self.assertTrue(torch.equal(stacks[1, 51:102], frames[4]))


if __name__ == "__main__":
    unittest.main()
