#include "compiler/onnx_axes.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"

namespace ese {
namespace {

bool IsOne(char axis) { return axis == 'D' || axis == 'U'; }

void RemoveOnes(OnnxAxes* axes) {
  axes->erase(std::remove_if(axes->begin(), axes->end(), IsOne), axes->end());
}

class Applier {
 public:
  Applier(const OnnxGraph& graph, const onnx::NodeProto& node, int channels, OnnxAxes* axes)
      : graph_(graph), node_(node), channels_(channels), axes_(*axes) {}

  absl::Status Apply() {
    const std::string& type = node_.op_type();
    if (type == "Transpose") return Transpose();
    if (type == "Squeeze") return Squeeze();
    if (type == "Unsqueeze") return Unsqueeze();
    if (type == "Reshape") return Reshape();
    return absl::OkStatus();
  }

 private:
  absl::Status Refuse(absl::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat(
        graph_.Describe(node_), ": ", what,
        "; between layers, shapes may change but time, batch and channels may not mix"));
  }

  // The attribute `name`, or since opset 13 the second input, not negative.
  absl::StatusOr<std::vector<int64_t>> List(const char* name, int64_t rank) const {
    std::vector<int64_t> list;
    const auto* attribute = FindAttribute(node_, name);
    if (attribute != nullptr) {
      list.assign(attribute->ints().begin(), attribute->ints().end());
    } else if (!InputOf(node_, 1).empty()) {
      auto integers = graph_.Integers(InputOf(node_, 1));
      if (!integers.ok()) return Refuse(integers.status().message());
      list = *std::move(integers);
    }
    for (int64_t& axis : list) {
      if (axis < 0) axis += rank;
      if (axis < 0 || axis >= rank) return Refuse("has an axis out of range");
    }
    return list;
  }

  absl::Status Transpose() {
    const auto rank = static_cast<int64_t>(axes_.size());
    ESE_ASSIGN_OR_RETURN(const std::vector<int64_t> order, List("perm", rank));
    if (order.empty()) return std::reverse(axes_.begin(), axes_.end()), absl::OkStatus();
    OnnxAxes to;
    for (const int64_t axis : order) to.push_back(axes_[axis]);
    if (!std::is_permutation(to.begin(), to.end(), axes_.begin(), axes_.end())) {
      return Refuse(
          absl::StrCat("perm [", absl::StrJoin(order, ", "), "] does not fit ", rank, " axes"));
    }
    axes_ = to;
    return absl::OkStatus();
  }

  absl::Status Squeeze() {
    ESE_ASSIGN_OR_RETURN(const std::vector<int64_t> list,
                         List("axes", static_cast<int64_t>(axes_.size())));
    if (list.empty()) return RemoveOnes(&axes_), absl::OkStatus();
    for (const int64_t axis : list) {
      // A batch of one stream may be squeezed away as well.
      if (!IsOne(axes_[axis]) && axes_[axis] != 'B') {
        return Refuse("removes the axis of time or channels");
      }
      axes_[axis] = ' ';
    }
    axes_.erase(std::remove(axes_.begin(), axes_.end(), ' '), axes_.end());
    return absl::OkStatus();
  }

  absl::Status Unsqueeze() {
    ESE_ASSIGN_OR_RETURN(std::vector<int64_t> list,
                         List("axes", static_cast<int64_t>(axes_.size()) + 1));
    if (list.size() != 1) return Refuse("adds not one axis but several or none");
    axes_.insert(axes_.begin() + list[0], 'U');
    return absl::OkStatus();
  }

  // Leading zeros keep their axes. What follows may drop axes of 1 and join time with batch; the
  // last is C, whole: all that is left, or of the known length.
  absl::Status Reshape() {
    auto shape = graph_.Integers(InputOf(node_, 1));
    if (!shape.ok()) return Refuse(shape.status().message());
    size_t kept = 0;
    while (kept < shape->size() && kept < axes_.size() && (*shape)[kept] == 0) ++kept;
    OnnxAxes to = axes_.substr(0, kept);
    OnnxAxes rest = axes_.substr(kept);
    if (rest.empty() && kept == shape->size()) return absl::OkStatus();
    RemoveOnes(&rest);
    const size_t left = shape->size() - kept;
    const int64_t last = shape->empty() ? 0 : shape->back();
    const bool joins = left == 2 && rest.size() == 3;
    const bool whole = rest == "C" || (last == channels_ && !rest.empty() && rest.back() == 'C');
    if (!whole || (left != rest.size() && !joins)) {
      return Refuse(absl::StrCat("the shape [", absl::StrJoin(*shape, ", "), "] does not keep ",
                                 channels_, " channels apart"));
    }
    axes_ = to + (joins ? "NC" : rest);
    return absl::OkStatus();
  }

  const OnnxGraph& graph_;
  const onnx::NodeProto& node_;
  const int channels_;
  OnnxAxes& axes_;
};

}  // namespace

bool IsShapeNode(const onnx::NodeProto& node) {
  for (const char* type :
       {"Cast", "Dropout", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}) {
    if (node.op_type() == type) return true;
  }
  return false;
}

absl::Status ApplyShapeNode(const OnnxGraph& graph, const onnx::NodeProto& node, int channels,
                            OnnxAxes* axes) {
  return Applier(graph, node, channels, axes).Apply();
}

}  // namespace ese
