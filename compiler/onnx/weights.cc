// SPDX-License-Identifier: Apache-2.0
#include "compiler/onnx/weights.h"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/status.h"

namespace ese {
namespace {

using onnx::NodeProto;

class WeightReader {
 public:
  explicit WeightReader(const OnnxGraph& graph)
      : graph_(graph), max_elements_(graph.proto().ByteSizeLong()) {}

  absl::StatusOr<OnnxTensor> Read(const std::string& value) {
    const NodeProto* node = graph_.Producer(value);
    const std::string type = node == nullptr ? "" : OnnxType(*node);
    if (type != "Concat" && type != "Slice" && type != "Unsqueeze") return graph_.Floats(value);
    if (--nodes_left_ < 0) return Refuse(*node, "is one of too many");
    if (type == "Concat") return Concat(*node);
    ESE_ASSIGN_OR_RETURN(OnnxTensor tensor, Read(InputOf(*node, 0)));
    ESE_RETURN_IF_ERROR(type == "Slice" ? Slice(*node, &tensor) : Unsqueeze(*node, &tensor));
    return tensor;
  }

 private:
  absl::Status Refuse(const NodeProto& node, absl::string_view what) const {
    return graph_.Refuse(node, "it computes a weight and ", what,
                         "; export with constant folding (do_constant_folding=True)");
  }

  absl::Status Slice(const NodeProto& node, OnnxTensor* tensor) const {
    ESE_ASSIGN_OR_RETURN(const std::vector<int64_t> starts,
                         graph_.AttributeOrInput(node, "starts", 1));
    ESE_ASSIGN_OR_RETURN(const std::vector<int64_t> ends, graph_.AttributeOrInput(node, "ends", 2));
    ESE_ASSIGN_OR_RETURN(const std::vector<int64_t> axes, graph_.AttributeOrInput(node, "axes", 3));
    ESE_ASSIGN_OR_RETURN(const std::vector<int64_t> steps,
                         graph_.AttributeOrInput(node, "steps", 4));
    const bool is_plain = starts.size() == 1 && ends.size() == 1 &&
                          (axes.empty() || axes == std::vector<int64_t>{0}) &&
                          (steps.empty() || steps == std::vector<int64_t>{1});
    if (!is_plain || tensor->shape.empty())
      return Refuse(node, "slices something other than its rows");
    const int64_t rows = tensor->shape[0];
    const auto row = [&](int64_t index) {
      return std::clamp(index < 0 ? index + rows : index, int64_t{0}, rows);
    };
    const int64_t begin = row(starts[0]);
    const int64_t end = row(ends[0]);
    if (begin >= end) return Refuse(node, "slices no row");
    const auto row_size = static_cast<int64_t>(tensor->values.size()) / rows;
    tensor->values.erase(tensor->values.begin() + end * row_size, tensor->values.end());
    tensor->values.erase(tensor->values.begin(), tensor->values.begin() + begin * row_size);
    tensor->shape[0] = end - begin;
    return absl::OkStatus();
  }

  absl::Status Unsqueeze(const NodeProto& node, OnnxTensor* tensor) const {
    ESE_ASSIGN_OR_RETURN(const std::vector<int64_t> axes, graph_.AttributeOrInput(node, "axes", 1));
    if (axes != std::vector<int64_t>{0})
      return Refuse(node, "adds an axis that is not the outermost");
    tensor->shape.insert(tensor->shape.begin(), 1);
    return absl::OkStatus();
  }

  absl::StatusOr<OnnxTensor> Concat(const NodeProto& node) {
    const auto* axis = FindAttribute(node, "axis");
    if (axis == nullptr || axis->i() != 0) return Refuse(node, "joins something other than rows");
    OnnxTensor joined;
    for (const std::string& input : node.input()) {
      ESE_ASSIGN_OR_RETURN(OnnxTensor part, Read(input));
      if (part.shape.empty()) return Refuse(node, "joins a number without dimensions");
      const int64_t rows = part.shape[0];
      if (joined.shape.empty()) {
        joined = std::move(part);
        continue;
      }
      part.shape[0] = joined.shape[0];
      if (part.shape != joined.shape) return Refuse(node, "joins rows of different shapes");
      if (joined.values.size() + part.values.size() > max_elements_) {
        return Refuse(node, "makes more values than the file has");
      }
      joined.shape[0] += rows;
      joined.values.insert(joined.values.end(), part.values.begin(), part.values.end());
    }
    if (joined.shape.empty()) return Refuse(node, "joins nothing");
    return joined;
  }

  const OnnxGraph& graph_;
  const size_t max_elements_;  // reordering stored values cannot give more
  int nodes_left_ = kMaxNodesOfAConstant;
};

}  // namespace

absl::StatusOr<OnnxTensor> ReadOnnxWeight(const OnnxGraph& graph, const std::string& value) {
  return WeightReader(graph).Read(value);
}

}  // namespace ese
