// SPDX-License-Identifier: Apache-2.0
// Looking things up in an ONNX graph.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
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

// One parsed model. Errors are INVALID_ARGUMENT, name the value or tensor and the remedy.
// A weight or a shape takes few nodes; a file may have more, in circles or one below the other.
inline constexpr int kMaxNodesOfAConstant = 200;

class OnnxGraph {
 public:
  // Refuses a name that two tensors or two outputs of nodes have.
  static absl::StatusOr<OnnxGraph> Parse(const std::string& bytes);

  const onnx::GraphProto& proto() const { return model_->graph(); }
  // "node 'LSTM_3' (LSTM)", or by its place where it has no name.
  std::string Describe(const onnx::NodeProto& node) const;
  // INVALID_ARGUMENT with the node in front.
  template <typename... Parts>
  absl::Status Refuse(const onnx::NodeProto& node, const Parts&... what) const {
    return absl::InvalidArgumentError(absl::StrCat(Describe(node), ": ", what...));
  }
  // The node that computes a value, or null.
  const onnx::NodeProto* Producer(const std::string& value) const;
  // Whether the caller of the graph gives this value.
  bool IsInput(const std::string& value) const;
  // The shape that the graph declares for its input, -1 for a length that it leaves open; empty
  // where it declares none.
  std::vector<int64_t> InputShape(const std::string& value) const;
  bool IsConstant(const std::string& value) const;
  // Where a value comes from, seen through nodes that only move, repeat or pick elements.
  std::string Origin(const std::string& value) const;
  // Whether all elements of a constant, or of a ConstantOfShape, are zero.
  bool IsZero(const std::string& value) const;

  // A constant of floating-point type: an initializer or a Constant node, also seen through
  // Identity, Cast to another such type, a Transpose of two dimensions, and Unsqueeze and Squeeze
  // (which leave `shape` as it was).
  absl::StatusOr<OnnxTensor> Floats(const std::string& value) const;
  // A constant list of integers, or a single one.
  absl::StatusOr<std::vector<int64_t>> Integers(const std::string& value) const;
  // A list of integers that is an attribute or, in later opsets, a constant input; empty where it
  // was left out.
  absl::StatusOr<std::vector<int64_t>> AttributeOrInput(const onnx::NodeProto& node,
                                                        const std::string& name, int input) const;
  // Whether a value is a constant without dimensions.
  bool IsScalar(const std::string& value) const;

 private:
  absl::Status Index();
  const onnx::TensorProto* FindTensor(const std::string& value) const;
  absl::Status NoTensor(const std::string& value) const;

  std::unique_ptr<onnx::ModelProto> model_;
  std::map<std::string, const onnx::TensorProto*> initializers_;
  std::map<std::string, const onnx::NodeProto*> producers_;
};

// "LSTM" for a node of ONNX's own operators, "domain.LSTM" for one of another set.
std::string OnnxType(const onnx::NodeProto& node);
// Whether a Cast leaves real numbers what they are, but for their precision.
bool IsFloatCast(const onnx::NodeProto& node);
// The attribute of this name, or null.
const onnx::AttributeProto* FindAttribute(const onnx::NodeProto& node, const std::string& name);
// Input `index`, "" where the node has none.
std::string InputOf(const onnx::NodeProto& node, int index);

}  // namespace ese
