// SPDX-License-Identifier: Apache-2.0
#include "compiler/float_lstm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "base/test_paths.h"
#include "compiler/files.h"
#include "compiler/safetensors_import.h"
#include "compiler/testing.h"

namespace ese {
namespace {

// The parameters are networks that PyTorch ran (tests/golden/compiler/README.md).
class FloatLstmGoldenTest : public testing::TestWithParam<std::string> {};

TEST_P(FloatLstmGoldenTest, LogitsAgreeWithPyTorch) {
  const std::string path = SourceDir() + "/tests/golden/compiler/" + GetParam();
  const auto topology = ParseTopology(*ReadFile(path + ".json"), path);
  ASSERT_TRUE(topology.ok()) << topology.status();
  const auto weights = Safetensors::FromFile(path + ".safetensors");
  ASSERT_TRUE(weights.ok()) << weights.status();
  const auto imported = ImportSafetensors(*topology, *weights);
  ASSERT_TRUE(imported.ok()) << imported.status();
  ExpectGoldenLogits(*imported, path + "_calibration.safetensors", 2e-5);
}

INSTANTIATE_TEST_SUITE_P(Networks, FloatLstmGoldenTest, testing::Values("projected", "stacked"),
                         [](const auto& info) { return info.param; });

double Sigmoid(double z) { return 1 / (1 + std::exp(-z)); }

// One cell with peepholes and a sigmoid g, computed by hand. The gates i and f see c before the
// step, and o sees it after.
TEST(FloatLstmTest, ComputesPeepholesAndSigmoidG) {
  TestNetwork made = MakeTestNetwork(
      {.inputs = 1, .layers = {{.cells = 1, .peepholes = true, .g = "sigmoid"}}, .units = 1});
  made.tensors["lstm.weight_ih_l0"].values = {0.1f, 0.2f, 0.3f, 0.4f};
  made.tensors["lstm.weight_hh_l0"].values = {0.5f, 0.6f, 0.7f, 0.8f};
  made.tensors["lstm.bias_ih_l0"].values = {0, 1, 0, 0};
  made.tensors["lstm.bias_hh_l0"].values = {0, 0, 0, 0.5f};
  made.tensors["lstm.weight_ci_l0"].values = {-1};
  made.tensors["lstm.weight_cf_l0"].values = {2};
  made.tensors["lstm.weight_co_l0"].values = {3};
  made.tensors["output.weight"].values = {1};
  made.tensors["output.bias"].values = {0};
  const Network network = Unpruned(made.Import()->network);
  FloatLstm lstm(&network);
  double c = 0;
  double y = 0;
  for (const float x : {1.0f, -2.0f, 0.5f}) {
    const double i = Sigmoid(0.1 * x + 0.5 * y - c);
    const double f = Sigmoid(0.2 * x + 0.6 * y + 1 + 2 * c);
    const double g = Sigmoid(0.3 * x + 0.7 * y);
    c = f * c + i * g;
    y = Sigmoid(0.4 * x + 0.8 * y + 0.5 + 3 * c) * std::tanh(c);
    lstm.Step(&x);
    EXPECT_NEAR(lstm.c(0)[0], c, 1e-6);
    EXPECT_NEAR(lstm.logits()[0], y, 1e-6);
  }
}

}  // namespace
}  // namespace ese
