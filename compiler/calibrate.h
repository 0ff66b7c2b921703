// SPDX-License-Identifier: Apache-2.0
// Calibration with sample features: chooses the formats of the 8-bit vectors and measures how far
// the quantized model is from the network in real numbers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "compiler/network.h"
#include "compiler/safetensors.h"
#include "model/model.h"

namespace ese {

// Calibration tries these numbers of fraction bits for x and for projected y. For m it tries
// kMinHiddenFractionBits to kMaxHiddenFractionBits.
inline constexpr int kMinFractionBits = 3;
inline constexpr int kMaxFractionBits = 7;

// Sample utterances, stored one after another.
struct Calibration {
  int dim = 0;
  std::vector<float> features;   // [sum of lengths][dim], not normalised
  std::vector<int64_t> lengths;  // frames of each utterance
};

// Reads the tensors `features` (float [frames, dim]) and `lengths` (I64 [utterances]).
// Errors: INVALID_ARGUMENT or NOT_FOUND; the message names the tensor and the remedy.
absl::StatusOr<Calibration> ReadCalibration(const Safetensors& file, int dim);

// Returns INVALID_ARGUMENT if (feature - mean) * inv_stddev is not finite in single precision for
// any feature. The message names the tensors.
absl::Status CheckNormalised(const ImportedNetwork& imported, const Calibration& calibration);

// Takes every n-th utterance, with n chosen so that about `frames` frames remain.
Calibration Sample(const Calibration& calibration, int64_t frames);

// The same, with at most `frames` frames: the last utterances are cut off.
Calibration SampleAtMost(const Calibration& calibration, int64_t frames);

// Calls step(features, is_first) for every frame; is_first is true at the start of an utterance.
template <typename Step>
void ForEachFrame(const Calibration& calibration, Step&& step) {
  const float* frame = calibration.features.data();
  for (const int64_t length : calibration.lengths) {
    for (int64_t t = 0; t < length; ++t, frame += calibration.dim) step(frame, t == 0);
  }
}

// Fraction bits of the 8-bit vectors.
struct Formats {
  int input = 5;
  std::vector<int> hidden;   // m of each layer
  std::vector<int> outputs;  // y of each layer; equal to m's in a layer without a projection
};
// The formats of a model that is compiled without calibration.
Formats DefaultFormats(const Network& network);

// For x, each m and each projected y, chooses the number of fraction bits with the smallest squared
// error after rounding and saturation to 8 bits. A tie goes to more fraction bits.
Formats ChooseFormats(const Network& network, const Calibration& calibration);

// How many values of the network in real numbers are outside the range of their format.
struct Saturation {
  std::string what;  // "layer 0 c"
  int64_t beyond = 0;
  int64_t values = 0;
};

// How close the quantized model is to the network in real numbers on the calibration utterances.
struct Fidelity {
  int64_t frames = 0;
  double logits_snr_db = 0;
  std::vector<double> unit_snr_db;   // [units]
  std::vector<double> layer_snr_db;  // y of each layer
  double same_best_unit = 0;         // share of the frames on which both agree about the best unit
  std::vector<Saturation> saturations;  // x, then pre-activations, c and y of each layer
};

// Runs the network and the model side by side. REQUIRES: `model` has the shapes of `network`.
Fidelity Measure(const Network& network, const Model& model, const Calibration& calibration);

}  // namespace ese
