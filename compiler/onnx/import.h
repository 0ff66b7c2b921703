// SPDX-License-Identifier: Apache-2.0
// Imports ONNX models.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "compiler/network.h"

namespace ese {

// Imports the chain of nodes that ends in the graph's first output: one or more forward LSTM nodes,
// each reading the Y of the one before; then Gemm, or MatMul with or without Add; then optionally
// Softmax or LogSoftmax, which is dropped. Between them there may be nodes that only change shapes.
// A notice names any such node before the first LSTM that regroups features. The returned topology
// has only its layers and its name (the graph's) set. `source` is the file's name in error
// messages. Returns INVALID_ARGUMENT for anything else in the chain, for an LSTM that cannot stream
// (reverse, bidirectional) or that the fixed-point cell cannot reproduce (other activations, a low
// clip, coupled gates), and for a weight that is not constant, has the wrong shape or is not
// finite. The message names the node, its operator and the remedy.
absl::StatusOr<ImportedNetwork> ImportOnnx(const std::string& bytes, const std::string& source);

}  // namespace ese
