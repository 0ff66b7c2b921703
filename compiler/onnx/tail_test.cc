// SPDX-License-Identifier: Apache-2.0
#include "compiler/onnx/tail.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "compiler/onnx/testing.h"

namespace ese {
namespace {

using onnx::ModelProto;
using onnx::NodeProto;
using testing::HasSubstr;

// Lets the output layer write "product" [time, 4] instead of the graph's output.
void OpenTail(ModelProto& m) { Node(m, "output").set_output(0, "product"); }

void SetOpset(ModelProto& m, int64_t version) { m.mutable_opset_import(0)->set_version(version); }

void AddSoftmax(ModelProto& m, int64_t axis) {
  OpenTail(m);
  SetInteger(AddNode(m, "LogSoftmax", {"product"}, "logits"), "axis", axis);
}

TEST(OnnxTailTest, DropsASoftmaxOverTheUnits) {
  for (const int64_t axis : {-1, 1}) {
    for (const int64_t opset : {12, 13}) {
      ModelProto model = PeepholesModel();
      SetOpset(model, opset);
      AddSoftmax(model, axis);
      ExpectPeepholesLogits(Import(model));
    }
  }
}

TEST(OnnxTailTest, FollowsASoftmaxThroughATransposition) {
  const auto transposed = [](int64_t axis) {
    return [axis](ModelProto& m) {
      SetOpset(m, 13);
      OpenTail(m);
      SetIntegers(AddNode(m, "Transpose", {"product"}, "turned"), "perm", {1, 0});
      SetInteger(AddNode(m, "Softmax", {"turned"}, "logits"), "axis", axis);
    };
  };
  ModelProto model = PeepholesModel();
  transposed(0)(model);
  ExpectPeepholesLogits(Import(model));
  EXPECT_THAT(Refusal(transposed(1)), HasSubstr("is over axis 1, which is not the axis of the "));
}

TEST(OnnxTailTest, RefusesASoftmaxOverTime) {
  EXPECT_THAT(Refusal([](ModelProto& m) {
                SetOpset(m, 17);
                AddSoftmax(m, 0);
              }),
              HasSubstr("node 'added' (LogSoftmax): is over axis 0, which is not the axis"));
  EXPECT_THAT(Refusal([](ModelProto& m) { AddSoftmax(m, 2); }), HasSubstr("has an axis out of"));
}

// Before opset 13, a softmax is over its axis and all axes behind it.
TEST(OnnxTailTest, RefusesAnOldSoftmaxOverSeveralAxes) {
  EXPECT_THAT(Refusal([](ModelProto& m) {
                SetOpset(m, 12);
                AddSoftmax(m, 0);
              }),
              HasSubstr("is over axis 0"));
  const auto batched = [](int64_t opset) {
    return [opset](ModelProto& m) {
      SetOpset(m, opset);
      Node(m, "output").set_op_type("MatMul");
      Node(m, "output").clear_attribute();
      Node(m, "output").mutable_input()->RemoveLast();
      AddNode(m, "Transpose", {"weight"}, "turned");
      Node(m, "output").set_input(1, "turned");
      SetIntegers(AddNode(m, "Squeeze", {"Y1"}, "batch"), "axes", {1});
      Node(m, "output").set_input(0, "batch");
      OpenTail(m);
      AddNode(m, "Softmax", {"product"}, "logits");  // the default axis
    };
  };
  ModelProto model = PeepholesModel();
  batched(13)(model);
  EXPECT_TRUE(Import(model).ok()) << Import(model).status();
  EXPECT_THAT(Refusal(batched(12)), HasSubstr("is over axis 1"));
}

TEST(OnnxTailTest, RefusesASoftmaxOfASoftmax) {
  const auto both = [](const char* first, const char* second) {
    return [=](ModelProto& m) {
      OpenTail(m);
      SetInteger(AddNode(m, first, {"product"}, "soft"), "axis", -1);
      SetInteger(AddNode(m, second, {"soft"}, "logits"), "axis", -1);
    };
  };
  ModelProto model = PeepholesModel();
  both("LogSoftmax", "Softmax")(model);
  ExpectPeepholesLogits(Import(model));
  EXPECT_THAT(Refusal(both("Softmax", "LogSoftmax")), HasSubstr("another softmax reads its"));
}

TEST(OnnxTailTest, RefusesUnitsThatAreRegrouped) {
  EXPECT_THAT(Refusal([](ModelProto& m) {
                OpenTail(m);
                AddIntegers(m, "heads", {0, 2, 2});
                AddNode(m, "Reshape", {"product", "heads"}, "grouped");
                SetInteger(AddNode(m, "LogSoftmax", {"grouped"}, "logits"), "axis", -1);
              }),
              HasSubstr("node 'added' (Reshape): the shape [0, 2, 2] does not keep 4 channels"));
}

TEST(OnnxTailTest, RefusesABiasOfFrames) {
  EXPECT_THAT(Refusal([](ModelProto& m) {
                OpenTail(m);
                AddTensor(m, "drift", {4, 1}, {1, 2, 3, 4});
                AddNode(m, "Add", {"product", "drift"}, "logits");
              }),
              HasSubstr("node 'added' (Add): adds a constant of shape [4, 1], which differs"));
  EXPECT_THAT(Refusal([](ModelProto& m) {
                AddTensor(m, "drift", {4, 1}, {1, 2, 3, 4});
                Node(m, "output").set_input(2, "drift");
              }),
              HasSubstr("node 'output' (Gemm): adds a constant of shape [4, 1]"));
}

}  // namespace
}  // namespace ese
