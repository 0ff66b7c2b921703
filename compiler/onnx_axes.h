// Which axis of a value is which, through the nodes that only change shapes.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "compiler/onnx_graph.h"

namespace ese {

// One letter an axis, the outermost first: T time, B batch, D directions (always 1), C channels
// (cells or features), U an axis of 1 that was put in, N time and batch in one.
using OnnxAxes = std::string;

// Whether a node of this type only changes shapes, or nothing at all.
bool IsShapeNode(const onnx::NodeProto& node);

// What the axes are behind such a node; `channels` is the length of axis C. INVALID_ARGUMENT naming
// the node where they cannot be told, or where C would not stay whole and innermost after a
// Reshape.
absl::Status ApplyShapeNode(const OnnxGraph& graph, const onnx::NodeProto& node, int channels,
                            OnnxAxes* axes);

}  // namespace ese
