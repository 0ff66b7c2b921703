// SPDX-License-Identifier: Apache-2.0
#include "compiler/onnx/unsupported.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "compiler/onnx/axes.h"
#include "compiler/onnx/tail.h"

namespace ese {
namespace {

using onnx::NodeProto;

constexpr size_t kMostNames = 20;  // in one message

bool IsProduct(const NodeProto& node) {
  const std::string type = OnnxType(node);
  return type == "Gemm" || type == "MatMul";
}

// True for nodes that compute from lengths, not from features.
bool IsOfLengths(const NodeProto& node) {
  static const auto* const kTypes =
      new std::set<std::string>{"Constant", "ConstantOfShape", "Range", "Shape", "Size"};
  return kTypes->count(node.op_type()) > 0;
}

bool IsQuantized(const NodeProto& node) {
  const std::string& type = node.op_type();
  return absl::StrContains(type, "Quantize") || absl::StartsWith(type, "QLinear") ||
         absl::EndsWith(type, "Integer");
}

bool IsOtherRecurrence(const NodeProto& node) {
  const std::string& type = node.op_type();
  if (OnnxType(node) == "LSTM") return false;
  return absl::StrContains(type, "GRU") || absl::StrContains(type, "RNN") ||
         absl::StrContains(type, "LSTM") || type == "Loop" || type == "Scan";
}

// Walks from the graph's first output to its inputs through the values that carry features.
class Walk {
 public:
  explicit Walk(const OnnxGraph& graph) : graph_(graph) {}

  std::vector<const NodeProto*> Unsupported() {
    std::vector<std::pair<std::string, bool>> values = {{graph_.proto().output(0).name(), false}};
    while (!values.empty()) {
      const auto [value, below_output_layer] = values.back();
      values.pop_back();
      const NodeProto* node = graph_.Producer(value);
      if (node == nullptr || IsOfLengths(*node) || !seen_.insert(node).second) continue;
      const bool below = below_output_layer || IsProduct(*node) || OnnxType(*node) == "LSTM";
      const bool supported = IsSupported(*node, below_output_layer);
      if (!supported) unsupported_.push_back(node);
      const bool only_first = supported && OnnxType(*node) != "Add";
      for (int k = only_first ? 0 : node->input_size() - 1; k >= 0; --k) {
        if (!graph_.IsConstant(InputOf(*node, k))) values.emplace_back(InputOf(*node, k), below);
      }
    }
    return unsupported_;
  }

 private:
  bool IsSupported(const NodeProto& node, bool below_output_layer) const {
    if (IsShapeNode(graph_, node) || OnnxType(node) == "LSTM") return true;
    return !below_output_layer && (IsProduct(node) || IsSoftmax(node) || OnnxType(node) == "Add");
  }

  const OnnxGraph& graph_;
  std::set<const NodeProto*> seen_;
  std::vector<const NodeProto*> unsupported_;
};

// The first of the nodes for which `is` is true, or null.
template <typename Predicate>
const NodeProto* First(const std::vector<const NodeProto*>& nodes, Predicate is) {
  const auto it = std::find_if(nodes.begin(), nodes.end(), [&](const auto* n) { return is(*n); });
  return it == nodes.end() ? nullptr : *it;
}

}  // namespace

absl::Status RefuseUnsupported(const OnnxGraph& graph, const NodeProto& node,
                               absl::string_view remedy) {
  const std::vector<const NodeProto*> all = Walk(graph).Unsupported();
  const NodeProto* head = &node;
  std::string why = absl::StrCat("is not supported", remedy);
  if (const NodeProto* quantized = First(all, IsQuantized)) {
    head = quantized;
    why = "is quantized; export the network in float, ese-compile quantizes it itself";
  } else if (const NodeProto* recurrence = First(all, IsOtherRecurrence)) {
    head = recurrence;
    why =
        "is not supported: of the recurrent operators, only ONNX's own LSTM can be served; train "
        "the network with LSTM layers (torch.nn.LSTM)";
  } else if (node.op_type() == "Sigmoid") {
    why =
        "is not supported: the server's posteriors are a softmax over all units. A single unit z "
        "can be served as two units with the logits 0 and z, whose softmax is its sigmoid";
  }
  std::vector<std::string> others;
  for (const NodeProto* other : all) {
    if (other != head) others.push_back(graph.Describe(*other));
  }
  if (others.empty()) return graph.Refuse(*head, why);
  const size_t left_out = others.size() - std::min(others.size(), kMostNames);
  others.resize(others.size() - left_out);
  return graph.Refuse(*head, why, ". Not supported either: ", absl::StrJoin(others, ", "),
                      left_out == 0 ? "" : absl::StrCat(" and ", left_out, " more"));
}

}  // namespace ese
