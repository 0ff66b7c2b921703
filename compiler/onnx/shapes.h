// SPDX-License-Identifier: Apache-2.0
// Evaluates the shapes that a graph computes for its Reshape nodes, such as [batch * time, -1].
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "compiler/onnx/axes.h"
#include "compiler/onnx/graph.h"

namespace ese {

// One length of a shape.
struct OnnxLength {
  int64_t number = 1;  // -1: inferred from the rest; 0: the length of the input's axis
  OnnxAxes axes;  // letters T and B; the length is the product of theirs and a positive `number`
};

// The shape that `value` holds: a constant list, or one that Concat, Gather, Mul and similar nodes
// compute from constants and from the Shapes of known values. Returns INVALID_ARGUMENT for any
// other node; the message names it.
absl::StatusOr<std::vector<OnnxLength>> ReadShape(const OnnxGraph& graph, const KnownAxes& known,
                                                  const std::string& value);

// "[batch * time, 7, -1]".
std::string ShapeText(const std::vector<OnnxLength>& shape);

// The axes whose lengths multiply to that of `axes`, in alphabetical order. N becomes BT; axes of
// length 1 and C are left out.
OnnxAxes Factors(const OnnxAxes& axes);

}  // namespace ese
