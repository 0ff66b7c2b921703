# SPDX-License-Identifier: Apache-2.0
"""Row-balanced pruning for ESE: prunes any torch.nn.LSTM in any training loop.

    from ese_prune import CubicSchedule, Pruner, export

    pruner = Pruner(model, density=0.1, schedule=CubicSchedule(start_step=0, end_step=5000))
    for batch in data:
        ...
        optimizer.step()
        pruner.step()            # tightens the masks and sets pruned weights to zero
    pruner.finish()
    export(model, "exported", units=[...])   # writes what ese-compile reads

Every row of a matrix keeps the same number of weights, so that all threads or processing elements
have equal work. docs/compress_your_model.md has an example that goes from a torch module to a served
model. The package needs torch 1.13 or newer, and numpy to export. Its licence is Apache-2.0.
"""

from .export import export
from .fbank import FEATURES, filter_banks
from .masks import entries_for, lstm_masks, row_balanced_mask
from .pruner import Pruner
from .quantize import QuantizedLinear, QuantizedLSTM, fake_quantize, fake_quantize_weight, quantize_weight
from .schedule import CubicSchedule

__all__ = ["CubicSchedule", "FEATURES", "Pruner", "QuantizedLSTM", "QuantizedLinear",
           "entries_for", "export", "fake_quantize", "fake_quantize_weight", "filter_banks",
           "lstm_masks", "quantize_weight", "row_balanced_mask"]
