// SPDX-License-Identifier: Apache-2.0
// Tracks the meaning of each axis of a value through the nodes that only change shapes.
#pragma once

#include <map>
#include <string>

#include "absl/status/status.h"
#include "compiler/onnx/graph.h"

namespace ese {

// One letter per axis, the outermost first: T time, B batch, D directions (always of length 1),
// C channels (cells or features), U an inserted axis of length 1, N time and batch joined in one.
using OnnxAxes = std::string;

// The values whose axes are known so far. The shapes that a graph computes are made of the lengths
// of these axes.
struct KnownAxes {
  struct Value {
    OnnxAxes axes;
    int channels = 0;  // the length of axis C
  };
  std::map<std::string, Value> values;
  std::map<char, int64_t> lengths;  // of T and B, if the graph was exported for a fixed length
};

// True if a node only changes the shape of its input, or nothing at all. A Gather counts if it
// picks one element, and a Cast if its result is of a floating-point type.
bool IsShapeNode(const OnnxGraph& graph, const onnx::NodeProto& node);

// Changes *axes from the axes of the node's input to those of its output. REQUIRES: IsShapeNode().
// `channels` is the length of axis C. Returns INVALID_ARGUMENT if the axes cannot be determined, if
// a Reshape would not keep C whole and innermost, or if frames would be lost. The message names the
// node.
absl::Status ApplyShapeNode(const OnnxGraph& graph, const KnownAxes& known,
                            const onnx::NodeProto& node, int channels, OnnxAxes* axes);

}  // namespace ese
