// SPDX-License-Identifier: Apache-2.0
#include "compiler/onnx/axes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "compiler/onnx/testing.h"

namespace ese {
namespace {

using onnx::ModelProto;
using onnx::NodeProto;
using onnx::TensorProto;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(OnnxAxesTest, RefusesAxesThatAreMixedUp) {
  EXPECT_THAT(Refusal([](ModelProto& m) {
                Node(m, "lstm1").set_input(0, "swapped");
                auto& perm = *AddNode(m, "Transpose", {"x1"}, "swapped").add_attribute();
                perm.set_name("perm");
                for (const int axis : {1, 0, 2}) perm.add_ints(axis);
              }),
              HasSubstr("node 'lstm1' (LSTM): does not read time and batch as node 'lstm0'"));
  EXPECT_THAT(Refusal([](ModelProto& m) { Node(m, "lstm1").set_input(0, "Y0"); }),
              HasSubstr("node 'lstm1' (LSTM): does not read time and batch"));
  EXPECT_THAT(Refusal([](ModelProto& m) {
                Node(m, "output").set_input(0, "transposed");
                AddNode(m, "Transpose", {"x2"}, "transposed");
              }),
              HasSubstr("node 'lstm1' (LSTM): its cells are not the last axis"));
  EXPECT_THAT(Refusal([](ModelProto& m) {
                Tensor(m, "axes0").clear_raw_data();
                Tensor(m, "axes0").add_int64_data(-1);
              }),
              HasSubstr("node 'squeeze0' (Squeeze): removes the axis of time or channels"));
}

TEST(OnnxAxesTest, AcceptsReshapesThatKeepChannelsSeparate) {
  const auto reshape = [](std::vector<int64_t> shape) {
    return [shape](ModelProto& m) {
      NodeProto& node = Node(m, "squeeze1");
      node.set_op_type("Reshape");
      TensorProto& tensor = Tensor(m, "axes1");
      tensor.clear_raw_data();
      tensor.set_dims(0, static_cast<int64_t>(shape.size()));
      for (const int64_t size : shape) tensor.add_int64_data(size);
    };
  };
  for (const std::vector<int64_t>& shape :
       {std::vector<int64_t>{-1, 7}, {0, 0, 0, -1}, {0, -1, 7}, {20, 1, 7}}) {
    ModelProto model = PeepholesModel();
    reshape(shape)(model);
    const auto imported = Import(model);
    EXPECT_TRUE(imported.ok()) << imported.status();
  }
  EXPECT_THAT(Refusal(reshape({7, -1})), HasSubstr("node 'squeeze1' (Reshape): the shape [7, -1]"));
  EXPECT_THAT(Refusal(reshape({-1, 14})), HasSubstr("does not keep 7 channels apart"));
  EXPECT_THAT(Refusal(reshape({-1})), HasSubstr("does not keep 7 channels apart"));
}

// Replaces squeeze1, before the output layer, with a Reshape to the graph's value `shape`.
void ReshapeTo(ModelProto& m, const std::string& shape) {
  NodeProto& node = Node(m, "squeeze1");
  node.set_op_type("Reshape");
  node.set_input(1, shape);
}

// Adds the nodes with which exporters compute the length of an axis, "length<axis>" [1].
std::string AddLength(ModelProto& m, const std::string& value, int64_t axis) {
  const std::string suffix = absl::StrCat("_", value, "_", axis);
  AddInteger(m, "index" + suffix, axis);
  AddNode(m, "Shape", {value}, "shape" + suffix);
  AddNode(m, "Gather", {"shape" + suffix, "index" + suffix}, "scalar" + suffix);
  AddNode(m, "Unsqueeze", {"scalar" + suffix}, "length" + suffix);
  return "length" + suffix;
}

void AddConcat(ModelProto& m, const std::vector<std::string>& lengths) {
  AddNode(m, "Concat", lengths, "shape");
  ReshapeTo(m, "shape");
}

bool Find(const ModelProto& m, const std::string& tensor) {
  const auto& tensors = m.graph().initializer();
  return std::any_of(tensors.begin(), tensors.end(),
                     [&](const TensorProto& t) { return t.name() == tensor; });
}

// The Python code is t, n = x.size(0), x.size(1), followed by y.view(t, n, -1) or y.view(t * n,
// -1).
TEST(OnnxAxesTest, AcceptsShapesThatTheGraphComputes) {
  for (const char* value : {"x0", "x1"}) {
    for (const bool joined : {false, true}) {
      ModelProto model = PeepholesModel();
      const std::string time = AddLength(model, value, 0);
      const std::string batch = AddLength(model, value, -2);
      AddIntegers(model, "left", {-1});
      if (joined) {
        AddNode(model, "Mul", {time, batch}, "frames");
        AddConcat(model, {"frames", "left"});
      } else {
        AddConcat(model, {time, batch, "left"});
      }
      // The batch axis, which the golden model squeezes away, is now kept.
      ExpectPeepholesLogits(Import(model));
    }
  }
}

// PyTorch's exporter based on torch.export computes y.reshape(t * n, -1) like this.
TEST(OnnxAxesTest, AcceptsSlicesAndReshapesOfShapes) {
  const auto joined = [](int64_t second) {
    return [second](ModelProto& m) {
      AddNode(m, "Shape", {"x0"}, "lengths");
      for (const int64_t k : {int64_t{0}, int64_t{1}, second, second + 1}) {
        if (Find(m, absl::StrCat("at", k))) continue;
        AddIntegers(m, absl::StrCat("at", k), {k});
      }
      const auto at = [](int64_t k) { return absl::StrCat("at", k); };
      AddNode(m, "Slice", {"lengths", at(0), at(1)}, "time");
      AddNode(m, "Slice", {"lengths", at(second), at(second + 1), at(0)}, "batch");
      AddNode(m, "Mul", {"time", "batch"}, "product");
      AddIntegers(m, "left", {-1});
      AddNode(m, "Reshape", {"product", "left"}, "frames");
      AddConcat(m, {"frames", "left"});
    };
  };
  ModelProto model = PeepholesModel();
  joined(1)(model);
  ExpectPeepholesLogits(Import(model));
  EXPECT_THAT(Refusal(joined(0)), HasSubstr("the shape [time * time, -1] does not keep"));
}

TEST(OnnxAxesTest, AcceptsChannelsInAComputedShape) {
  ModelProto model = PeepholesModel();
  AddIntegers(model, "left", {-1});
  AddConcat(model, {"left", AddLength(model, "Y1", 3)});
  ExpectPeepholesLogits(Import(model));
  // The number of channels of another value may differ.
  EXPECT_THAT(Refusal([](ModelProto& m) {
                AddIntegers(m, "left", {-1});
                AddConcat(m, {"left", AddLength(m, "x1", 2)});
              }),
              HasSubstr("node 'squeeze1' (Reshape): the shape [-1, 6] does not keep 7 channels"));
}

TEST(OnnxAxesTest, RefusesComputedShapesThatMixAxes) {
  EXPECT_THAT(Refusal([](ModelProto& m) {
                AddIntegers(m, "left", {-1});
                AddConcat(m, {AddLength(m, "x1", 1), "left"});
              }),
              HasSubstr("the shape [batch, -1] does not keep 7 channels apart"));
  EXPECT_THAT(Refusal([](ModelProto& m) {
                AddIntegers(m, "left", {-1});
                const std::string time = AddLength(m, "x1", 0);
                AddNode(m, "Mul", {time, time}, "square");
                AddConcat(m, {"square", "left"});
              }),
              HasSubstr("the shape [time * time, -1] does not keep 7 channels apart"));
  EXPECT_THAT(Refusal([](ModelProto& m) {
                AddIntegers(m, "seven", {7});
                const std::string time = AddLength(m, "x1", 0);
                AddConcat(m, {time, time, "seven"});
              }),
              HasSubstr("the shape [time, time, 7] does not keep time and batch"));
  EXPECT_THAT(Refusal([](ModelProto& m) {
                AddNode(m, "Add", {"axes0", "axes0"}, "sum");
                ReshapeTo(m, "sum");
              }),
              AllOf(HasSubstr("node 'squeeze1' (Reshape): its shape: node 'added' (Add) computes"),
                    HasSubstr("export with constant shapes")));
  EXPECT_THAT(Refusal([](ModelProto& m) {
                AddNode(m, "Shape", {"W0"}, "shape");
                ReshapeTo(m, "shape");
              }),
              HasSubstr("is the shape of something other than a layer or the input"));
}

// To the next LSTM, a reshape that swaps time and batch looks like a transposition.
TEST(OnnxAxesTest, ComputedShapesMaySwapTimeAndBatch) {
  EXPECT_THAT(Refusal([](ModelProto& m) {
                AddIntegers(m, "left", {-1});
                NodeProto& node = Node(m, "squeeze0");
                node.set_op_type("Reshape");
                node.set_input(1, "shape");
                const std::string time = AddLength(m, "Y0", 0);
                AddNode(m, "Concat", {AddLength(m, "Y0", 2), time, "left"}, "shape");
              }),
              HasSubstr("node 'lstm1' (LSTM): does not read time and batch as node 'lstm0'"));
}

// Four streams of five frames are not twenty frames.
TEST(OnnxAxesTest, RefusesNumbersThatRegroupFrames) {
  EXPECT_THAT(Refusal([](ModelProto& m) {
                AddIntegers(m, "shape", {5, 4, 7});
                ReshapeTo(m, "shape");
              }),
              HasSubstr("the shape [5, 4, 7] does not keep time and batch"));
  EXPECT_THAT(Refusal([](ModelProto& m) {
                AddIntegers(m, "shape", {-1, 4, 7});
                ReshapeTo(m, "shape");
              }),
              HasSubstr("the shape [-1, 4, 7] does not keep time and batch"));
}

// With one axis left to name, its number must not contradict the declared length.
TEST(OnnxAxesTest, RefusesNumbersThatContradictTheDeclaredLength) {
  EXPECT_THAT(Refusal([](ModelProto& m) {
                auto& input = *m.mutable_graph()->mutable_input(0)->mutable_type();
                input.mutable_tensor_type()->mutable_shape()->mutable_dim(0)->set_dim_value(20);
                AddIntegers(m, "shape", {10, 1, 7});
                ReshapeTo(m, "shape");
              }),
              HasSubstr("the shape [10, 1, 7] does not keep time and batch"));
}

// Without a list of axes, the batch is squeezed away only if it is one stream.
TEST(OnnxAxesTest, SqueezesWithoutAListOnlyIfTheBatchIsKnown) {
  const auto squeeze = [](int64_t streams) {
    return [streams](ModelProto& m) {
      auto& input = *m.mutable_graph()->mutable_input(0)->mutable_type()->mutable_tensor_type();
      auto& batch = *input.mutable_shape()->mutable_dim(1);
      batch.clear_value();
      if (streams > 0) batch.set_dim_value(streams);
      Node(m, "squeeze1").mutable_input()->RemoveLast();
    };
  };
  ModelProto model = PeepholesModel();
  squeeze(1)(model);
  ExpectPeepholesLogits(Import(model));
  EXPECT_THAT(Refusal(squeeze(0)), HasSubstr("removes the axis of batch or not"));
}

// An export for a fixed length has numbers where other exports compute lengths.
TEST(OnnxAxesTest, AcceptsTheNumbersOfAnExportForOneLength) {
  const auto with_shape = [](const std::vector<int64_t>& shape, bool is_fixed) {
    return [=](ModelProto& m) {
      auto& time = *m.mutable_graph()->mutable_input(0)->mutable_type()->mutable_tensor_type();
      if (is_fixed) time.mutable_shape()->mutable_dim(0)->set_dim_value(20);
      AddIntegers(m, "shape", shape);
      ReshapeTo(m, "shape");
    };
  };
  for (const std::vector<int64_t>& shape : {std::vector<int64_t>{20, -1}, {20, 1, -1}}) {
    ModelProto model = PeepholesModel();
    with_shape(shape, true)(model);
    ExpectPeepholesLogits(Import(model));
    EXPECT_THAT(Refusal(with_shape(shape, false)), HasSubstr("does not keep 7 channels apart"));
  }
  EXPECT_THAT(Refusal(with_shape({10, -1}, true)), HasSubstr("[10, -1] does not keep 7 channels"));
}

TEST(OnnxAxesTest, RefusesShapesThatNeverEndOrAreTooLong) {
  // The first shape is a cycle. In the second, each node doubles the previous one.
  EXPECT_THAT(Refusal([](ModelProto& m) {
                AddNode(m, "Identity", {"shape"}, "shape");
                ReshapeTo(m, "shape");
              }),
              HasSubstr("is one of too many for a shape"));
  EXPECT_THAT(Refusal([](ModelProto& m) {
                AddIntegers(m, "shape0", {});
                for (int k = 0; k < 60; ++k) {
                  const std::string below = absl::StrCat("shape", k);
                  AddNode(m, "Concat", {below, below}, absl::StrCat("shape", k + 1));
                }
                ReshapeTo(m, "shape60");
              }),
              HasSubstr("is one of too many for a shape"));
  EXPECT_THAT(Refusal([](ModelProto& m) {
                AddIntegers(m, "shape", std::vector<int64_t>(1000, 1));
                ReshapeTo(m, "shape");
              }),
              HasSubstr("its shape has 1000 axes, which are too many"));
}

TEST(OnnxAxesTest, AcceptsPickingTheElementOfAnAxisOfOne) {
  const auto pick = [](int64_t index, int64_t axis) {
    return [=](ModelProto& m) {
      NodeProto& node = Node(m, "squeeze0");
      node.set_op_type("Gather");
      AddInteger(m, "index", index);
      node.set_input(1, "index");
      SetInteger(node, "axis", axis);
    };
  };
  for (const int64_t axis : {1, -3}) {
    ModelProto model = PeepholesModel();
    pick(0, axis)(model);
    ExpectPeepholesLogits(Import(model));
  }
  EXPECT_THAT(Refusal(pick(0, 0)),
              HasSubstr("node 'squeeze0' (Gather): picks one frame, but a stream needs"));
  EXPECT_THAT(Refusal(pick(0, 3)), HasSubstr("may pick only the one element"));
  EXPECT_THAT(Refusal(pick(1, 1)), HasSubstr("may pick only the one element"));
  EXPECT_THAT(Refusal(pick(0, 4)), HasSubstr("has an axis out of range"));
  EXPECT_THAT(Refusal([&](ModelProto& m) {
                pick(0, 1)(m);
                Tensor(m, "index").add_dims(1);
              }),
              HasSubstr("node 'squeeze0' (Gather): is not supported"));
}

TEST(OnnxAxesTest, AcceptsCastsOnlyBetweenRealTypes) {
  const auto cast = [](TensorProto::DataType type) {
    return [=](ModelProto& m) {
      SetInteger(AddNode(m, "Cast", {"x1"}, "cast"), "to", type);
      Node(m, "lstm1").set_input(0, "cast");
    };
  };
  ModelProto model = PeepholesModel();
  cast(TensorProto::DOUBLE)(model);
  ExpectPeepholesLogits(Import(model));
  EXPECT_THAT(Refusal(cast(TensorProto::INT32)),
              HasSubstr("node 'added' (Cast): is not supported"));
}

TEST(OnnxAxesTest, AcceptsBatchFirstLayers) {
  ModelProto model = PeepholesModel();
  for (const char* name : {"lstm0", "lstm1"}) SetInteger(Node(model, name), "layout", 1);
  Tensor(model, "axes0").clear_raw_data();
  Tensor(model, "axes0").add_int64_data(2);
  Tensor(model, "axes1").clear_raw_data();
  Tensor(model, "axes1").add_int64_data(0);
  Tensor(model, "axes1").add_int64_data(2);
  ExpectPeepholesLogits(Import(model));
}

TEST(OnnxAxesTest, RefusesInputsThatAreNotCertain) {
  const auto reshape = [](const std::vector<int64_t>& shape) {
    return [shape](ModelProto& m) {
      AddIntegers(m, "order", shape);
      AddNode(m, "Reshape", {"x0", "order"}, "frames");
      Node(m, "lstm0").set_input(0, "frames");
    };
  };
  EXPECT_THAT(Refusal(reshape({4, 5, 5})), HasSubstr("it is not certain how the first LSTM reads"));
  EXPECT_THAT(Refusal([&](ModelProto& m) {
                reshape({-1, 1, 5})(m);
                m.mutable_graph()->mutable_input(0)->mutable_type()->Clear();
              }),
              HasSubstr("it is not certain how the first LSTM reads frames out of 'x0'"));
}

// If the graph joins frames, the client must send joined frames.
TEST(OnnxAxesTest, NamesAReshapeOfTheInputInANotice) {
  ModelProto model = PeepholesModel();
  AddIntegers(model, "joined", {-1, 1, 5});
  AddNode(model, "Reshape", {"x0", "joined"}, "frames");
  Node(model, "lstm0").set_input(0, "frames");
  const auto imported = Import(model);
  ASSERT_TRUE(imported.ok()) << imported.status();
  EXPECT_THAT(imported->notices,
              ElementsAre("node 'added' (Reshape) is left out: a frame of the model is the 5 "
                          "values that the first LSTM reads"));
  EXPECT_THAT(Import(PeepholesModel())->notices, IsEmpty());
}

}  // namespace
}  // namespace ese
