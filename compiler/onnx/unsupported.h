// SPDX-License-Identifier: Apache-2.0
// Explains why a graph cannot be imported, in one message about all its nodes.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "compiler/onnx/graph.h"

namespace ese {

// INVALID_ARGUMENT for a graph in which the importer came upon `node`. The message begins with the
// node that decides: a recurrent operator other than LSTM, then a quantized one, then `node`. It
// lists all other nodes between the graph's first output and its inputs that are not supported.
// `remedy` says what is supported where `node` is.
absl::Status RefuseUnsupported(const OnnxGraph& graph, const onnx::NodeProto& node,
                               absl::string_view remedy);

}  // namespace ese
