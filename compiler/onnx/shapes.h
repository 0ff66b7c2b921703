// SPDX-License-Identifier: Apache-2.0
// Shapes that a graph computes for its Reshape nodes, as "batch * time, all that is left".
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
  int64_t number = 1;  // -1: what is left; 0: that of the axis at this place
  OnnxAxes axes;       // their lengths' product (letters T and B) times `number`, which is positive
};

// The shape that `value` holds: a constant list, or one that Concat, Gather, Mul and the like make
// of constants and of the Shapes of known values. INVALID_ARGUMENT naming another node.
absl::StatusOr<std::vector<OnnxLength>> ReadShape(const OnnxGraph& graph, const KnownAxes& known,
                                                  const std::string& value);

// "[batch * time, 7, -1]".
std::string ShapeText(const std::vector<OnnxLength>& shape);

// The axes that make a length, in alphabetical order: N is B and T, axes of 1 do not count.
OnnxAxes Factors(const OnnxAxes& axes);

}  // namespace ese
