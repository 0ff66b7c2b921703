// SPDX-License-Identifier: Apache-2.0
#include "model/reference.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "model/arithmetic.h"
#include "model/testing.h"

namespace ese {
namespace {

// A model with one cell, one input and one unit, which is small enough to compute by hand.
ModelDraft OneCell() {
  ModelDraft draft;
  draft.name = "one-cell";
  draft.input_mean = {0};
  draft.input_inv_stddev = {1};
  LayerDraft layer;
  layer.inputs = 1;
  layer.cells = 1;
  layer.outputs = 1;
  layer.gates = {.rows = 4,
                 .columns = 2,
                 .entries_per_row = 1,
                 .entries = std::vector<uint16_t>(4, MakeEntry(0, 0)),
                 .shift = std::vector<uint8_t>(4, 0),
                 .bias = std::vector<int32_t>(4, 0)};
  draft.layers = {layer};
  draft.output = {.rows = 1,
                  .columns = 1,
                  .entries_per_row = 1,
                  .entries = {MakeEntry(0, 1)},
                  .shift = {0},
                  .bias = {0}};
  draft.units = {"U"};
  return draft;
}

struct Stepped {
  int16_t c;
  int8_t y;
  int32_t logit;
};

Stepped Step(const ModelDraft& draft, int8_t x, int16_t c = 0, int8_t y = 0) {
  const auto model = Model::FromBytes(*SerializeModel(draft));
  StreamState state(**model);
  state.c[0] = c;
  state.y[0] = y;
  Stepped out;
  ReferenceStep(**model, &x, &state, &out.logit);
  out.c = state.c[0];
  out.y = state.y[0];
  return out;
}

TEST(ReferenceStepTest, ZeroWeightsHalveTheCell) {
  // i = f = o = 1/2, g = 0: c' = c / 2, m = tanh(c') / 2.
  const Stepped out = Step(OneCell(), 0, 2048);
  EXPECT_EQ(out.c, 1024);
  EXPECT_EQ(out.y, std::lround(std::tanh(1.0) / 2 * 128));
  EXPECT_EQ(out.logit, out.y);
}

TEST(ReferenceStepTest, GateRowsComeInTheOrderIFGO) {
  ModelDraft draft = OneCell();
  const auto with_bias = [&](int gate, int32_t bias) {
    ModelDraft changed = draft;
    changed.layers[0].gates.bias[gate] = bias;
    return Step(changed, 0, 2048);
  };
  constexpr int32_t kOpen = 15 << 19;
  EXPECT_EQ(with_bias(0, kOpen).c, 1024);        // i: there is nothing to let in
  EXPECT_EQ(with_bias(1, kOpen).c, 2048);        // f: the cell is kept
  EXPECT_EQ(with_bias(2, kOpen).c, 1024 + 512);  // g = 1: i g = 1/2
  EXPECT_EQ(with_bias(3, kOpen).y, std::lround(std::tanh(1.0) * 128));  // o: the output is open
}

TEST(ReferenceStepTest, GMayBeASigmoid) {
  ModelDraft draft = OneCell();
  draft.layers[0].g_activation = GActivation::kSigmoid;
  EXPECT_EQ(Step(draft, 0, 0).c, 256);  // i g = 1/4
}

TEST(ReferenceStepTest, InputAndRecurrenceUseTheirColumns) {
  ModelDraft draft = OneCell();
  draft.layers[0].gates.shift.assign(4, 14);
  draft.layers[0].gates.entries[2] = MakeEntry(0, 32);  // g reads x
  const int16_t from_x = Step(draft, 32, 0, 0).c;
  EXPECT_EQ(Step(draft, 0, 0, 32).c, 0);
  draft.layers[0].gates.entries[2] = MakeEntry(1, 32);  // g reads y'
  EXPECT_EQ(Step(draft, 0, 0, 32).c, from_x);
  EXPECT_EQ(Step(draft, 32, 0, 0).c, 0);
  EXPECT_GT(from_x, 500);
}

TEST(ReferenceStepTest, OutputPeepholeSeesTheNewCell) {
  ModelDraft draft = OneCell();
  draft.layers[0].has_peepholes = true;
  draft.layers[0].peepholes = {0, 0, 4096};     // o += c'
  draft.layers[0].gates.bias[1] = -(15 << 19);  // f = 0: the old cell is dropped
  const Stepped out = Step(draft, 0, 10000);
  EXPECT_EQ(out.c, 0);
  EXPECT_EQ(out.y, 0);
  draft.layers[0].gates.bias[1] = 15 << 19;  // f = 1
  const Stepped kept = Step(draft, 0, 1024);
  EXPECT_EQ(kept.c, 1024);
  const double o = 1 / (1 + std::exp(-1.0));
  EXPECT_EQ(kept.y, std::lround(o * std::tanh(1.0) * 128));
}

TEST(ReferenceStepTest, ForgetAndInputPeepholesSeeTheOldCell) {
  ModelDraft draft = OneCell();
  draft.layers[0].has_peepholes = true;
  draft.layers[0].gates.bias[2] = 15 << 19;  // g = 1
  draft.layers[0].peepholes = {-32768, 0, 0};
  EXPECT_EQ(Step(draft, 0, 8192).c, 4096);  // i = 0
  draft.layers[0].peepholes = {0, 32767, 0};
  EXPECT_EQ(Step(draft, 0, 8192).c, 8192 + 512);  // f = 1
}

TEST(ReferenceStepTest, AnEntryCountsAsMuchAs128FineEntries) {
  ModelDraft draft = OneCell();
  draft.output.shift = {3};
  draft.output.bias = {-7};
  draft.output.fine_entries_per_row = 1;
  draft.output.fine_entries = {MakeEntry(0, -5)};
  for (const int16_t c : {-3000, 0, 2048}) {
    const Stepped out = Step(draft, 0, c);
    EXPECT_EQ(out.logit, (128 - 5) * out.y * 8 - 7);
  }
  // Without entries, the fine ones count as such.
  draft.output.entries_per_row = 0;
  draft.output.entries.clear();
  const Stepped fine = Step(draft, 0, 2048);
  EXPECT_EQ(fine.logit, -5 * fine.y * 8 - 7);
}

TEST(ReferenceStepTest, EmptyRowsGiveTheirBias) {
  ModelDraft draft = OneCell();
  draft.output.entries_per_row = 0;
  draft.output.entries.clear();
  draft.output.bias = {-12345};
  EXPECT_EQ(Step(draft, 77).logit, -12345);
}

// A float LSTMP with the same weights. The fixed-point step follows it closely over many frames.
class RealLstm {
 public:
  explicit RealLstm(const Model& model) : model_(model) {
    for (const Layer& layer : model.layers) {
      c_.emplace_back(layer.cells);
      y_.emplace_back(layer.outputs);
    }
  }

