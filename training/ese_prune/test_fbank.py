# SPDX-License-Identifier: Apache-2.0
"""Tests the filter banks: /usr/bin/python3 -m unittest training.ese_prune.test_fbank"""

import struct
import unittest
import warnings

import torch

from .fbank import FEATURES, filter_banks
from .testing import REPOSITORY

TELEPHONE = {"sample_rate_hz": 8000, "num_mel_bins": 23}
HEADER = "<8siffifffii"


class FilterBankTest(unittest.TestCase):
    """Compares with the golden files of features/fbank_test.cc, which torchaudio made, and more."""

    def test_agrees_with_torchaudio(self):
        files = sorted((REPOSITORY / "tests/golden/fbank").glob("*.fbank"))
        self.assertEqual(len(files), 9)
        for path in files:
            data = path.read_bytes()
            _, rate, length, shift, bins, low, high, emphasis, samples, windows = (
                struct.unpack_from(HEADER, data))
            at = struct.calcsize(HEADER)
            signal = torch.tensor(struct.unpack_from(f"<{samples}h", data, at))
            wanted = torch.tensor(struct.unpack_from(f"<{windows * bins}f", data, at + 2 * samples))
            found = filter_banks(signal, {
                "sample_rate_hz": rate, "frame_length_ms": length, "frame_shift_ms": shift,
                "num_mel_bins": bins, "low_freq_hz": low, "high_freq_hz": high,
                "preemphasis": emphasis})
            self.assertEqual(list(found.shape), [windows, bins], path.name)
            self.assertLess((found - wanted.view_as(found)).abs().max(), 2e-3, path.name)

    def test_windows_are_stacked_and_an_incomplete_stack_is_dropped(self):
        signal = torch.arange(2000) % 97
        windows = filter_banks(signal, TELEPHONE)
        stacks = filter_banks(signal, {**TELEPHONE, "stack": 3})
        self.assertEqual((list(windows.shape), list(stacks.shape)), ([23, 23], [7, 69]))
        self.assertTrue(torch.equal(stacks[1], windows[3:6].reshape(-1)))

    def test_shorter_than_a_window(self):
        self.assertEqual(list(filter_banks(torch.zeros(199), TELEPHONE).shape), [0, 23])

    def test_fractions_of_full_scale_give_a_warning(self):
        with self.assertWarnsRegex(UserWarning, "0.5 at most, but .* times 32768"):
            filter_banks(torch.full((999,), 0.5), TELEPHONE)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for samples in (torch.zeros(999), torch.zeros(0), torch.full((999,), 2)):
                filter_banks(samples, TELEPHONE)

    def test_wrong_settings_are_named(self):
        for features, text in (({"rate": 1, **TELEPHONE}, "'rate' is unknown; the keys are"),
                               ({"num_mel_bins": 23}, "'sample_rate_hz' is missing"),
                               ({**TELEPHONE, "num_mel_bins": 200}, "set fewer"),
                               ({**TELEPHONE, "num_mel_bins": 23.0}, "'num_mel_bins' is 23.0; "
                                "give a whole number above 0 such as 51"),
                               ({**TELEPHONE, "stack": 0}, "'stack' is 0; give a whole number"),
                               ({**TELEPHONE, "sample_rate_hz": "8k"}, "'sample_rate_hz' is '8k'"),
                               ({**TELEPHONE, "preemphasis": float("nan")}, "'preemphasis' is nan"),
                               ({**TELEPHONE, "frame_shift_ms": 0}, "the shift to one sample"),
                               ({**TELEPHONE, "frame_shift_ms": 26}, "no more than the length"),
                               ({**TELEPHONE, "frame_length_ms": -5}, "two samples or more"),
                               ({**TELEPHONE, "low_freq_hz": 3000, "high_freq_hz": 1000},
                                "between 3000 and 1000 Hz"),
                               ({**TELEPHONE, "high_freq_hz": 4001}, "within 0 and 4000, half")):
            with self.assertRaisesRegex(ValueError, text):
                filter_banks(torch.zeros(999), features)
        with self.assertRaisesRegex(TypeError, "features: is a str; give a dict"):
            filter_banks(torch.zeros(999), "fbank")
        with self.assertRaisesRegex(ValueError, r"shape \[2, 5\]; give one channel"):
            filter_banks(torch.zeros(2, 5), FEATURES)


if __name__ == "__main__":
    unittest.main()
