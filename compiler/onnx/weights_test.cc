// SPDX-License-Identifier: Apache-2.0
#include "compiler/onnx/weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "compiler/onnx/testing.h"

namespace ese {
namespace {

using onnx::ModelProto;
using onnx::NodeProto;
using testing::HasSubstr;

// Adds a Slice of rows [begin, end) of `value`, with attributes (opset 9) or with inputs.
std::string AddSlice(ModelProto& m, const std::string& value, int64_t begin, int64_t end,
                     bool has_inputs) {
  const std::string name = absl::StrCat(value, "_", begin, "_", end);
  NodeProto& node = AddNode(m, "Slice", {value}, name);
  if (!has_inputs) {
    SetIntegers(node, "axes", {0});
    SetIntegers(node, "starts", {begin});
    SetIntegers(node, "ends", {end});
    return name;
  }
  const std::vector<int64_t> values[] = {{begin}, {end}, {0}, {1}};
  for (int k = 0; k < 4; ++k) {
    const std::string input = absl::StrCat(name, "_input", k);
    AddIntegers(m, input, values[k]);
    node.add_input(input);
  }
  return name;
}

// Stores W1 [1, 28, 6] as PyTorch does, with the gates i, f, g, o, and adds the nodes that reorder
// it to i, o, f, g.
void ReorderByNodes(ModelProto& m, bool has_inputs) {
  const std::vector<float> values = Floats(Tensor(m, "W1"));
  Tensor(m, "W1").set_name("unused");
  std::vector<float> stored;
  for (const int block : {0, 2, 3, 1}) {
    const auto first = values.begin() + block * 7 * 6;
    stored.insert(stored.end(), first, first + 7 * 6);
  }
  AddTensor(m, "stored", {28, 6}, stored);
  const std::string i = AddSlice(m, "stored", 0, 7, has_inputs);
  const std::string o = AddSlice(m, "stored", -7, 1000, has_inputs);
  const std::string fg = AddSlice(m, "stored", 7, 21, has_inputs);
  SetInteger(AddNode(m, "Concat", {i, o, fg}, "joined"), "axis", 0);
  SetIntegers(AddNode(m, "Unsqueeze", {"joined"}, "W1"), "axes", {0});
}

TEST(OnnxWeightsTest, FollowsNodesThatReorderGates) {
  for (const bool has_inputs : {false, true}) {
    ModelProto model = PeepholesModel();
    ReorderByNodes(model, has_inputs);
    ExpectPeepholesLogits(Import(model));
  }
}

TEST(OnnxWeightsTest, RefusesOtherNodes) {
  const auto change = [](const char* value, const char* attribute, int64_t number) {
    return Refusal([=](ModelProto& m) {
      ReorderByNodes(m, false);
      for (NodeProto& node : *m.mutable_graph()->mutable_node()) {
        if (node.output(0) != value) continue;
        for (auto& a : *node.mutable_attribute()) {
          if (a.name() != attribute) continue;
          a.set_i(number);
          if (a.ints_size() > 0) a.set_ints(0, number);
        }
      }
    });
  };
  EXPECT_THAT(
      change("stored_0_7", "axes", 1),
      HasSubstr("node 'lstm1' (LSTM): node 'added' (Slice): it computes a weight and slices "
                "something other than its rows; export with constant folding"));
  EXPECT_THAT(change("stored_0_7", "ends", 0), HasSubstr("slices no row"));
  EXPECT_THAT(change("joined", "axis", 1), HasSubstr("(Concat): it computes a weight and joins"));
  EXPECT_THAT(change("W1", "axes", 1), HasSubstr("adds an axis that is not the outermost"));
}

// Each node doubles the values of the previous one.
TEST(OnnxWeightsTest, ReadsNoMoreValuesThanTheFileHas) {
  EXPECT_THAT(Refusal([](ModelProto& m) {
                Tensor(m, "W1").set_name("W1_0");
                for (int k = 0; k < 60; ++k) {
                  const std::string below = absl::StrCat("W1_", k);
                  const std::string above = k == 59 ? "W1" : absl::StrCat("W1_", k + 1);
                  SetInteger(AddNode(m, "Concat", {below, below}, above), "axis", 0);
                }
              }),
              HasSubstr("node 'lstm1' (LSTM): node 'added' (Concat): it computes a weight and"));
}

}  // namespace
}  // namespace ese
