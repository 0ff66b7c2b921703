// SPDX-License-Identifier: Apache-2.0
// Imports a trained network from a file in any supported format.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "compiler/network.h"

namespace ese {

struct ImportOptions {
  std::string name;                // of the model; "" leaves the one that the files give
  bool allow_unused_lstm = false;  // accept LSTM weights that the topology does not use
};

// Imports the network in the file `weights`: safetensors, ONNX, or Kaldi nnet1 (text or binary).
// The content of the file decides which. `topology` is the path of a JSON file. safetensors needs
// it (ParseTopology); for ONNX and Kaldi it is optional and may be "" (ParseAnnotations). Error
// messages name the file and the remedy. Returns INVALID_ARGUMENT for a network with one unit,
// because the server answers with log-posteriors, and that of a single unit is always 0.
absl::StatusOr<ImportedNetwork> ImportFile(const std::string& weights, const std::string& topology,
                                           const ImportOptions& options = {});

}  // namespace ese
