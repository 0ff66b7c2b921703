// SPDX-License-Identifier: Apache-2.0
#include "compiler/onnx/shapes.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"

namespace ese {
namespace {

using Shape = std::vector<OnnxLength>;

constexpr size_t kMaxLengths = 16;

class ShapeReader {
 public:
  ShapeReader(const OnnxGraph& graph, const KnownAxes& known) : graph_(graph), known_(known) {}

  absl::StatusOr<Shape> Read(const std::string& value) {
    auto constant = graph_.Integers(value);
    const onnx::NodeProto* node = graph_.Producer(value);
    if (constant.ok() || node == nullptr) return Constant(constant);
    if (--nodes_left_ < 0) return Refuse(*node, "is one of too many for a shape");
    const std::string type = OnnxType(*node);
    if (type == "Shape") return ShapeOf(*node);
    if (type == "Gather") return Gather(*node);
    if (type == "Concat") return Concat(*node);
    if (type == "Mul") return Multiply(*node);
    if (type == "Slice") return Slice(*node);
    if (type == "Reshape") return Reshape(*node);
    if (type == "Cast" || type == "Identity" || type == "Squeeze" || type == "Unsqueeze") {
      return Read(InputOf(*node, 0));
    }
    return Refuse(*node, "computes a shape that does not follow from those of the layers");
  }

 private:
  absl::Status Refuse(const onnx::NodeProto& node, absl::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat("its shape: ", graph_.Describe(node), " ", what,
                                                   "; export with constant shapes"));
  }

  static absl::StatusOr<Shape> Constant(const absl::StatusOr<std::vector<int64_t>>& numbers) {
    ESE_RETURN_IF_ERROR(numbers.status());
    if (numbers->size() > kMaxLengths) {
      return absl::InvalidArgumentError(
          absl::StrCat("its shape has ", numbers->size(), " axes, which are too many"));
    }
    Shape shape;
    for (const int64_t number : *numbers) shape.push_back({number, ""});
    return shape;
  }

  absl::StatusOr<Shape> ShapeOf(const onnx::NodeProto& node) const {
    const auto it = known_.values.find(InputOf(node, 0));
    if (it == known_.values.end() || node.attribute_size() > 0) {
      return Refuse(node, "is the shape of something other than a layer or the input");
    }
    Shape shape;
    for (const char axis : it->second.axes) {
      if (axis == 'C') {
        shape.push_back({it->second.channels, ""});
      } else {
        shape.push_back({1, Factors(std::string(1, axis))});
      }
    }
    return shape;
  }

  absl::StatusOr<Shape> Gather(const onnx::NodeProto& node) {
    ESE_ASSIGN_OR_RETURN(const Shape from, Read(InputOf(node, 0)));
    ESE_ASSIGN_OR_RETURN(const std::vector<int64_t> indices, graph_.Integers(InputOf(node, 1)));
    const auto size = static_cast<int64_t>(from.size());
    Shape shape;
    for (const int64_t index : indices) {
      if (index < -size || index >= size) return Refuse(node, "picks an axis that is not there");
      shape.push_back(from[index < 0 ? index + size : index]);
      if (shape.size() > kMaxLengths) return Refuse(node, "picks too many axes");
    }
    return shape;
  }

  // A part of a list, such as x.shape[:2].
  absl::StatusOr<Shape> Slice(const onnx::NodeProto& node) {
    ESE_ASSIGN_OR_RETURN(const Shape from, Read(InputOf(node, 0)));
    std::vector<std::vector<int64_t>> bounds;
    int input = 1;
    for (const char* name : {"starts", "ends", "axes", "steps"}) {
      ESE_ASSIGN_OR_RETURN(auto list, graph_.AttributeOrInput(node, name, input++));
      bounds.push_back(std::move(list));
    }
    const std::vector<int64_t>&starts = bounds[0], &ends = bounds[1], &axes = bounds[2],
          &steps = bounds[3];
    if (starts.size() != 1 || ends.size() != 1 ||
        (!axes.empty() && axes[0] != 0 && axes[0] != -1) || (!steps.empty() && steps[0] != 1)) {
      return Refuse(node, "picks other than successive lengths");
    }
    const auto size = static_cast<int64_t>(from.size());
    const auto place = [&](int64_t k) {
      return std::clamp(k < 0 ? k + size : k, int64_t{0}, size);
    };
    const int64_t begin = place(starts[0]);
    return Shape(from.begin() + begin, from.begin() + std::max(begin, place(ends[0])));
  }

  // A single length as a list, or as a number without dimensions.
  absl::StatusOr<Shape> Reshape(const onnx::NodeProto& node) {
    ESE_ASSIGN_OR_RETURN(const Shape from, Read(InputOf(node, 0)));
    ESE_ASSIGN_OR_RETURN(const std::vector<int64_t> shape, graph_.Integers(InputOf(node, 1)));
    if (shape.size() > 1) return Refuse(node, "makes a table of lengths");
    return from;
  }

  absl::StatusOr<Shape> Concat(const onnx::NodeProto& node) {
    Shape shape;
    for (const std::string& input : node.input()) {
      ESE_ASSIGN_OR_RETURN(const Shape part, Read(input));
      shape.insert(shape.end(), part.begin(), part.end());
      if (shape.size() > kMaxLengths) return Refuse(node, "joins too many axes");
    }
    return shape;
  }

  absl::StatusOr<Shape> Multiply(const onnx::NodeProto& node) {
    ESE_ASSIGN_OR_RETURN(Shape product, Read(InputOf(node, 0)));
    ESE_ASSIGN_OR_RETURN(const Shape factor, Read(InputOf(node, 1)));
    const auto is_one_length = [](const Shape& s) { return s.size() == 1 && s[0].number > 0; };
    if (!is_one_length(product) || !is_one_length(factor) ||
        __builtin_mul_overflow(product[0].number, factor[0].number, &product[0].number)) {
      return Refuse(node, "does not multiply two lengths");
    }
    product[0].axes = Factors(product[0].axes + factor[0].axes);
    if (product[0].axes.size() > kMaxLengths) return Refuse(node, "multiplies too many lengths");
    return product;
  }

  const OnnxGraph& graph_;
  const KnownAxes& known_;
  int nodes_left_ = kMaxNodesOfAConstant;
};

}  // namespace

absl::StatusOr<std::vector<OnnxLength>> ReadShape(const OnnxGraph& graph, const KnownAxes& known,
                                                  const std::string& value) {
  return ShapeReader(graph, known).Read(value);
}

std::string ShapeText(const std::vector<OnnxLength>& shape) {
  std::vector<std::string> lengths;
  for (const OnnxLength& length : shape) {
    std::vector<std::string> factors;
    for (const char axis : length.axes) factors.push_back(axis == 'T' ? "time" : "batch");
    if (length.number != 1 || factors.empty()) factors.push_back(absl::StrCat(length.number));
    lengths.push_back(absl::StrJoin(factors, " * "));
  }
  return absl::StrCat("[", absl::StrJoin(lengths, ", "), "]");
}

OnnxAxes Factors(const OnnxAxes& axes) {
  OnnxAxes factors;
  for (const char axis : axes) {
    if (axis == 'N') factors += "BT";
    if (axis == 'B' || axis == 'T') factors += axis;
  }
  std::sort(factors.begin(), factors.end());
  return factors;
}

}  // namespace ese
