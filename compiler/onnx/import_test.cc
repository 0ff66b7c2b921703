// SPDX-License-Identifier: Apache-2.0
#include "compiler/onnx/import.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "compiler/compile.h"
#include "compiler/files.h"
#include "compiler/float_lstm.h"
#include "compiler/onnx/testing.h"
#include "compiler/testing.h"
#include "onnx/onnx.pb.h"

namespace ese {
namespace {

using onnx::ModelProto;
using onnx::NodeProto;
using onnx::TensorProto;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// The operator's conformance cases run one step from zero. Their inputs become initializers, and an
// identity output layer turns the single node into a network.
class OnnxConformanceTest : public testing::TestWithParam<const char*> {};

TEST_P(OnnxConformanceTest, OneStepGivesTheExpectedValues) {
  const std::string folder = absl::StrCat("test_lstm_", GetParam(), "/");
  auto model = ReadOnnxMessage<ModelProto>(folder + "model.onnx");
  auto& graph = *model.mutable_graph();
  const auto features = ReadOnnxMessage<TensorProto>(folder + "input_0.pb");
  for (int k = 1; k < graph.input_size(); ++k) {
    *graph.add_initializer() =
        ReadOnnxMessage<TensorProto>(absl::StrCat(folder, "input_", k, ".pb"));
  }
  auto* inputs = graph.mutable_input();
  inputs->DeleteSubrange(1, inputs->size() - 1);
  const auto expected = ReadOnnxMessage<TensorProto>(folder + "output_0.pb");
  const auto cells = expected.dims(expected.dims_size() - 1);
  graph.mutable_node(0)->set_output(0, std::string("Y"));
  std::vector<float> identity(cells * cells);
  for (int64_t k = 0; k < cells; ++k) identity[k * (cells + 1)] = 1;
  AddTensor(model, "identity", {cells, cells}, identity);
  AddNode(model, "MatMul", {"Y", "identity"}, "logits");
  graph.mutable_output(0)->set_name("logits");

  const auto imported = Import(model);
  ASSERT_TRUE(imported.ok()) << imported.status();
  const Network network = Unpruned(imported->network);
  FloatLstm lstm(&network);
  const std::vector<float> x = Floats(features);
  const std::vector<float> y = Floats(expected);
  const int64_t dim = features.dims(2);
  ASSERT_EQ(x.size() / dim, y.size() / cells);
  for (size_t b = 0; b < x.size() / dim; ++b) {
    lstm.Reset();
    lstm.Step(&x[b * dim]);
    for (int64_t k = 0; k < cells; ++k) EXPECT_NEAR(lstm.logits()[k], y[b * cells + k], 1e-5);
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, OnnxConformanceTest,
                         testing::Values("defaults", "with_initial_bias", "with_peepholes",
                                         "batchwise"),
                         [](const auto& info) { return std::string(info.param); });

TEST(OnnxTest, ImportsAnExportOfPyTorch) {
  const auto imported = Import(ReadOnnxMessage<ModelProto>("torch.onnx"));
  ASSERT_TRUE(imported.ok()) << imported.status();
  ASSERT_EQ(imported->topology.layers.size(), 2u);
  EXPECT_EQ(imported->topology.layers[1].cells, 6);
  EXPECT_FALSE(imported->topology.layers[0].peepholes);
  EXPECT_EQ(imported->topology.name, "torch_jit");
  EXPECT_THAT(imported->notices, IsEmpty());
  ExpectGoldenLogits(*imported, OnnxFolder() + "torch_calibration.safetensors", 1e-5);
}

TEST(OnnxTest, ImportsPeepholes) {
  const auto imported = Import(PeepholesModel());
  ASSERT_TRUE(imported.ok()) << imported.status();
  EXPECT_TRUE(imported->topology.layers[0].peepholes);
  EXPECT_FALSE(imported->topology.layers[1].peepholes);
  ExpectPeepholesLogits(imported);
}

TEST(OnnxTest, ImportsOtherFormsOfTheSameNetwork) {
  ModelProto model = PeepholesModel();
  // This form has MatMul and Add instead of Gemm, a node that transposes the weight, and a softmax.
  NodeProto& output = Node(model, "output");
  output.set_op_type("MatMul");
  output.clear_attribute();
  output.mutable_input()->RemoveLast();
  output.set_input(1, "transposed");
  output.set_output(0, "product");
  AddNode(model, "Transpose", {"weight"}, "transposed");
  AddNode(model, "Add", {"product", "bias"}, "sum");
  AddNode(model, "Softmax", {"sum"}, "logits");
  // This form has the values in the list of their type instead of raw bytes, and as wide numbers.
  for (const char* name : {"W0", "R1"}) {
    TensorProto& tensor = Tensor(model, name);
    const std::vector<float> values = Floats(tensor);
    tensor.clear_raw_data();
    tensor.set_data_type(TensorProto::DOUBLE);
    for (const float value : values) tensor.add_double_data(value);
  }
  // In this form the caller keeps the state between calls.
  model.mutable_graph()->add_input()->set_name("h");
  NodeProto& lstm = Node(model, "lstm1");
  lstm.add_input("");
  lstm.add_input("h");
  SetFloat(lstm, "clip", 16);
  const auto imported = Import(model);
  ASSERT_TRUE(imported.ok()) << imported.status();
  EXPECT_THAT(imported->notices, ElementsAre(HasSubstr("zeros for the input 'h'")));
  ExpectPeepholesLogits(imported);
}

// Exporters may put a Linear's bias before its product in an Add. The chain continues through the
// product.
TEST(OnnxTest, SeveralBiasesAddUp) {
  ModelProto model = PeepholesModel();
  Node(model, "output").set_output(0, "product");
  AddTensor(model, "prior", {4}, {1, 2, 3, 4});
  AddTensor(model, "one", {}, {1});
  AddNode(model, "Add", {"prior", "product"}, "sum");
  AddNode(model, "Add", {"sum", "one"}, "logits");
  const std::vector<float> bias = Floats(Tensor(model, "bias"));
  const auto imported = Import(model);
  ASSERT_TRUE(imported.ok()) << imported.status();
  EXPECT_THAT(imported->network.output.bias,
              ElementsAre(bias[0] + 2.0, bias[1] + 3.0, bias[2] + 4.0, bias[3] + 5.0));
  AddTensor(model, "three", {3}, {1, 2, 3});
  Node(model, "output").set_input(2, "three");
  EXPECT_THAT(Import(model).status().message(),
              HasSubstr("node 'output' (Gemm): adds 3 values to 4"));
}

TEST(OnnxTest, RefusesMissingWeights) {
  EXPECT_THAT(Refusal([](ModelProto& m) {
                NodeProto& output = Node(m, "output");
                output.set_op_type("MatMul");
                output.mutable_input()->RemoveLast();
                output.set_output(0, "product");
                AddNode(m, "Add", {"left out", "product"}, "logits");
              }),
              HasSubstr("node 'added' (Add): there is no initializer 'left out'; export the "
                        "weights with the model"));
}

TEST(OnnxTest, ImportsHalfPrecisionWeights) {
  ModelProto model = PeepholesModel();
  TensorProto& bias = Tensor(model, "bias");
  bias.clear_raw_data();
  bias.set_data_type(TensorProto::FLOAT16);
  for (const int bits : {0x3c00, 0xb800, 0, 0x4000}) bias.add_int32_data(bits);
  const auto imported = Import(model);
  ASSERT_TRUE(imported.ok()) << imported.status();
  EXPECT_THAT(imported->network.output.bias, ElementsAre(1, -0.5, 0, 2));
}

TEST(OnnxTest, ErrorsNumberGateRowsAsTheFileDoes) {
  ModelProto model = PeepholesModel();
  TensorProto& bias = Tensor(model, "B1");
  std::vector<float> values = Floats(bias);
  values[2 * 7 + 3] = -5000;  // the gates are i, o, f, c
  bias.clear_raw_data();
  for (const float value : values) bias.add_float_data(value);
  const auto imported = Import(model);
  ASSERT_TRUE(imported.ok()) << imported.status();
  ImportedNetwork annotated = *imported;
  annotated.topology.units = {"a", "b", "c", "d"};
  EXPECT_THAT(Compile(annotated, nullptr, {}).status().message(),
              HasSubstr("W1 | R1, row 17 (gate f of cell 3)"));
}

TEST(OnnxTest, RefusesLstmsThatCannotStream) {
  for (const char* direction : {"bidirectional", "reverse"}) {
    EXPECT_THAT(Refusal([&](ModelProto& m) { SetText(Node(m, "lstm1"), "direction", direction); }),
                AllOf(HasSubstr("model.onnx: node 'lstm1' (LSTM): its direction is"),
                      HasSubstr(direction), HasSubstr("train a forward LSTM")));
  }
  EXPECT_THAT(Refusal([](ModelProto& m) {
                NodeProto& lstm = Node(m, "lstm1");
                lstm.set_output(0, "unused");
                lstm.add_output("Y1");
              }),
              HasSubstr("node 'lstm1' (LSTM): its output Y_h or Y_c"));
}

TEST(OnnxTest, RefusesLstmsWithOtherArithmetic) {
  EXPECT_THAT(Refusal([](ModelProto& m) { SetInteger(Node(m, "lstm0"), "input_forget", 1); }),
              HasSubstr("node 'lstm0' (LSTM): couples its input and forget gates"));
  EXPECT_THAT(Refusal([](ModelProto& m) { SetFloat(Node(m, "lstm0"), "clip", 15.9f); }),
              HasSubstr("node 'lstm0' (LSTM): has a clip of 15.9"));
  EXPECT_THAT(Refusal([](ModelProto& m) {
                auto& attribute = *Node(m, "lstm0").add_attribute();
                attribute.set_name("activations");
                for (const char* name : {"HardSigmoid", "Tanh", "Tanh"})
                  attribute.add_strings(name);
              }),
              HasSubstr("has the activations HardSigmoid, Tanh, Tanh"));
  EXPECT_THAT(Refusal([](ModelProto& m) {
                AddTensor(m, "h0", {1, 1, 7}, {0, 0, 0, 0.5f, 0, 0, 0});
                NodeProto& lstm = Node(m, "lstm1");
                lstm.add_input("");
                lstm.add_input("h0");
              }),
              HasSubstr("node 'lstm1' (LSTM): starts at 'h0', which is not zero"));
}

TEST(OnnxTest, RefusesComputedStates) {
  EXPECT_THAT(Refusal([](ModelProto& m) {
                AddNode(m, "RandomNormal", {}, "h0").set_name("noise");
                NodeProto& lstm = Node(m, "lstm1");
                lstm.add_input("");
                lstm.add_input("h0");
              }),
              HasSubstr("starts at 'h0', which is computed by node 'noise' (RandomNormal)"));
}

// The state is cut out of the features, which the caller does not keep between calls.
TEST(OnnxTest, RefusesStatesMadeOfTheFeatures) {
  EXPECT_THAT(Refusal([](ModelProto& m) {
                AddNode(m, "Slice", {"x0"}, "h0");
                NodeProto& lstm = Node(m, "lstm1");
                lstm.add_input("");
                lstm.add_input("h0");
              }),
              HasSubstr("node 'lstm1' (LSTM): starts at 'h0', which is made of 'x0'"));
}

// This is what torch.onnx.export writes for nn.LSTM(proj_size=7) with 14 cells.
TEST(OnnxTest, RefusesStatesOfAnotherSize) {
  for (const bool is_h : {true, false}) {
    EXPECT_THAT(Refusal([&](ModelProto& m) {
                  AddTensor(m, "state", {1, 1, 14}, std::vector<float>(14));
                  NodeProto& lstm = Node(m, "lstm1");
                  lstm.add_input("");
                  lstm.add_input(is_h ? "state" : "");
                  if (!is_h) lstm.add_input("state");
                }),
                AllOf(HasSubstr(is_h ? "its initial_h, 'state'" : "its initial_c, 'state'"),
                      HasSubstr("has 14 values for 7 cells"), HasSubstr("proj_size")));
  }
  EXPECT_THAT(Refusal([](ModelProto& m) {
                AddIntegers(m, "start", {1, 1});
                AddIntegers(m, "end", {14});
                SetInteger(AddNode(m, "Concat", {"start", "end"}, "shape"), "axis", 0);
                AddNode(m, "ConstantOfShape", {"shape"}, "state");
                NodeProto& lstm = Node(m, "lstm1");
                lstm.add_input("");
                lstm.add_input("state");
              }),
              HasSubstr("has 14 values for 7 cells"));
}

TEST(OnnxTest, RefusesLengthsThatMayEndASequence) {
  EXPECT_THAT(Refusal([](ModelProto& m) {
                AddIntegers(m, "lengths", {5});
                Node(m, "lstm1").add_input("lengths");
              }),
              HasSubstr("node 'lstm1' (LSTM): its sequence_lens, 'lengths', may end sequences"));
  EXPECT_THAT(Refusal([](ModelProto& m) {
                AddNode(m, "Cast", {"x0"}, "lengths");
                Node(m, "lstm1").add_input("lengths");
              }),
              HasSubstr("may end sequences"));
  ModelProto model = PeepholesModel();
  model.mutable_graph()->add_input()->set_name("lengths");
  Node(model, "lstm1").add_input("lengths");
  ExpectPeepholesLogits(Import(model));
}

TEST(OnnxTest, RefusesOtherNodesByNameAndType) {
  EXPECT_THAT(Refusal([](ModelProto& m) { Node(m, "squeeze0").set_op_type("Relu"); }),
              HasSubstr("node 'squeeze0' (Relu): is not supported"));
  EXPECT_THAT(Refusal([](ModelProto& m) { Node(m, "output").set_op_type("Conv"); }),
              HasSubstr("node 'output' (Conv): is not supported in the output layer"));
  EXPECT_THAT(Refusal([](ModelProto& m) { Node(m, "lstm0").set_domain("com.example"); }),
              HasSubstr("node 'lstm0' (com.example.LSTM): is not supported"));
  EXPECT_THAT(Refusal([](ModelProto& m) {
                Node(m, "squeeze1").clear_name();
                Node(m, "").set_op_type("Neg");
              }),
              HasSubstr("node 3 (Neg): is not supported"));
  EXPECT_THAT(Refusal([](ModelProto& m) { Node(m, "output").set_input(0, "x0"); }),
              HasSubstr("has no LSTM"));
}

// One message lists all nodes that must go, and begins with the one that decides.
TEST(OnnxTest, ListsAllUnsupportedNodes) {
  const auto change = [](const char* type) {
    return [type](ModelProto& m) {
      Node(m, "squeeze0").set_op_type("Relu");
      Node(m, "squeeze1").set_op_type("Tanh");
      Node(m, "lstm0").set_op_type(type);
    };
  };
  EXPECT_THAT(Refusal(change("LSTM")),
              AllOf(HasSubstr("node 'squeeze1' (Tanh): is not supported"),
                    HasSubstr("Not supported either: node 'squeeze0' (Relu)")));
  EXPECT_THAT(
      Refusal(change("GRU")),
      AllOf(HasSubstr("node 'lstm0' (GRU): is not supported: of the recurrent operators, only"),
            HasSubstr("either: node 'squeeze1' (Tanh), node 'squeeze0' (Relu)")));
  EXPECT_THAT(Refusal(change("DynamicQuantizeLSTM")),
              HasSubstr("node 'lstm0' (DynamicQuantizeLSTM): is quantized; export"));
}

TEST(OnnxTest, ExplainsHowToServeASigmoid) {
  EXPECT_THAT(Refusal([](ModelProto& m) {
                Node(m, "output").set_output(0, "z");
                AddNode(m, "Sigmoid", {"z"}, "logits");
              }),
              AllOf(HasSubstr("node 'added' (Sigmoid): is not supported: the server's posteriors"),
                    HasSubstr("as two units with the logits 0 and z")));
}

TEST(OnnxTest, RefusesBadTensorsByNodeAndName) {
  for (const char* name : {"W0", "R0", "B0", "P0", "weight", "bias"}) {
    const char* node = name[1] == '0' ? "node 'lstm0' (LSTM)" : "node 'output' (Gemm)";
    EXPECT_THAT(Refusal([&](ModelProto& m) { Tensor(m, name).set_name("other"); }),
                AllOf(HasSubstr(node), HasSubstr(absl::StrCat("no initializer '", name, "'"))));
    EXPECT_THAT(
        Refusal([&](ModelProto& m) {
          const float nan = std::numeric_limits<float>::quiet_NaN();
          std::memcpy(Tensor(m, name).mutable_raw_data()->data() + 4, &nan, sizeof(nan));
        }),
        AllOf(HasSubstr(node), HasSubstr(absl::StrCat("'", name, "' has nan as its value 1"))));
    EXPECT_THAT(Refusal([&](ModelProto& m) { Tensor(m, name).set_data_type(TensorProto::INT8); }),
                AllOf(HasSubstr(node), HasSubstr("not of floating-point numbers")));
    EXPECT_THAT(
        Refusal([&](ModelProto& m) { Tensor(m, name).set_data_location(TensorProto::EXTERNAL); }),
        AllOf(HasSubstr(node), HasSubstr("is in another file")));
    EXPECT_THAT(Refusal([&](ModelProto& m) { Tensor(m, name).mutable_raw_data()->resize(8); }),
                AllOf(HasSubstr(node), HasSubstr("but 2 values")));
  }
}

TEST(OnnxTest, RefusesWrongShapes) {
  EXPECT_THAT(Refusal([](ModelProto& m) {
                Tensor(m, "W0").set_dims(1, 5);
                Tensor(m, "W0").set_dims(2, 24);
              }),
              HasSubstr("node 'lstm0' (LSTM): 'W0' has the shape [1, 5, 24] but must have"));
  EXPECT_THAT(Refusal([](ModelProto& m) {
                for (auto& attribute : *Node(m, "lstm0").mutable_attribute()) attribute.set_i(5);
              }),
              HasSubstr("node 'lstm0' (LSTM): its hidden_size is 5, but 'W0' has 6 cells"));
  EXPECT_THAT(Refusal([](ModelProto& m) { Node(m, "lstm0").set_input(2, "R1"); }),
              HasSubstr("'R1' has the shape [1, 28, 7] but must have [1, 24, 6]"));
  EXPECT_THAT(Refusal([](ModelProto& m) { Node(m, "lstm1").set_input(0, "x2"); }),
              HasSubstr("node 'lstm1' (LSTM): has 7 outputs but what reads them has 6 inputs"));
}

TEST(OnnxTest, RefusesFilesThatAreNotModels) {
  const std::string bytes = *ReadFile(OnnxFolder() + "peepholes.onnx");
  for (const size_t size : {size_t{0}, size_t{1}, bytes.size() / 2, bytes.size() - 1}) {
    EXPECT_THAT(ImportOnnx(bytes.substr(0, size), "cut.onnx").status().message(),
                HasSubstr("cut.onnx: "));
  }
}

// A graph may not have cycles, but a file can.
TEST(OnnxTest, RefusesCycles) {
  Refusal([](ModelProto& m) { Node(m, "lstm0").set_input(0, "x1"); });
  Refusal([](ModelProto& m) {
    AddNode(m, "Identity", {"W0"}, "W0");
    Tensor(m, "W0").set_name("");
  });
  Refusal([](ModelProto& m) { Node(m, "output").set_input(0, "logits"); });
}

}  // namespace
}  // namespace ese
