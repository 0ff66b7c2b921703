// SPDX-License-Identifier: Apache-2.0
#include "compiler/onnx/tail.h"

#include <algorithm>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "compiler/safetensors.h"

namespace ese {
namespace {

using onnx::NodeProto;

// The first opset whose softmax is over one axis. Before it, a softmax is over its axis and all
// axes behind it, and the default is axis 1.
constexpr int64_t kOpsetOfOneAxis = 13;

absl::Status CheckSoftmax(const OnnxGraph& graph, const NodeProto& node, const OnnxAxes& axes) {
  const bool is_one_axis = graph.Opset() >= kOpsetOfOneAxis;
  const auto* attribute = FindAttribute(node, "axis");
  const auto rank = static_cast<int64_t>(axes.size());
  int64_t axis = is_one_axis ? -1 : 1;
  if (attribute != nullptr) axis = attribute->i();
  if (axis < 0) axis += rank;
  if (axis < 0 || axis >= rank) return graph.Refuse(node, "has an axis out of range");
  OnnxAxes over = axes.substr(axis, is_one_axis ? 1 : OnnxAxes::npos);
  if (over.size() > 1) {
    over.erase(
        std::remove_if(over.begin(), over.end(), [](char a) { return a == 'D' || a == 'U'; }),
        over.end());
  }
  if (over == "C") return absl::OkStatus();
  return graph.Refuse(node, "is over axis ", axis,
                      ", which is not the axis of the units; a softmax of the output must be over "
                      "the units of one frame, so correct its axis and export again");
}

absl::Status CheckSum(const OnnxGraph& graph, const NodeProto& node, const OnnxAxes& axes) {
  for (const std::string& input : node.input()) {
    if (!graph.IsConstant(input)) continue;
    const auto tensor = graph.Floats(input);
    if (!tensor.ok()) return graph.Refuse(node, tensor.status().message());
    ESE_RETURN_IF_ERROR(CheckBias(graph, node, tensor->shape, axes));
  }
  return absl::OkStatus();
}

}  // namespace

bool IsSoftmax(const NodeProto& node) {
  const std::string type = OnnxType(node);
  return type == "Softmax" || type == "LogSoftmax";
}

absl::Status CheckBias(const OnnxGraph& graph, const NodeProto& node,
                       const std::vector<int64_t>& shape, const OnnxAxes& axes) {
  bool fits = shape.size() <= axes.size();
  for (size_t k = 0; fits && k < shape.size(); ++k) {
    fits = shape[k] == 1 || axes[axes.size() - shape.size() + k] == 'C';
  }
  if (fits) return absl::OkStatus();
  return graph.Refuse(node, "adds a constant of shape ", ShapeText(shape),
                      ", which differs between frames or adds axes; a bias has one number per "
                      "unit, along the axis of the units");
}

absl::Status FollowTail(const OnnxGraph& graph, const std::vector<const NodeProto*>& nodes,
                        int units, OnnxAxes axes, KnownAxes* known) {
  for (const NodeProto* node : nodes) {
    if (IsSoftmax(*node)) {
      ESE_RETURN_IF_ERROR(CheckSoftmax(graph, *node, axes));
    } else if (OnnxType(*node) == "Add") {
      ESE_RETURN_IF_ERROR(CheckSum(graph, *node, axes));
    } else {
      ESE_RETURN_IF_ERROR(ApplyShapeNode(graph, *known, *node, units, &axes));
    }
    known->values[node->output(0)] = {axes, units};
  }
  return absl::OkStatus();
}

}  // namespace ese
