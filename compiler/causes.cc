// SPDX-License-Identifier: Apache-2.0
#include "compiler/causes.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "compiler/float_lstm.h"
#include "compiler/quantize.h"
#include "model/arithmetic.h"

namespace ese {
namespace {

constexpr char kInputRemedy[] =
    "give every feature a similar range by the input's mean and inv_stddev";
constexpr char kWeightsRemedy[] =
    "retrain with ese_prune's QuantizedLSTM and QuantizedLinear, or limit the largest weights of "
    "each row in training";
constexpr char kOutputsRemedy[] = "retrain with ese_prune's QuantizedLSTM, which rounds them too";
constexpr char kRangeRemedy[] =
    "limit the cells in training: pre-activations saturate at 16 and cells at 32";

int64_t Multiplications(const Network& network) {
  int64_t sum = static_cast<int64_t>(network.output.weights.size());
  for (const auto& layer : network.layers) {
    sum += static_cast<int64_t>(layer.gates.weights.size() + layer.projection.weights.size());
  }
  return sum;
}

int64_t FramesToMeasure(const Network& network) {
  constexpr int64_t kMultiplications = 400'000'000;
  return std::clamp<int64_t>(kMultiplications / Multiplications(network), 20, 1000);
}

// The real values of a quantized matrix.
SparseMatrix Real(const Matrix& from, const ColumnFormats& formats) {
  SparseMatrix to;
  to.rows = from.rows;
  to.columns = from.columns;
  to.entries_per_row = from.entries_per_row;
  for (int r = 0; r < from.rows; ++r) {
    int column = -1;
    for (int k = 0; k < from.entries_per_row; ++k) {
      const uint16_t entry = from.entries[size_t(r) * from.entries_per_row + k];
      column += EntryGap(entry) + 1;
      to.column.push_back(column);
      to.weights.push_back(
          static_cast<float>(RealWeight(EntryWeight(entry), from.shift[r], formats.Of(column))));
    }
    to.bias.push_back(Accumulator{from.bias[r]}.ToReal());
  }
  return to;
}

std::vector<float> RealPeepholes(const Layer& layer) {
  std::vector<float> real;
  for (const int16_t p : layer.peepholes) {
    real.push_back(static_cast<float>(Peephole{p}.ToReal()));
  }
  return real;
}

// Measures one cause after the other.
class CauseMeter {
 public:
  CauseMeter(const Network& network, const Model& model, const Calibration& calibration)
      : network_(network),
        model_(model),
        calibration_(SampleAtMost(calibration, FramesToMeasure(network))),
        logits_(Logits({})) {}

  std::vector<Cause> Run() {
    AddRounding("input", kInputRemedy,
                [&](Roundings* roundings) { roundings->input = model_.input_fraction_bits; });
    int input_bits = model_.input_fraction_bits;
    for (size_t l = 0; l < model_.layers.size(); ++l) {
      AddLayer(l, input_bits);
      input_bits = model_.layers[l].output_fraction_bits;
    }
    AddMatrix("output weights", Real(model_.output, ColumnFormats::Uniform(input_bits)),
              &network_.output);
    return std::move(causes_);
  }

 private:
  void AddLayer(size_t l, int input_bits) {
    const Layer& layer = model_.layers[l];
    BasicNetworkLayer<SparseMatrix>& real = network_.layers[l];
    const std::string name = absl::StrCat("layer ", l, " ");
    const auto add_rounding = [&](const char* what, const char* remedy, const auto& set) {
      AddRounding(name + what, remedy, [&](Roundings* all) { set(&all->layers[l]); });
    };
    const ColumnFormats formats = {layer.inputs, input_bits, layer.output_fraction_bits};
    std::vector<float> peepholes = RealPeepholes(layer);
    std::swap(peepholes, real.peepholes);
    AddMatrix(name + "gate weights", Real(layer.gates, formats), &real.gates);
    std::swap(peepholes, real.peepholes);
    add_rounding("gate functions", kRangeRemedy, [](auto* to) { to->gates = true; });
    add_rounding("cells c", kRangeRemedy, [](auto* to) { to->cells = true; });
    add_rounding("cells' outputs m", kOutputsRemedy,
                 [&](auto* to) { to->hidden = layer.hidden_fraction_bits; });
    if (!layer.has_projection) return;
    AddMatrix(name + "projection weights",
              Real(layer.projection, ColumnFormats::Uniform(layer.hidden_fraction_bits)),
              &real.projection);
    add_rounding("projected outputs y", kOutputsRemedy,
                 [&](auto* to) { to->outputs = layer.output_fraction_bits; });
  }

  template <typename Set>
  void AddRounding(const std::string& what, const char* remedy, const Set& set) {
    Roundings roundings;
    roundings.layers.resize(model_.layers.size());
    set(&roundings);
    Add(what, remedy, roundings);
  }

  // Measures the network with `quantized` in the place of one of its matrices.
  void AddMatrix(const std::string& what, SparseMatrix quantized, SparseMatrix* place) {
    std::swap(quantized, *place);
    Add(what, kWeightsRemedy, {});
    std::swap(quantized, *place);
  }

  void Add(const std::string& what, const char* remedy, const Roundings& roundings) {
    const std::vector<double> changed = Logits(roundings);
    double signal = 0;
    double error = 0;
    for (size_t k = 0; k < logits_.size(); ++k) {
      signal += logits_[k] * logits_[k];
      error += (logits_[k] - changed[k]) * (logits_[k] - changed[k]);
    }
    causes_.push_back({what, Decibels(signal, error), remedy});
  }

  std::vector<double> Logits(const Roundings& roundings) const {
    FloatLstm lstm(&network_, roundings);
    std::vector<double> logits;
    ForEachFrame(calibration_, [&](const float* frame, bool first) {
      if (first) lstm.Reset();
      lstm.Step(frame);
      logits.insert(logits.end(), lstm.logits().begin(), lstm.logits().end());
    });
    return logits;
  }

  Network network_;  // real, but for the matrix that is being measured
  const Model& model_;
  const Calibration calibration_;
  const std::vector<double> logits_;  // of the real network, [frames][units]
  std::vector<Cause> causes_;
};

}  // namespace

std::vector<Cause> MeasureCauses(const Network& network, const Model& model,
                                 const Calibration& calibration) {
  return CauseMeter(network, model, calibration).Run();
}

const Cause& LargestCause(const std::vector<Cause>& causes) {
  return *std::min_element(causes.begin(), causes.end(), [](const Cause& a, const Cause& b) {
    return a.logits_snr_db < b.logits_snr_db;
  });
}

}  // namespace ese
