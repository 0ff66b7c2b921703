// SPDX-License-Identifier: Apache-2.0
// Understands the nodes behind the output layer's product before the importer drops them.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "compiler/onnx/axes.h"
#include "compiler/onnx/graph.h"

namespace ese {

// True for Softmax and LogSoftmax.
bool IsSoftmax(const onnx::NodeProto& node);

// Returns INVALID_ARGUMENT, naming the node, unless a constant of this shape adds one number to
// each channel of a value with these axes, or one number to all of them.
absl::Status CheckBias(const OnnxGraph& graph, const onnx::NodeProto& node,
                       const std::vector<int64_t>& shape, const OnnxAxes& axes);

// Follows the axes from the product of the output layer to the graph's first output. `nodes` are
// shape nodes, Adds of a constant, and softmaxes, in order of execution; `axes` are those of the
// product and `units` is the length of its axis C. Adds the values to *known. Returns
// INVALID_ARGUMENT, naming the node, if a shape node regroups units or loses frames, if a bias is
// not one number per unit, or if a softmax is not over the units of one frame.
absl::Status FollowTail(const OnnxGraph& graph, const std::vector<const onnx::NodeProto*>& nodes,
                        int units, OnnxAxes axes, KnownAxes* known);

}  // namespace ese
