// Looking things up in an ONNX graph.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "onnx/onnx.pb.h"

namespace ese {

struct OnnxTensor {
  std::vector<int64_t> shape;
  std::vector<float> values;  // row-major, all finite
};

// One parsed model. Errors are INVALID_ARGUMENT, name the value or tensor and the remedy.
class OnnxGraph {
 public:
  static absl::StatusOr<OnnxGraph> Parse(const std::string& bytes);

  const onnx::GraphProto& proto() const { return model_->graph(); }
  // "node 'LSTM_3' (LSTM)", or by its place where it has no name.
  std::string Describe(const onnx::NodeProto& node) const;
  // The node that computes a value, or null.
  const onnx::NodeProto* Producer(const std::string& value) const;
  // Whether the caller of the graph gives this value.
  bool IsInput(const std::string& value) const;
  bool IsConstant(const std::string& value) const;
  // Where a value comes from, seen through nodes that only move, repeat or pick elements.
  std::string Origin(const std::string& value) const;
  // Whether all elements of a constant, or of a ConstantOfShape, are zero.
  bool IsZero(const std::string& value) const;

  // A constant of floating-point type: an initializer or a Constant node, also seen through
  // Identity, Cast, a Transpose of two dimensions, and Unsqueeze and Squeeze (which leave `shape`
  // as it was).
  absl::StatusOr<OnnxTensor> Floats(const std::string& value) const;
  // A constant list of integers.
  absl::StatusOr<std::vector<int64_t>> Integers(const std::string& value) const;

 private:
  const onnx::TensorProto* FindTensor(const std::string& value) const;

  std::unique_ptr<onnx::ModelProto> model_;
  std::map<std::string, const onnx::TensorProto*> initializers_;
  std::map<std::string, const onnx::NodeProto*> producers_;
};

// The attribute of this name, or null.
const onnx::AttributeProto* FindAttribute(const onnx::NodeProto& node, const std::string& name);
// Input `index`, "" where the node has none.
std::string InputOf(const onnx::NodeProto& node, int index);

}  // namespace ese
