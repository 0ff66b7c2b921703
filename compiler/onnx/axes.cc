// SPDX-License-Identifier: Apache-2.0
#include "compiler/onnx/axes.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "compiler/onnx/shapes.h"

namespace ese {
namespace {

bool IsOne(char axis) { return axis == 'D' || axis == 'U'; }

void RemoveOnes(OnnxAxes* axes) {
  axes->erase(std::remove_if(axes->begin(), axes->end(), IsOne), axes->end());
}

class Applier {
 public:
  Applier(const OnnxGraph& graph, const KnownAxes& known, const onnx::NodeProto& node, int channels,
          OnnxAxes* axes)
      : graph_(graph), known_(known), node_(node), channels_(channels), axes_(*axes) {}

  absl::Status Apply() {
    const std::string type = OnnxType(node_);
    if (type == "Transpose") return Transpose();
    if (type == "Squeeze") return Squeeze();
    if (type == "Unsqueeze") return Unsqueeze();
    if (type == "Reshape") return Reshape();
    if (type == "Gather") return Gather();
    return absl::OkStatus();
  }

 private:
  absl::Status Refuse(absl::string_view what) const {
    return graph_.Refuse(
        node_, what,
        "; between layers, shapes may change but time, batch and channels may not mix");
  }

  // The axes in the attribute `name` or, since opset 13, in the second input, made non-negative.
  absl::StatusOr<std::vector<int64_t>> List(const char* name, int64_t rank) const {
    auto list = graph_.AttributeOrInput(node_, name, 1);
    if (!list.ok()) return Refuse(list.status().message());
    for (int64_t& axis : *list) {
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
    if (list.empty()) return SqueezeAll();
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

  // Without a list, a Squeeze removes whichever axes have the length 1 at run time.
  absl::Status SqueezeAll() {
    RemoveOnes(&axes_);
    OnnxAxes kept;
    for (const char axis : axes_) {
      const std::optional<int64_t> length =
          axis == 'C' ? channels_ : Length({1, OnnxAxes(1, axis == 'N' ? 'T' : axis)});
      if (axis != 'B' && length == 1) return Refuse("removes the axis of time or channels");
      if (axis == 'B' && !length) {
        return Refuse("removes the axis of batch or not, depending on its length; list its axes");
      }
      if (axis != 'B' || length != 1) kept += axis;
    }
    axes_ = kept;
    return absl::OkStatus();
  }

  absl::Status Unsqueeze() {
    ESE_ASSIGN_OR_RETURN(std::vector<int64_t> list,
                         List("axes", static_cast<int64_t>(axes_.size()) + 1));
    if (list.size() != 1) return Refuse("must add exactly one axis");
    axes_.insert(axes_.begin() + list[0], 'U');
    return absl::OkStatus();
  }

  // Accepts picking the one element of an axis of length 1, or the one stream of a batch.
  absl::Status Gather() {
    const auto* attribute = FindAttribute(node_, "axis");
    const auto rank = static_cast<int64_t>(axes_.size());
    int64_t axis = attribute == nullptr ? 0 : attribute->i();
    if (axis < 0) axis += rank;
    if (axis < 0 || axis >= rank) return Refuse("has an axis out of range");
    if (axes_[axis] == 'T') {
      return graph_.Refuse(node_,
                           "picks one frame, but a stream needs the outputs of all of them; "
                           "export the network without it");
    }
    const bool is_one = IsOne(axes_[axis]) || axes_[axis] == 'B';
    ESE_ASSIGN_OR_RETURN(const std::vector<int64_t> index, graph_.Integers(InputOf(node_, 1)));
    if (!is_one || index != std::vector<int64_t>{0}) {
      return Refuse("may pick only the one element of an axis of length 1");
    }
    axes_.erase(axis, 1);
    return absl::OkStatus();
  }

  // Leading zeros, or lengths of the same axes, keep their axes. The lengths after them may drop
  // axes of length 1, and may swap time and batch (which changes nothing for one stream) or join
  // them. The last length must be all of C: either its known length or whatever is left.
  absl::Status Reshape() {
    auto shape = ReadShape(graph_, known_, InputOf(node_, 1));
    if (!shape.ok()) return Refuse(shape.status().message());
    const std::string text = ShapeText(*shape);
    size_t kept = 0;
    while (kept < shape->size() && kept < axes_.size() && Keeps((*shape)[kept], axes_[kept])) {
      ++kept;
    }
    OnnxAxes to = axes_.substr(0, kept);
    OnnxAxes rest = axes_.substr(kept);
    shape->erase(shape->begin(), shape->begin() + kept);
    if (rest.empty() && shape->empty()) return absl::OkStatus();
    RemoveOnes(&rest);
    const bool joins = shape->size() == 2 && rest.size() == 3;
    const bool splits = shape->size() == 3 && rest == "NC";
    if (!EndsWithChannels(*shape, rest) || (shape->size() != rest.size() && !joins && !splits)) {
      return Refuse(absl::StrCat("the shape ", text, " does not keep ", channels_,
                                 " channels apart; give it that length in the last place"));
    }
    if (joins) {
      rest = "NC";
    } else {
      if (splits) rest = "TBC";
      if (!NameAxes(*shape, &rest)) {
        return Refuse(absl::StrCat("the shape ", text, " does not keep time and batch"));
      }
    }
    axes_ = to + rest;
    return absl::OkStatus();
  }

  static bool Keeps(const OnnxLength& length, char axis) {
    if (length.number == 0) return true;
    return length.number == 1 && !length.axes.empty() &&
           length.axes == Factors(std::string(1, axis));
  }

  // Orders the letters *rest as the lengths of `shape` do, of which there are as many. Returns
  // false if that is not certain for one stream.
  bool NameAxes(const std::vector<OnnxLength>& shape, OnnxAxes* rest) const {
    OnnxAxes left = *rest;  // the axes that no length has named yet
    left.pop_back();        // EndsWithChannels() is true
    OnnxAxes names(left.size(), ' ');
    const auto name = [&](size_t k, char axis) {
      const size_t found = left.find(axis);
      if (found == OnnxAxes::npos) return false;
      left.erase(found, 1);
      names[k] = axis;
      return true;
    };
    for (size_t k = 0; k < names.size(); ++k) {
      const OnnxAxes& axes = shape[k].axes;
      if (axes.empty()) continue;
      if (shape[k].number != 1 || !name(k, axes == "BT" ? 'N' : axes[0]) ||
          (axes.size() > 1 && axes != "BT")) {
        return false;
      }
    }
    // A number stands for the axis at its place if that has this length.
    for (size_t k = 0; k < names.size(); ++k) {
      if (names[k] == ' ' && shape[k].number == Length({1, OnnxAxes(1, (*rest)[k])})) {
        name(k, (*rest)[k]);
      }
    }
    // A length of 1 is the batch of one stream, and the only number left is what remains.
    for (size_t k = 0; k < names.size(); ++k) {
      if (names[k] == ' ' && shape[k].number == 1) name(k, 'B');
    }
    const size_t last = names.find(' ');
    if (left.size() == 1) names[last] = left[0];
    if (left.size() > 1) return false;
    *rest = names + "C";
    return true;
  }

  // True if the last length of `shape` is exactly C, given that `shape` reshapes the axes `rest`.
  bool EndsWithChannels(const std::vector<OnnxLength>& shape, const OnnxAxes& rest) const {
    if (shape.empty() || rest.empty() || rest.back() != 'C') return false;
    const OnnxLength& last = shape.back();
    if (!last.axes.empty()) return false;
    if (rest == "C" || last.number == channels_) return true;
    if (last.number != -1) return false;
    // -1 is exactly C if the other lengths multiply to those of all axes before C.
    OnnxLength others;
    for (size_t k = 0; k + 1 < shape.size(); ++k) {
      if (shape[k].number < 1 ||
          __builtin_mul_overflow(others.number, shape[k].number, &others.number)) {
        return false;
      }
      others.axes += shape[k].axes;
    }
    const OnnxLength before_channels = {1, Factors(rest)};
    if (others.number == 1 && Factors(others.axes) == before_channels.axes) return true;
    const std::optional<int64_t> length = Length(others);
    return length && length == Length(before_channels);
  }

  // The length as a number, if the graph was exported for a fixed length.
  std::optional<int64_t> Length(const OnnxLength& length) const {
    int64_t product = length.number;
    for (const char axis : length.axes) {
      const auto it = known_.lengths.find(axis);
      if (it == known_.lengths.end() || __builtin_mul_overflow(product, it->second, &product)) {
        return std::nullopt;
      }
    }
    return product;
  }

  const OnnxGraph& graph_;
  const KnownAxes& known_;
  const onnx::NodeProto& node_;
  const int channels_;
  OnnxAxes& axes_;
};

}  // namespace

bool IsShapeNode(const OnnxGraph& graph, const onnx::NodeProto& node) {
  static const auto* const kTypes = new std::set<std::string>{"Dropout", "Identity",  "Reshape",
                                                              "Squeeze", "Transpose", "Unsqueeze"};
  const std::string type = OnnxType(node);
  if (type == "Gather") return graph.IsScalar(InputOf(node, 1));
  return kTypes->count(type) > 0 || IsFloatCast(node);
}

absl::Status ApplyShapeNode(const OnnxGraph& graph, const KnownAxes& known,
                            const onnx::NodeProto& node, int channels, OnnxAxes* axes) {
  return Applier(graph, known, node, channels, axes).Apply();
}

}  // namespace ese
