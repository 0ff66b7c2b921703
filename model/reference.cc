// SPDX-License-Identifier: Apache-2.0
#include "model/reference.h"

#include <algorithm>
#include <vector>

#include "model/arithmetic.h"

namespace ese {
namespace {

// The sum of the products of `count` entries.
int32_t SumProducts(const uint16_t* entry, int count, const std::vector<int8_t>& v) {
  int32_t sum = 0;
  int column = -1;
  for (int k = 0; k < count; ++k) {
    column += EntryGap(entry[k]) + 1;
    sum += EntryWeight(entry[k]) * int32_t{v[column]};
  }
  return sum;
}

// The aligned sum of row r of the product of `matrix` and `v`, before any peephole (7).
Accumulator RowSum(const Matrix& matrix, int r, const std::vector<int8_t>& v) {
  const int count = matrix.entries_per_row, fine_count = matrix.fine_entries_per_row;
  int32_t sum = SumProducts(matrix.entries.data() + size_t(r) * count, count, v);
  if (fine_count > 0) {
    sum = (sum << kFineBits) +
          SumProducts(matrix.fine_entries.data() + size_t(r) * fine_count, fine_count, v);
  }
  return {(sum << matrix.shift[r]) + matrix.bias[r]};
}

// One layer's part of a step. v is [x ; y']. Updates c [cells] and y [outputs].
void LayerStep(const Layer& layer, const std::vector<int8_t>& v, int16_t* c, int8_t* y) {
  std::vector<int8_t> m(layer.cells);
  for (int cell = 0; cell < layer.cells; ++cell) {
    const auto gate_sum = [&](int gate) { return RowSum(layer.gates, 4 * cell + gate, v); };
    const auto peephole = [&](int k, Cell at) {
      return layer.has_peepholes ? PeepholeTerm(Peephole{layer.peepholes[3 * cell + k]}, at) : 0;
    };
    const auto sigmoid = [](Accumulator sum) { return Sigmoid(ToPreActivation(sum)); };

    const Cell before{c[cell]};
    const Gate i = sigmoid({gate_sum(0).raw + peephole(0, before)});
    const Gate f = sigmoid({gate_sum(1).raw + peephole(1, before)});
    const Gate g = layer.g_activation == GActivation::kSigmoid
                       ? sigmoid(gate_sum(2))
                       : Tanh(ToTanhInput(ToPreActivation(gate_sum(2))));
    const Cell after = UpdateCell(f, before, i, g);
    const Gate o = sigmoid({gate_sum(3).raw + peephole(2, after)});
    m[cell] = ToHidden(o, Tanh(ToTanhInput(after)), layer.hidden_fraction_bits);
    c[cell] = after.raw;
  }
  if (!layer.has_projection) {
    std::copy(m.begin(), m.end(), y);
    return;
  }
  for (int r = 0; r < layer.outputs; ++r) {
    y[r] = ToProjected(RowSum(layer.projection, r, m), layer.output_fraction_bits);
  }
}

}  // namespace

void ReferenceStep(const Model& model, const int8_t* x, StreamState* state, int32_t* logits) {
  std::vector<int8_t> input(x, x + model.input_columns());
  int16_t* c = state->c.data();
  int8_t* y = state->y.data();
  for (const Layer& layer : model.layers) {
    std::vector<int8_t> v = input;
    v.insert(v.end(), y, y + layer.outputs);
    LayerStep(layer, v, c, y);
    input.assign(y, y + layer.outputs);
    c += layer.cells;
    y += layer.outputs;
  }
  for (int r = 0; r < model.num_units(); ++r) logits[r] = RowSum(model.output, r, input).raw;
}

}  // namespace ese