  std::vector<double> Step(std::vector<double> input, int fraction_bits) {
    for (size_t l = 0; l < model_.layers.size(); ++l) {
      const Layer& layer = model_.layers[l];
      // The columns of x and of y' are integers in different formats.
      std::vector<double> v;
      for (const double x : input) v.push_back(std::ldexp(x, fraction_bits));
      for (const double y : y_[l]) v.push_back(std::ldexp(y, layer.output_fraction_bits));
      std::vector<double> m(layer.cells);
      for (int k = 0; k < layer.cells; ++k) {
        double z[4];
        for (int gate = 0; gate < 4; ++gate) z[gate] = Row(layer.gates, 4 * k + gate, v);
        const auto sigmoid = [](double s) { return 1 / (1 + std::exp(-s)); };
        double& c = c_[l][k];
        c = sigmoid(z[1]) * c + sigmoid(z[0]) * std::tanh(z[2]);
        m[k] = sigmoid(z[3]) * std::tanh(c);
      }
      if (layer.has_projection) {
        for (double& value : m) value *= 128;
        for (int r = 0; r < layer.outputs; ++r) y_[l][r] = Row(layer.projection, r, m);
      } else {
        y_[l] = m;
      }
      input = y_[l];
      fraction_bits = layer.output_fraction_bits;
    }
    std::vector<double> v;
    for (const double y : input) v.push_back(std::ldexp(y, fraction_bits));
    std::vector<double> logits;
    for (int r = 0; r < model_.num_units(); ++r) logits.push_back(Row(model_.output, r, v));
    return logits;
  }

 private:
  static double Row(const Matrix& matrix, int r, const std::vector<double>& v) {
    double sum = 0;
    int column = -1;
    for (int k = 0; k < matrix.entries_per_row; ++k) {
      const uint16_t entry = matrix.entries[size_t(r) * matrix.entries_per_row + k];
      column += EntryGap(entry) + 1;
      sum += EntryWeight(entry) * v[column];
    }
    return std::ldexp(std::ldexp(sum, matrix.shift[r]) + matrix.bias[r], -19);
  }

  const Model& model_;
  std::vector<std::vector<double>> c_, y_;
};

double SnrDb(const RandomModelOptions& options) {
  const auto model = RandomModel(options);
  RealLstm real(*model);
  StreamState state(*model);
  double signal = 0, noise = 0;
  uint32_t bits = 7;
  for (int t = 0; t < 50; ++t) {
    std::vector<int8_t> x;
    std::vector<double> input;
    for (int k = 0; k < model->input_columns(); ++k) {
      bits = bits * 1664525u + 1013904223u;
      x.push_back(static_cast<int8_t>(static_cast<int32_t>(bits) >> 26));
      input.push_back(x.back() / 32.0);
    }
    std::vector<int32_t> logits(model->num_units());
    ReferenceStep(*model, x.data(), &state, logits.data());
    const std::vector<double> exact = real.Step(input, model->input_fraction_bits);
    for (int r = 0; r < model->num_units(); ++r) {
      const double got = std::ldexp(logits[r], -19);
      signal += exact[r] * exact[r];
      noise += (got - exact[r]) * (got - exact[r]);
    }
  }
  return 10 * std::log10(signal / noise);
}

TEST(ReferenceStepTest, FollowsTheFloatLstm) {
  const RandomLayer projected = {.cells = 40, .projection = 16, .hidden_fraction_bits = 7};
  EXPECT_GT(SnrDb({.inputs = 20, .layers = {projected}, .gain = 0.5}), 25);
  const RandomLayer first = {.cells = 40, .hidden_fraction_bits = 7};
  const RandomLayer second = {.cells = 24, .hidden_fraction_bits = 7};
  EXPECT_GT(SnrDb({.inputs = 20, .layers = {first, second}, .gain = 0.5}), 25);
}

}  // namespace
}  // namespace ese
