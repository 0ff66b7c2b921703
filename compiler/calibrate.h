// SPDX-License-Identifier: Apache-2.0
// Sample features: they choose the formats of 8-bit vectors, and measure how far the
// quantized model is from the network in real numbers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "compiler/network.h"
#include "compiler/safetensors.h"
#include "model/model.h"

namespace ese {

// Formats that are tried of x and of projected y; those of m are kMinHiddenFractionBits to
// kMaxHiddenFractionBits.
inline constexpr int kMinFractionBits = 3;
inline constexpr int kMaxFractionBits = 7;

// Utterances, end to end.
struct Calibration {
  int dim = 0;
  std::vector<float> features;   // [sum of lengths][dim], not normalised
  std::vector<int64_t> lengths;  // frames of each utterance
};

// The tensors `features` (float [frames, dim]) and `lengths` (I64 [utterances]).
// INVALID_ARGUMENT or NOT_FOUND naming the tensor and the remedy.
absl::StatusOr<Calibration> ReadCalibration(const Safetensors& file, int dim);

// INVALID_ARGUMENT where a feature, less the mean and times the inverse deviation, is no finite
// number in single precision; it names the tensors.
absl::Status CheckNormalised(const ImportedNetwork& imported, const Calibration& calibration);

// Every n-th utterance, n such that there are about `frames` frames.
Calibration Sample(const Calibration& calibration, int64_t frames);

// Fraction bits of the 8-bit vectors. These are what a model has without calibration.
struct Formats {
  int input = 5;
  std::vector<int> hidden;   // of each layer's m
  std::vector<int> outputs;  // of each layer's y; those of m where it has no projection
};
Formats DefaultFormats(const Network& network);

// For x, each m and each projected y the fraction bits at which the squared error of its values
// rounded and saturated to 8 bits is least; of equals the most.
Formats ChooseFormats(const Network& network, const Calibration& calibration);

// How many values of the network in real numbers a format cannot hold.
struct Saturation {
  std::string what;  // "layer 0 c"
  int64_t beyond = 0;
  int64_t values = 0;
};

// What quantization costs on the calibration's utterances.
struct Fidelity {
  int64_t frames = 0;
  double logits_snr_db = 0;
  std::vector<double> unit_snr_db;      // [units]
  std::vector<double> layer_snr_db;     // y of each layer
  double same_best_unit = 0;            // share of the frames whose best unit is the same
  std::vector<Saturation> saturations;  // x, then pre-activations, c and y of each layer
};

// REQUIRES: `model` has the shapes of `network`.
Fidelity Measure(const Network& network, const Model& model, const Calibration& calibration);

}  // namespace ese
