// SPDX-License-Identifier: Apache-2.0
// Looks up nodes, constants and attributes in an ONNX graph.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "onnx/onnx.pb.h"

namespace ese {

struct OnnxTensor {
  std::vector<int64_t> shape;
  std::vector<float> values;  // row-major, all finite
};

// The most nodes that may compute one weight or one shape. A real export needs few; the limit ends
// the walk through cycles and through nodes that each double the one below.
inline constexpr int kMaxNodesOfAConstant = 200;

// One parsed model. Errors are INVALID_ARGUMENT; the message names the value or tensor and the
// remedy.
class OnnxGraph {
 public:
  // Refuses a model in which two tensors, or two outputs of nodes, have the same name.
  static absl::StatusOr<OnnxGraph> Parse(const std::string& bytes);

  const onnx::GraphProto& proto() const { return model_->graph(); }
  // The version of ONNX's own operators that the graph uses.
  int64_t Opset() const;
  // "node 'LSTM_3' (LSTM)", or "node 3 (LSTM)" for a node without a name.
  std::string Describe(const onnx::NodeProto& node) const;
  // INVALID_ARGUMENT whose message begins with the description of the node.
  template <typename... Parts>
  absl::Status Refuse(const onnx::NodeProto& node, const Parts&... what) const {
    return absl::InvalidArgumentError(absl::StrCat(Describe(node), ": ", what...));
  }
  // The node that computes a value, or null.
  const onnx::NodeProto* Producer(const std::string& value) const;
  // True if the value is an input that the caller of the graph provides.
  bool IsInput(const std::string& value) const;
  // The shape that the graph declares for its input, with -1 for an open length. Empty if it
  // declares none.
  std::vector<int64_t> InputShape(const std::string& value) const;
  // True if the value comes from a constant, seen through nodes that only move elements.
  bool IsConstant(const std::string& value) const;
  // The value that this one comes from, seen through nodes that only move, repeat or pick elements.
  std::string Origin(const std::string& value) const;
  // True if the value is a constant or a ConstantOfShape whose elements are all zero.
  bool IsZero(const std::string& value) const;

  // A floating-point constant: an initializer or a Constant node, seen through Identity, Cast to
  // another floating-point type, Transpose of two dimensions, Unsqueeze and Squeeze. The last two
  // do not change the returned `shape`.
  absl::StatusOr<OnnxTensor> Floats(const std::string& value) const;
  // A constant list of integers, or a single one.
  absl::StatusOr<std::vector<int64_t>> Integers(const std::string& value) const;
  // A list of integers that is an attribute or, in later opsets, a constant input. Empty if it was
  // left out.
  absl::StatusOr<std::vector<int64_t>> AttributeOrInput(const onnx::NodeProto& node,
                                                        const std::string& name, int input) const;
  // The length of the last axis of a constant, of a ConstantOfShape or of an input, if the file
  // says it.
  std::optional<int64_t> LastLength(const std::string& value) const;
  // True if the value is a constant without dimensions.
  bool IsScalar(const std::string& value) const;

 private:
  absl::Status Index();
  const onnx::TensorProto* FindTensor(const std::string& value) const;
  absl::StatusOr<std::string> StoredName(const std::string& value, bool* transposed) const;
  absl::Status NoTensor(const std::string& value) const;

  std::unique_ptr<onnx::ModelProto> model_;
  std::map<std::string, const onnx::TensorProto*> initializers_;
  std::map<std::string, const onnx::NodeProto*> producers_;
};

// "LSTM" for one of ONNX's own operators, "domain.LSTM" for an operator of another set.
std::string OnnxType(const onnx::NodeProto& node);
// True if the node is a Cast to a floating-point type.
bool IsFloatCast(const onnx::NodeProto& node);
// The attribute of this name, or null.
const onnx::AttributeProto* FindAttribute(const onnx::NodeProto& node, const std::string& name);
// The name of input `index`, or "" if the node has none.
std::string InputOf(const onnx::NodeProto& node, int index);

}  // namespace ese
