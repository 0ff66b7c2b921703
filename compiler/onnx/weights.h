// SPDX-License-Identifier: Apache-2.0
// Weights that an ONNX graph itself puts together.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "compiler/onnx/graph.h"

namespace ese {

// A constant as of OnnxGraph::Floats, or what Slice, Concat and Unsqueeze of the outermost axis
// make of constants: PyTorch's exporter brings gates into ONNX's order so where it does not fold
// them. INVALID_ARGUMENT as of Floats, or naming the node that does something else.
absl::StatusOr<OnnxTensor> ReadOnnxWeight(const OnnxGraph& graph, const std::string& value);

}  // namespace ese
