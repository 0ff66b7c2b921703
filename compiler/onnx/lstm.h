// SPDX-License-Identifier: Apache-2.0
// Reads one LSTM node of an ONNX graph.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "compiler/network.h"
#include "compiler/onnx/graph.h"

namespace ese {

// True if X is [batch, time, inputs] and Y is [batch, time, directions, cells] (layout 1).
// Otherwise they are [time, batch, inputs] and [time, directions, batch, cells].
bool IsBatchFirst(const onnx::NodeProto& lstm);

// The layer that a node computes. A notice names an initial state that the graph's caller provides.
// Returns INVALID_ARGUMENT for an LSTM that cannot stream or that the fixed-point cell cannot
// reproduce, and for a weight that is not constant, has the wrong shape or is not finite. The
// message names the node and the remedy.
absl::StatusOr<BasicNetworkLayer<DenseMatrix>> ReadOnnxLstm(const OnnxGraph& graph,
                                                            const onnx::NodeProto& node,
                                                            std::vector<std::string>* notices);

}  // namespace ese
