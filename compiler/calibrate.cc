// SPDX-License-Identifier: Apache-2.0
#include "compiler/calibrate.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "compiler/float_lstm.h"
#include "compiler/quantize.h"
#include "model/arithmetic.h"
#include "model/reference.h"

namespace ese {
namespace {

// Sums of squares of a quantity and of its error.
struct ErrorSum {
  double signal = 0;
  double error = 0;

  void Add(double real, double quantized) {
    signal += real * real;
    error += (real - quantized) * (real - quantized);
  }
  double Db() const { return Decibels(signal, error); }
};

// The squared error of one vector's values in each candidate format.
class FormatErrors {
 public:
  FormatErrors(int least, int most) : least_(least), errors_(most - least + 1) {}

  void Add(const std::vector<double>& values) {
    for (const double real : values) {
      for (size_t k = 0; k < errors_.size(); ++k) {
        const int bits = least_ + static_cast<int>(k);
        const double raw = std::clamp(std::floor(std::ldexp(real, bits) + 0.5), -128.0, 127.0);
        const double error = real - std::ldexp(raw, -bits);
        errors_[k] += error * error;
      }
    }
  }

  int Best() const {
    const auto best = std::min_element(errors_.rbegin(), errors_.rend());
    return least_ + static_cast<int>(errors_.rend() - best) - 1;
  }

 private:
  const int least_;
  std::vector<double> errors_;  // [candidates], from least_ fraction bits up
};

// Counts the values that do not fit into Raw with `fraction_bits` fraction bits.
template <typename Raw>
void Count(const std::vector<double>& values, int fraction_bits, Saturation* count) {
  for (const double value : values) {
    const double raw = std::floor(std::ldexp(value, fraction_bits) + 0.5);
    count->beyond += raw < std::numeric_limits<Raw>::min() || raw > std::numeric_limits<Raw>::max();
  }
  count->values += static_cast<int64_t>(values.size());
}

template <typename T>
size_t Best(const std::vector<T>& logits) {
  return static_cast<size_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

// Runs the network and the model side by side, frame by frame.
class Comparison {
 public:
  Comparison(const Network& network, const Model& model)
      : model_(model),
        real_(&network),
        x_(model.input_columns()),
        logits_(model.num_units()),
        units_(model.num_units()),
        layers_(model.layers.size()) {
    fidelity_.saturations.push_back({"features x"});
    for (size_t l = 0; l < model.layers.size(); ++l) {
      for (const char* what : {"pre-activations", "cells c", "outputs y"}) {
        fidelity_.saturations.push_back({absl::StrCat("layer ", l, " ", what)});
      }
    }
  }

  void Step(const float* frame, bool first) {
    if (first) {
      real_.Reset();
      state_ = StreamState(model_);
    }
    real_.Step(frame);
    model_.QuantizeFrame(frame, x_.data());
    ReferenceStep(model_, x_.data(), &state_, logits_.data());
    AddErrors();
    CountSaturations();
    ++fidelity_.frames;
  }

  Fidelity Finish() {
    for (const ErrorSum& unit : units_) fidelity_.unit_snr_db.push_back(unit.Db());
    for (const ErrorSum& layer : layers_) fidelity_.layer_snr_db.push_back(layer.Db());
    fidelity_.logits_snr_db = all_.Db();
    fidelity_.same_best_unit =
        static_cast<double>(same_best_) / static_cast<double>(fidelity_.frames);
    return std::move(fidelity_);
  }

 private:
  void AddErrors() {
    const int8_t* y = state_.y.data();
    for (size_t l = 0; l < layers_.size(); ++l) {
      const int fraction_bits = model_.layers[l].output_fraction_bits;
      for (const double real : real_.y(static_cast<int>(l))) {
        layers_[l].Add(real, std::ldexp(*y++, -fraction_bits));
      }
    }
    for (size_t u = 0; u < units_.size(); ++u) {
      const double real = real_.logits()[u];
      const double quantized = Accumulator{logits_[u]}.ToReal();
      units_[u].Add(real, quantized);
      all_.Add(real, quantized);
    }
    same_best_ += Best(logits_) == Best(real_.logits());
  }

  void CountSaturations() {
    Saturation* count = fidelity_.saturations.data();
    Count<int8_t>(real_.x(), model_.input_fraction_bits, count++);
    for (int l = 0; l < real_.num_layers(); ++l) {
      Count<int16_t>(real_.pre_activations(l), PreActivation::kFractionBits, count++);
      Count<int16_t>(real_.c(l), Cell::kFractionBits, count++);
      Count<int8_t>(real_.y(l), model_.layers[l].output_fraction_bits, count++);
    }
  }

  const Model& model_;
  FloatLstm real_;
  StreamState state_;
  std::vector<int8_t> x_;
  std::vector<int32_t> logits_;
  std::vector<ErrorSum> units_, layers_;
  ErrorSum all_;
  int64_t same_best_ = 0;
  Fidelity fidelity_;
};

}  // namespace

absl::StatusOr<Calibration> ReadCalibration(const Safetensors& file, int dim) {
  ESE_ASSIGN_OR_RETURN(const std::vector<int64_t> shape, file.Shape("features"));
  if (shape.size() != 2 || shape[1] != dim) {
    return absl::InvalidArgumentError(
        absl::StrCat(file.source(), ": tensor 'features' has the shape ", ShapeText(shape),
                     "; the model needs [frames, ", dim, "]"));
  }
  Calibration calibration;
  calibration.dim = dim;
  ESE_ASSIGN_OR_RETURN(calibration.features, file.Floats("features", shape));
  ESE_ASSIGN_OR_RETURN(calibration.lengths, file.Integers("lengths"));
  int64_t left = shape[0];
  for (size_t u = 0; u < calibration.lengths.size(); ++u) {
    const int64_t length = calibration.lengths[u];
    if (length < 1 || length > left) {
      return absl::InvalidArgumentError(absl::StrCat(
          file.source(), ": tensor 'lengths' says ", length, " frames for utterance ", u, "; ",
          left, " of the ", shape[0], " frames of 'features' are left; correct the lengths"));
    }
    left -= length;
  }
  if (left != 0 || shape[0] == 0) {
    return absl::InvalidArgumentError(absl::StrCat(file.source(), ": tensor 'lengths' leaves ",
                                                   left, " of the ", shape[0],
                                                   " frames of 'features' unassigned; the lengths "
                                                   "must add up to all frames, and there must be "
                                                   "at least one frame"));
  }
  return calibration;
}

absl::Status CheckNormalised(const ImportedNetwork& imported, const Calibration& calibration) {
  const Topology& topology = imported.topology;
  const std::string mean = topology.input_mean.empty() ? "input.mean" : topology.input_mean;
  const std::string scale =
      topology.input_inv_stddev.empty() ? "input.inv_stddev" : topology.input_inv_stddev;
  for (size_t i = 0; i < calibration.features.size(); ++i) {
    const size_t k = i % calibration.dim;
    const float x = (calibration.features[i] - imported.network.input_mean[k]) *
                    imported.network.input_inv_stddev[k];
    if (std::isfinite(x)) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "calibration: value ", k, " of frame ", i / calibration.dim, ", ", calibration.features[i],
        ", becomes ", x, " with ", mean, " (", imported.network.input_mean[k], ") and ", scale,
        " (", imported.network.input_inv_stddev[k], "); correct the one that is wrong"));
  }
  return absl::OkStatus();
}

