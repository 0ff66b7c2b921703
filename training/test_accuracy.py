# SPDX-License-Identifier: Apache-2.0
"""Tests the statistics of the accuracy report: python3 -m unittest training.test_accuracy."""

import unittest

from training import accuracy_page, accuracy_stats


def rates(errors, phones=10):
    """Returns error rates of one test set whose utterances have these errors."""
    return {"asterisk": {"by_utterance": [[e, phones] for e in errors]}}


class StatisticsTest(unittest.TestCase):
    """Tests means over seeds, paired differences and intervals."""

    def test_mean_and_spread_of_seeds(self):
        group = accuracy_stats.Group({1: rates([1, 3]), 2: rates([2, 4])})
        self.assertAlmostEqual(group.per("asterisk"), 25.0)
        self.assertAlmostEqual(group.spread("asterisk"), 10.0)

    def test_a_constant_difference_is_certain(self):
        base = accuracy_stats.Group({1: rates([1, 5, 9, 2] * 5)})
        worse = accuracy_stats.Group({1: rates([2, 6, 10, 3] * 5)})
        mean, low, high = accuracy_stats.loss(worse, base, ["asterisk"])
        self.assertAlmostEqual(mean, 10.0)
        self.assertAlmostEqual(low, 10.0)
        self.assertAlmostEqual(high, 10.0)
        self.assertTrue(accuracy_page.difference_text((mean, low, high)).startswith("**+10.0"))

    def test_noise_is_not_significant(self):
        base = accuracy_stats.Group({1: rates([3, 5] * 10)})
        other = accuracy_stats.Group({1: rates([5, 3] * 10)})
        mean, low, high = accuracy_stats.loss(other, base, ["asterisk"])
        self.assertAlmostEqual(mean, 0.0)
        self.assertLess(low, 0)
        self.assertGreater(high, 0)
        self.assertNotIn("**", accuracy_page.difference_text((mean, low, high)))

    def test_only_common_seeds_are_compared(self):
        base = accuracy_stats.Group({1: rates([1] * 4), 2: rates([9] * 4)})
        other = accuracy_stats.Group({1: rates([2] * 4)})
        self.assertAlmostEqual(accuracy_stats.loss(other, base, ["asterisk"])[0], 10.0)
        self.assertIsNone(accuracy_stats.loss(accuracy_stats.Group({3: rates([1])}), base, ["asterisk"]))

    def test_other_utterances_are_refused(self):
        base = accuracy_stats.Group({1: rates([1, 2])})
        with self.assertRaises(ValueError):
            accuracy_stats.loss(accuracy_stats.Group({1: rates([1, 2], phones=11)}), base, ["asterisk"])

    def test_names(self):
        found = accuracy_stats.groups({"small.s1.row.d11": {"per": rates([1])},
                                 "small.s2.row.d11": {"per": rates([2])},
                                 "small.s1.dense": {"per": rates([0])},
                                 "main.trunk": {"per": rates([0])}})
        self.assertEqual(set(found), {("small", "row.d11"), ("small", "dense")})
        self.assertEqual(found["small", "row.d11"].seeds(), 2)
        line = accuracy_stats.of_pattern(found, "small", "row")
        self.assertEqual([density for density, _ in line], [100.0, 11.0])

    def test_interpolation(self):
        self.assertAlmostEqual(accuracy_page.interpolated({5.0: 80.0, 11.0: 140.0}, 8.0), 110.0)
        self.assertAlmostEqual(accuracy_page.interpolated({5.0: 80.0, 11.0: 140.0}, 4.97), 80.0)
        self.assertIsNone(accuracy_page.interpolated({5.0: 80.0, 11.0: 140.0}, 3.0))


if __name__ == "__main__":
    unittest.main()
