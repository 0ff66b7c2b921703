// SPDX-License-Identifier: Apache-2.0
// One LSTM node of an ONNX graph.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "compiler/network.h"
#include "compiler/onnx/graph.h"

namespace ese {

// Whether X is [batch, time, inputs] and Y [batch, time, directions, cells] (layout 1), and not
// [time, batch, inputs] and [time, directions, batch, cells].
bool IsBatchFirst(const onnx::NodeProto& lstm);

// The layer that a node computes. A notice names an initial state that the graph's caller gives.
// INVALID_ARGUMENT naming the node and the remedy: an LSTM that cannot stream, or has what the
// fixed-point cell has not, a weight that is not a constant, of the wrong shape or not finite.
absl::StatusOr<BasicNetworkLayer<DenseMatrix>> ReadOnnxLstm(const OnnxGraph& graph,
                                                            const onnx::NodeProto& node,
                                                            std::vector<std::string>* notices);

}  // namespace ese
