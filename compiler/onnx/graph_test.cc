// SPDX-License-Identifier: Apache-2.0
#include "compiler/onnx/graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "compiler/onnx/testing.h"

namespace ese {
namespace {

using onnx::ModelProto;
using onnx::NodeProto;
using onnx::TensorProto;
using testing::AllOf;
using testing::Each;
using testing::HasSubstr;

// Renames an initializer, so that a node can take its place.
void Rename(ModelProto& m, const std::string& from, const std::string& to) {
  Tensor(m, from).set_name(to);
}

TEST(OnnxGraphTest, ReadsConstantsFromPlainAttributes) {
  ModelProto model = PeepholesModel();
  const std::vector<float> bias = Floats(Tensor(model, "bias"));
  Rename(model, "bias", "unused");
  auto& floats = *AddNode(model, "Constant", {}, "bias").add_attribute();
  floats.set_name("value_floats");
  for (const float value : bias) floats.add_floats(value);
  Rename(model, "axes1", "unused too");
  SetIntegers(AddNode(model, "Constant", {}, "axes1"), "value_ints", {1, 2});
  ExpectPeepholesLogits(Import(model));

  Node(model, "output").set_input(2, "half");
  SetFloat(AddNode(model, "Constant", {}, "half"), "value_float", 0.5f);
  const auto imported = Import(model);
  ASSERT_TRUE(imported.ok()) << imported.status();
  EXPECT_THAT(imported->network.output.bias, Each(0.5));
}

// Otherwise a square matrix would be mistaken for its transpose.
TEST(OnnxGraphTest, RecognizesTransposesThatDoNothing) {
  ModelProto model = PeepholesModel();
  Rename(model, "weight", "weight0");
  SetIntegers(AddNode(model, "Transpose", {"weight0"}, "weight"), "perm", {0, 1});
  ExpectPeepholesLogits(Import(model));
}

TEST(OnnxGraphTest, RefusesOperatorsOfOtherSets) {
  ModelProto model = PeepholesModel();
  for (NodeProto& node : *model.mutable_graph()->mutable_node()) node.set_domain("ai.onnx");
  ExpectPeepholesLogits(Import(model));
  for (const char* name : {"lstm0", "squeeze1", "output"}) {
    EXPECT_THAT(Refusal([&](ModelProto& m) { Node(m, name).set_domain("com.example"); }),
                AllOf(HasSubstr(name), HasSubstr("(com.example."), HasSubstr("is not supported")));
  }
}

TEST(OnnxGraphTest, RefusesComputedWeights) {
  const auto compute = [](const std::string& type) {
    return [=](ModelProto& m) {
      Rename(m, "weight", "weight0");
      NodeProto& node = AddNode(m, type, {"weight0"}, "weight");
      if (type == "Cast") SetInteger(node, "to", TensorProto::INT32);
    };
  };
  EXPECT_THAT(Refusal(compute("Cast")), HasSubstr("is computed by node 'added' (Cast); export "
                                                  "with constant folding"));
  EXPECT_THAT(Refusal(compute("DequantizeLinear")),
              HasSubstr("(DequantizeLinear); export the model in float, not quantized"));
}

TEST(OnnxGraphTest, RefusesSparseInitializers) {
  EXPECT_THAT(Refusal([](ModelProto& m) {
                *m.mutable_graph()->add_sparse_initializer()->mutable_values() =
                    Tensor(m, "weight");
                Rename(m, "weight", "unused");
              }),
              HasSubstr("node 'output' (Gemm): tensor 'weight' is a sparse initializer; save it"));
}

TEST(OnnxGraphTest, RefusesDuplicateNames) {
  EXPECT_THAT(Refusal([](ModelProto& m) { Rename(m, "W1", "W0"); }),
              HasSubstr("model.onnx: two tensors have the name 'W0'"));
  EXPECT_THAT(Refusal([](ModelProto& m) { Node(m, "squeeze1").set_output(0, "x1"); }),
              HasSubstr("model.onnx: two outputs of nodes have the name 'x1'"));
}

}  // namespace
}  // namespace ese
