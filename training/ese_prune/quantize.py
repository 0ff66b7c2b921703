# SPDX-License-Identifier: Apache-2.0
"""The engine's rounding in training: it acts on the forward pass, and gradients ignore it.

docs/arithmetic.md has the formats: 7-bit weights with one power-of-two scale for each row, and 8-bit
activations with a power-of-two scale. The engine's 16-bit gates and cells lose far less accuracy and
stay floats here; only the cells' limit of +-32 is kept.
"""

import torch
from torch.nn import functional

from .masks import check_matrix, lstm_matrices

WEIGHT_BITS, ACTIVATION_BITS = 7, 8
SUM_FRACTION_BITS = 19  # a row's sum is Q12.19
MAX_ROW_SHIFT = 16
FINER_SCALES = 2  # how many scales to try that are finer than the finest that clips nothing
HIDDEN_FRACTION_BITS = 7  # of m = o tanh(c); up to 10 if the cells' outputs stay small
CELL_LIMIT = 32.0

_POWERS = torch.tensor([2.0 ** k for k in range(-64, 65)], dtype=torch.float64)


def _power(exponents):
    """Returns exact powers 2^exponents, [rows, 1]."""
    return _POWERS.to(exponents.device)[exponents + 64][:, None]


def _scaled(weight, exponents):
    """Returns weight * 2^exponents, rounded half up."""
    return torch.floor(weight * _power(exponents) + 0.5)


def _signed_range(bits):
    return -2 ** (bits - 1), 2 ** (bits - 1) - 1


def _row_exponents(weight, finest, name, weight_bits):
    """Returns each row's exponent with the least squared error, as compiler/quantize.cc does."""
    low, high = _signed_range(weight_bits)
    ends = torch.stack([weight.amin(1), weight.amax(1)], 1)

    def fits(exponents):
        scaled = _scaled(ends, exponents)
        return (scaled[:, 0] >= low) & (scaled[:, 1] <= high)

    best = torch.full((len(weight),), finest, dtype=torch.long, device=weight.device)
    for _ in range(MAX_ROW_SHIFT):
        best = torch.where(fits(best), best, best - 1)
    if not fits(best).all():
        row = int((~fits(best)).nonzero()[0])
        raise ValueError(f"{name}, row {row}: its largest weight is beyond "
                         f"{high * 2.0 ** (MAX_ROW_SHIFT - finest):g} and cannot be "
                         "represented; clip the weights in training")

    def error(exponents):
        clipped = _scaled(weight, exponents).clamp(low, high)
        return (weight - clipped / _power(exponents)).square().sum(1)

    coarsest, least = best, error(best)
    for finer in range(1, FINER_SCALES + 1):
        exponents = (coarsest + finer).clamp(max=finest)
        now = error(exponents)
        better = now < least
        best, least = torch.where(better, exponents, best), torch.where(better, now, least)
    return best


def _integers(weight, fraction_bits, name, weight_bits):
    check_matrix(weight, name)
    columns = weight.shape[1]
    bits = torch.as_tensor(fraction_bits, device=weight.device).expand(columns)
    if int(bits.min()) < 0 or int(bits.max()) > 10:
        raise ValueError(f"{name}: columns have {int(bits.min())} to {int(bits.max())} fraction "
                         "bits; give between 0 and 10, as an 8-bit vector has")
    # A unit of a column with fewer fraction bits is worth several units of the finest column.
    units = _power(bits.max() - bits)[:, 0]
    acting = weight.detach().double() * units
    exponents = _row_exponents(acting, SUM_FRACTION_BITS - int(bits.max()), name, weight_bits)
    integers = _scaled(acting, exponents).clamp(*_signed_range(weight_bits))
    return integers, exponents, units


def quantize_weight(weight, fraction_bits=5, name="weight"):
    """Quantizes a weight [rows, columns] to the engine's integers.

    fraction_bits: those of the 8-bit vector that the weight multiplies, one number for all columns
    or one for each.
    Returns (integers [rows, columns] in -64..63, shift [rows]), as an .ese file stores them. Zeros
    stay zeros.
    """
    integers, exponents, _ = _integers(weight, fraction_bits, name, WEIGHT_BITS)
    finest = SUM_FRACTION_BITS - int(torch.as_tensor(fraction_bits).max())
    return integers.to(torch.int8), finest - exponents


def fake_quantize_weight(weight, fraction_bits=5, name="weight", weight_bits=WEIGHT_BITS):
    """Returns the weight that the engine multiplies with. The gradient passes unchanged.

    Arguments are those of quantize_weight. weight_bits: another width than the engine's, for
    comparison.
    """
    integers, exponents, units = _integers(weight, fraction_bits, name, weight_bits)
    rounded = (integers / _power(exponents) / units).to(weight.dtype)
    return weight + (rounded - weight).detach()


def fake_quantize(values, fraction_bits=5, bits=ACTIVATION_BITS):
    """Rounds values to 8 bits, halves up. The gradient of values within their range passes unchanged.

    With 5 fraction bits the range is -4 to 3.97, which suits normalised features and usually
    projected outputs. bits: another width, for comparison; bits beyond 8 are added to the fraction.
    """
    unit = 2.0 ** -(fraction_bits + bits - ACTIVATION_BITS)
    low, high = _signed_range(bits)
    within = values.clamp(low * unit, high * unit)
    rounded = torch.floor(within / unit + 0.5) * unit
    return within + (rounded - within).detach()


