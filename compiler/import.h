// SPDX-License-Identifier: Apache-2.0
// Every file format of trained networks, told apart by content.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "compiler/network.h"

namespace ese {

// The network in `weights`: a safetensors file, an ONNX file or a Kaldi nnet1 file (text or
// binary). `topology` is the JSON file beside it: for safetensors it is needed (ParseTopology),
// for the others it may be empty (ParseAnnotations). Errors name the file and the remedy.
absl::StatusOr<ImportedNetwork> ImportFile(const std::string& weights, const std::string& topology);

}  // namespace ese
