// SPDX-License-Identifier: Apache-2.0
// From a trained network to a compiled model: prune, choose formats, quantize, measure.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "compiler/calibrate.h"
#include "compiler/network.h"
#include "compiler/prune.h"
#include "model/model.h"

namespace ese {

struct CompileOptions {
  // Shares of each row to keep; without one a mask of the training stays, see compiler/prune.h.
  std::optional<double> gates_density;
  std::optional<double> projection_density;
  std::optional<double> output_density;
  bool pad = false;  // fill unequal rows of a mask up with zero weights
  // Instead of what the calibration chooses, or the default.
  std::optional<int> input_fraction_bits;
};

// A model and what is known about it; compiler/report.h prints it. Lists of matrices are in the
// order of MatrixNames().
struct Report {
  std::shared_ptr<const Model> model;
  int64_t file_bytes = 0;
  std::vector<PruneReport> prunes;    // empty where the model was not compiled just now
  std::vector<double> weight_snr_db;  // empty where there are no weights to compare with
  std::optional<Fidelity> fidelity;   // nothing where there is no calibration
  std::vector<std::string> notices;   // for the user's attention
  std::vector<std::string> warnings;  // outputs that lose more than kWarnAboveError
};

// A layer's outputs, or the logits, whose error energy is above this share of their energy get a
// warning. It is an SNR of 20 dB.
inline constexpr double kWarnAboveError = 0.01;

struct Compiled {
  std::string bytes;  // of the .ese file
  Report report;
};

// The model's matrices in file order: "layer0/gates", "layer0/projection", ..., "output".
std::vector<std::string> MatrixNames(const Model& model);

// `calibration` may be null: then every projected y has kDefaultFractionBits fraction bits and
// nothing is measured but the weights. Errors name tensor or option, and the remedy.
absl::StatusOr<Compiled> Compile(const ImportedNetwork& imported, const Calibration* calibration,
                                 const CompileOptions& options);

// Adds to *report what a comparison of its model with this network, no weight of it pruned further,
// tells. `calibration` may be null. INVALID_ARGUMENT where the shapes are not the model's.
absl::Status CompareWithNetwork(const ImportedNetwork& imported, const Calibration* calibration,
                                Report* report);

}  // namespace ese
