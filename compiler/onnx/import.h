// SPDX-License-Identifier: Apache-2.0
// Import of ONNX models.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "compiler/network.h"

namespace ese {

// The chain that ends in the graph's first output: one or more forward LSTM nodes, each reading the
// Y of the one before, then Gemm, or MatMul with or without Add, then nothing or a (Log)Softmax,
// which is dropped. Between them only nodes that change shapes; where one below the first LSTM
// regroups features, a notice names it. The topology has layers and the
// graph's name. `source` names the file in errors.
// INVALID_ARGUMENT naming node, operator and remedy: anything else in the chain, an LSTM that
// cannot stream (reverse, bidirectional) or has what the fixed-point cell has not (other
// activations, a low clip, coupled gates), a weight that is not a constant, of the wrong shape or
// not finite.
absl::StatusOr<ImportedNetwork> ImportOnnx(const std::string& bytes, const std::string& source);

}  // namespace ese