class QuantizedLinear(torch.nn.Module):
    """A torch.nn.Linear with the engine's rounding of weights. It shares the Linear's parameters."""

    def __init__(self, linear, input_fraction_bits=5, weight_bits=WEIGHT_BITS):
        super().__init__()
        self.linear, self.input_fraction_bits = linear, input_fraction_bits
        self.weight_bits = weight_bits

    def forward(self, values):
        """Does what the Linear's forward does, with rounded weights."""
        weight = fake_quantize_weight(self.linear.weight, self.input_fraction_bits, "linear.weight",
                                      self.weight_bits)
        return functional.linear(values, weight, self.linear.bias)


class QuantizedLSTM(torch.nn.Module):
    """A torch.nn.LSTM with the engine's rounding, for fine-tuning. It shares the LSTM's parameters.

    Its forward does what the LSTM's does, from zero state, on a batch (three dimensions), with
    dropout while the LSTM is in training mode. It computes frame by frame, so it is several times
    slower than the LSTM; using it for a small part of training is enough.

    input_fraction_bits: the format of the normalised features.
    output_fraction_bits: the format of each layer's projected output.
    hidden_fraction_bits: the format of each layer's m, 7 to 10. Without projection it is the
    output's format too. These two are one number or a list. ese-compile chooses them by calibration,
    and `ese-compile inspect --json` prints them.
    weight_bits, activation_bits: other widths than the engine's 7 and 8, for comparison.
    """

    def __init__(self, lstm, input_fraction_bits=5, output_fraction_bits=5,
                 hidden_fraction_bits=HIDDEN_FRACTION_BITS, *, weight_bits=WEIGHT_BITS,
                 activation_bits=ACTIVATION_BITS):
        super().__init__()
        self.weight_bits, self.activation_bits = weight_bits, activation_bits
        lstm_matrices(lstm)  # checks the LSTM
        self.lstm, self.input_fraction_bits = lstm, input_fraction_bits
        if not lstm.proj_size:
            output_fraction_bits = hidden_fraction_bits
        self.output_fraction_bits = self._per_layer("output_fraction_bits", output_fraction_bits)
        self.hidden_fraction_bits = self._per_layer("hidden_fraction_bits", hidden_fraction_bits)

    def _per_layer(self, name, bits):
        if isinstance(bits, int):
            return [bits] * self.lstm.num_layers
        if len(bits) != self.lstm.num_layers:
            raise ValueError(f"{name} has {len(bits)} numbers for {self.lstm.num_layers} layers; "
                             "give one for each layer")
        return list(bits)

    def _layer(self, x, layer, input_bits):
        lstm, output_bits = self.lstm, self.output_fraction_bits[layer]
        hidden_bits = self.hidden_fraction_bits[layer]
        part = {name: getattr(lstm, f"{name}_l{layer}", None)
                for name in ("weight_ih", "weight_hh", "weight_hr", "bias_ih", "bias_hh")}
        inputs, outputs = part["weight_ih"].shape[1], part["weight_hh"].shape[1]
        gates = fake_quantize_weight(
            torch.cat([part["weight_ih"], part["weight_hh"]], 1),
            torch.tensor([input_bits] * inputs + [output_bits] * outputs),
            f"weight_ih_l{layer} | weight_hh_l{layer}", self.weight_bits)
        bias = part["bias_ih"] + part["bias_hh"] if lstm.bias else None
        projection = part["weight_hr"] if lstm.proj_size else None
        if projection is not None:
            projection = fake_quantize_weight(projection, hidden_bits,
                                              f"weight_hr_l{layer}", self.weight_bits)
        of_inputs = functional.linear(x, gates[:, :inputs], bias)
        recurrent = gates[:, inputs:]
        y = x.new_zeros(x.shape[1], outputs)
        c = x.new_zeros(x.shape[1], lstm.hidden_size)
        answers = []
        for frame in of_inputs:
            i, f, g, o = (frame + functional.linear(y, recurrent)).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            c = c.clamp(-CELL_LIMIT, CELL_LIMIT)
            y = fake_quantize(torch.sigmoid(o) * torch.tanh(c), hidden_bits,
                              self.activation_bits)
            if projection is not None:
                y = fake_quantize(functional.linear(y, projection), output_bits,
                                  self.activation_bits)
            answers.append(y)
        return torch.stack(answers), y, c

    def forward(self, x):
        """Takes x [frames, batch, inputs], or [batch, frames, inputs] if batch_first."""
        lstm = self.lstm
        if not isinstance(x, torch.Tensor):
            raise TypeError(f"QuantizedLSTM: the input is a {type(x).__name__}; give a tensor of "
                            "sequences that are padded to the same length")
        if x.dim() != 3 or x.shape[-1] != lstm.input_size or not x.shape[int(lstm.batch_first)]:
            raise ValueError(f"QuantizedLSTM: the input has the shape {list(x.shape)}; give "
                             f"[frames, batch, {lstm.input_size}] (or [batch, frames, "
                             f"{lstm.input_size}] with batch_first) with at least one frame")
        if lstm.batch_first:
            x = x.transpose(0, 1)
        bits = self.input_fraction_bits
        x = fake_quantize(x, bits, self.activation_bits)
        last_y, last_c = [], []
        for layer in range(lstm.num_layers):
            if layer:
                x = functional.dropout(x, lstm.dropout, lstm.training)
            x, y, c = self._layer(x, layer, bits)
            bits = self.output_fraction_bits[layer]
            last_y.append(y)
            last_c.append(c)
        if lstm.batch_first:
            x = x.transpose(0, 1)
        return x, (torch.stack(last_y), torch.stack(last_c))
