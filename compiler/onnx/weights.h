// SPDX-License-Identifier: Apache-2.0
// Reads weights that the ONNX graph itself assembles from constants.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "compiler/onnx/graph.h"

namespace ese {

// Reads a constant as OnnxGraph::Floats does, or what Slice, Concat and Unsqueeze of the outermost
// axis make of constants. PyTorch's exporter writes such nodes to bring the gates into ONNX's order
// when it does not fold constants. Errors are as for Floats, or name a node that does anything
// else.
absl::StatusOr<OnnxTensor> ReadOnnxWeight(const OnnxGraph& graph, const std::string& value);

}  // namespace ese
