// SPDX-License-Identifier: Apache-2.0
// Which axis of a value is which, through the nodes that only change shapes.
#pragma once

#include <map>
#include <string>

#include "absl/status/status.h"
#include "compiler/onnx/graph.h"

namespace ese {

// One letter an axis, the outermost first: T time, B batch, D directions (always 1), C channels
// (cells or features), U an axis of 1 that was put in, N time and batch in one.
using OnnxAxes = std::string;

// What was found out so far. Shapes that a graph computes are made of the lengths of these axes.
struct KnownAxes {
  struct Value {
    OnnxAxes axes;
    int channels = 0;  // the length of axis C
  };
  std::map<std::string, Value> values;
  std::map<char, int64_t> lengths;  // of T and B, where the graph was exported for one length
};

// Whether a node only changes shapes, or nothing at all: by its type, a Gather by its picking one
// element, a Cast by its leaving real numbers.
bool IsShapeNode(const OnnxGraph& graph, const onnx::NodeProto& node);

// What the axes are behind such a node; `channels` is the length of axis C. INVALID_ARGUMENT naming
// the node where they cannot be told, where C would not stay whole and innermost after a Reshape,
// or where frames would be lost.
absl::Status ApplyShapeNode(const OnnxGraph& graph, const KnownAxes& known,
                            const onnx::NodeProto& node, int channels, OnnxAxes* axes);

}  // namespace ese
