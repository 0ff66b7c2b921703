// SPDX-License-Identifier: Apache-2.0
#include "compiler/onnx/testing.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/test_paths.h"
#include "compiler/onnx/import.h"
#include "compiler/testing.h"

namespace ese {

using onnx::ModelProto;
using onnx::NodeProto;
using onnx::TensorProto;

std::string OnnxFolder() { return absl::StrCat(SourceDir(), "/tests/golden/compiler/onnx/"); }

absl::StatusOr<ImportedNetwork> Import(const ModelProto& model) {
  return ImportOnnx(model.SerializeAsString(), "model.onnx");
}

ModelProto PeepholesModel() { return ReadOnnxMessage<ModelProto>("peepholes.onnx"); }

void ExpectPeepholesLogits(const absl::StatusOr<ImportedNetwork>& imported) {
  ASSERT_TRUE(imported.ok()) << imported.status();
  ExpectGoldenLogits(*imported, OnnxFolder() + "peepholes_calibration.safetensors", 1e-5);
}

std::string Refusal(const std::function<void(ModelProto&)>& change) {
  ModelProto model = PeepholesModel();
  change(model);
  const auto imported = Import(model);
  EXPECT_EQ(imported.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(imported.status().message());
}

NodeProto& Node(ModelProto& model, const std::string& name) {
  for (NodeProto& node : *model.mutable_graph()->mutable_node()) {
    if (node.name() == name) return node;
  }
  ADD_FAILURE() << "no node " << name;
  return *model.mutable_graph()->mutable_node(0);
}

TensorProto& Tensor(ModelProto& model, const std::string& name) {
  for (TensorProto& tensor : *model.mutable_graph()->mutable_initializer()) {
    if (tensor.name() == name) return tensor;
  }
  ADD_FAILURE() << "no tensor " << name;
  return *model.mutable_graph()->mutable_initializer(0);
}

std::vector<float> Floats(const TensorProto& tensor) {
  if (!tensor.has_raw_data()) return {tensor.float_data().begin(), tensor.float_data().end()};
  std::vector<float> values(tensor.raw_data().size() / sizeof(float));
  std::memcpy(values.data(), tensor.raw_data().data(), tensor.raw_data().size());
  return values;
}

void AddTensor(ModelProto& model, const std::string& name, const std::vector<int64_t>& shape,
               const std::vector<float>& values) {
  TensorProto& tensor = *model.mutable_graph()->add_initializer();
  tensor.set_name(name);
  tensor.set_data_type(TensorProto::FLOAT);
  for (const int64_t size : shape) tensor.add_dims(size);
  for (const float value : values) tensor.add_float_data(value);
}

void AddInteger(ModelProto& model, const std::string& name, int64_t value) {
  TensorProto& tensor = *model.mutable_graph()->add_initializer();
  tensor.set_name(name);
  tensor.set_data_type(TensorProto::INT64);
  tensor.add_int64_data(value);
}

void AddIntegers(ModelProto& model, const std::string& name, const std::vector<int64_t>& values) {
  TensorProto& tensor = *model.mutable_graph()->add_initializer();
  tensor.set_name(name);
  tensor.set_data_type(TensorProto::INT64);
  tensor.add_dims(static_cast<int64_t>(values.size()));
  for (const int64_t value : values) tensor.add_int64_data(value);
}

void SetIntegers(NodeProto& node, const std::string& name, const std::vector<int64_t>& values) {
  onnx::AttributeProto& attribute = *node.add_attribute();
  attribute.set_name(name);
  for (const int64_t value : values) attribute.add_ints(value);
}

void SetInteger(NodeProto& node, const std::string& name, int64_t value) {
  onnx::AttributeProto& attribute = *node.add_attribute();
  attribute.set_name(name);
  attribute.set_i(value);
}

void SetFloat(NodeProto& node, const std::string& name, float value) {
  onnx::AttributeProto& attribute = *node.add_attribute();
  attribute.set_name(name);
  attribute.set_f(value);
}

void SetText(NodeProto& node, const std::string& name, const std::string& value) {
  onnx::AttributeProto& attribute = *node.add_attribute();
  attribute.set_name(name);
  attribute.set_s(value);
}

NodeProto& AddNode(ModelProto& model, const std::string& type,
                   const std::vector<std::string>& inputs, const std::string& output) {
  NodeProto& node = *model.mutable_graph()->add_node();
  node.set_op_type(type);
  node.set_name("added");
  for (const std::string& input : inputs) node.add_input(input);
  node.add_output(output);
  return node;
}

}  // namespace ese