Calibration Sample(const Calibration& calibration, int64_t frames) {
  const int64_t total = static_cast<int64_t>(calibration.features.size()) / calibration.dim;
  const int64_t stride = std::max<int64_t>(1, (total + frames - 1) / frames);
  Calibration sample;
  sample.dim = calibration.dim;
  auto begin = calibration.features.begin();
  for (size_t u = 0; u < calibration.lengths.size(); ++u) {
    const auto end = begin + calibration.lengths[u] * calibration.dim;
    if (static_cast<int64_t>(u) % stride == 0) {
      sample.lengths.push_back(calibration.lengths[u]);
      sample.features.insert(sample.features.end(), begin, end);
    }
    begin = end;
  }
  return sample;
}

Calibration SampleAtMost(const Calibration& calibration, int64_t frames) {
  Calibration sample = Sample(calibration, frames);
  int64_t left = frames;
  size_t utterances = 0;
  for (; utterances < sample.lengths.size() && left > 0; ++utterances) {
    sample.lengths[utterances] = std::min(sample.lengths[utterances], left);
    left -= sample.lengths[utterances];
  }
  sample.lengths.resize(utterances);
  sample.features.resize((frames - left) * sample.dim);
  return sample;
}

Formats DefaultFormats(const Network& network) {
  Formats formats;
  for (const auto& layer : network.layers) {
    const bool projected = layer.topology.projection > 0;
    formats.hidden.push_back(kMinHiddenFractionBits);
    formats.outputs.push_back(projected ? formats.input : kMinHiddenFractionBits);
  }
  return formats;
}

Formats ChooseFormats(const Network& network, const Calibration& calibration) {
  FloatLstm lstm(&network);
  const FormatErrors none(kMinFractionBits, kMaxFractionBits);
  const FormatErrors none_of_m(kMinHiddenFractionBits, kMaxHiddenFractionBits);
  FormatErrors x_errors = none;
  std::vector<FormatErrors> m_errors(network.layers.size(), none_of_m);
  std::vector<FormatErrors> y_errors(network.layers.size(), none);
  ForEachFrame(calibration, [&](const float* frame, bool first) {
    if (first) lstm.Reset();
    lstm.Step(frame);
    x_errors.Add(lstm.x());
    for (int l = 0; l < lstm.num_layers(); ++l) {
      m_errors[l].Add(lstm.m(l));
      if (network.layers[l].topology.projection > 0) y_errors[l].Add(lstm.y(l));
    }
  });
  Formats formats = DefaultFormats(network);
  formats.input = x_errors.Best();
  for (size_t l = 0; l < network.layers.size(); ++l) {
    const bool projected = network.layers[l].topology.projection > 0;
    formats.hidden[l] = m_errors[l].Best();
    formats.outputs[l] = projected ? y_errors[l].Best() : formats.hidden[l];
  }
  return formats;
}

Fidelity Measure(const Network& network, const Model& model, const Calibration& calibration) {
  Comparison comparison(network, model);
  ForEachFrame(calibration, [&](const float* frame, bool first) { comparison.Step(frame, first); });
  return comparison.Finish();
}

}  // namespace ese
