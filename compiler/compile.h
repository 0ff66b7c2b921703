// SPDX-License-Identifier: Apache-2.0
// Compiles a trained network into a model: prunes, chooses formats, quantizes and measures.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "compiler/calibrate.h"
#include "compiler/causes.h"
#include "compiler/network.h"
#include "compiler/prune.h"
#include "model/model.h"

namespace ese {

struct CompileOptions {
  // The share of each row to keep. Without a density, a matrix that training pruned keeps its mask,
  // and any other matrix keeps all weights (compiler/prune.h).
  std::optional<double> gates_density;
  std::optional<double> projection_density;
  std::optional<double> output_density;
  bool pad = false;  // pad shorter rows of a training mask with zero weights
  // Overrides the format that calibration chooses, or the default without calibration.
  std::optional<int> input_fraction_bits;
};

// A model and what is known about it. compiler/report.h prints it. Lists with one element per
// matrix are in the order of MatrixNames().
struct Report {
  std::shared_ptr<const Model> model;
  int64_t file_bytes = 0;
  std::vector<PruneReport> prunes;    // empty for a model that was loaded, not compiled
  std::vector<double> weight_snr_db;  // empty without weights to compare with
  std::optional<Fidelity> fidelity;   // absent without calibration
  std::vector<Cause> causes;          // empty without calibration
  std::vector<std::string> notices;   // what the user should know
  std::vector<std::string> warnings;  // outputs whose error exceeds kWarnAboveError
};

// A layer's outputs or the logits get a warning when the energy of their error exceeds this share
// of the signal's energy. It corresponds to an SNR of 20 dB.
inline constexpr double kWarnAboveError = 0.01;

struct Compiled {
  std::string bytes;  // of the .ese file
  Report report;
};

// The model's matrices in file order: "layer0/gates", "layer0/projection", ..., "output".
std::vector<std::string> MatrixNames(const Model& model);

// Compiles a network. `calibration` may be null: then the model has DefaultFormats(), and only the
// error of the weights is measured. Error messages name the tensor or the option, and the remedy.
absl::StatusOr<Compiled> Compile(const ImportedNetwork& imported, const Calibration* calibration,
                                 const CompileOptions& options);

// Compares report->model with this network, which is not pruned any further, and adds the result to
// *report. `calibration` may be null: then only the weights are compared. Returns INVALID_ARGUMENT
// if the network's shapes differ from the model's.
absl::Status CompareWithNetwork(const ImportedNetwork& imported, const Calibration* calibration,
                                Report* report);

}  // namespace ese
