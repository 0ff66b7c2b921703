// SPDX-License-Identifier: Apache-2.0
#include "compiler/causes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "compiler/compile.h"
#include "compiler/report.h"
#include "compiler/testing.h"
#include "nlohmann/json.hpp"

namespace ese {
namespace {

using testing::HasSubstr;

Report Compiled(const TestNetwork& made, const Calibration& calibration,
                const CompileOptions& options = {}) {
  const auto compiled = Compile(*made.Import(), &calibration, options);
  EXPECT_TRUE(compiled.ok()) << compiled.status();
  return compiled.ok() ? compiled->report : Report();
}

std::vector<std::string> Names(const std::vector<Cause>& causes) {
  std::vector<std::string> names;
  for (const Cause& cause : causes) names.push_back(cause.what);
  return names;
}

TEST(CausesTest, ListsEveryQuantizedThingInOrder) {
  const TestNetwork made =
      MakeTestNetwork({.layers = {{.cells = 8, .projection = 4, .peepholes = true}, {.cells = 6}}});
  const Report report = Compiled(made, MakeTestCalibration(6, {20, 30}));
  EXPECT_THAT(Names(report.causes),
              testing::ElementsAre(
                  "input", "layer 0 gate weights", "layer 0 gate functions", "layer 0 cells c",
                  "layer 0 cells' outputs m", "layer 0 projection weights",
                  "layer 0 projected outputs y", "layer 1 gate weights", "layer 1 gate functions",
                  "layer 1 cells c", "layer 1 cells' outputs m", "output weights"));
  for (const Cause& cause : report.causes) {
    EXPECT_GT(cause.logits_snr_db, report.fidelity->logits_snr_db - 3) << cause.what;
    EXPECT_TRUE(std::isfinite(cause.logits_snr_db)) << cause.what;
  }
}

TEST(CausesTest, WeightsThatSevenBitsHoldExactlyCostNothing) {
  TestNetwork made = MakeTestNetwork({});
  for (const char* name : {"output.weight", "output.bias"}) {
    for (float& value : made.tensors[name].values) value = std::round(value * 16) / 16;
  }
  const Report report = Compiled(made, MakeTestCalibration(6, {20}));
  ASSERT_EQ(report.causes.back().what, "output weights");
  EXPECT_EQ(report.causes.back().logits_snr_db, HUGE_VAL);
  EXPECT_THAT(JsonReport(report), HasSubstr("\"output weights\""));
}

TEST(CausesTest, NamesTheInputWhereItSaturates) {
  CompileOptions options;
  options.input_fraction_bits = 7;  // x saturates at 1
  const Report report = Compiled(MakeTestNetwork({}), MakeTestCalibration(6, {40}), options);
  const Cause& largest = LargestCause(report.causes);
  EXPECT_EQ(largest.what, "input");
  EXPECT_LT(largest.logits_snr_db, 20);
  EXPECT_THAT(TextReport(report, /*everything=*/false),
              HasSubstr("most would be gained at: input; give every feature a similar range"));
}

TEST(CausesTest, SaturatedCellsThatCostNothingAreNoCause) {
  TestNetwork made = MakeTestNetwork({.layers = {{.cells = 4}}});
  // The gates i and f are open and g is 1, so that each cell counts the frames, beyond 32.
  for (const char* name : {"lstm.weight_ih_l0", "lstm.weight_hh_l0", "lstm.bias_hh_l0"}) {
    for (float& value : made.tensors[name].values) value = 0;
  }
  made.tensors["lstm.bias_ih_l0"].values.assign(16, 12);
  for (int cell = 0; cell < 4; ++cell) {
    made.tensors["lstm.bias_ih_l0"].values[cell] = 0;  // i = 0.5
  }
  const Report report = Compiled(made, MakeTestCalibration(6, {100}));
  EXPECT_GT(report.fidelity->saturations[2].beyond, 0);
  EXPECT_EQ(report.fidelity->saturations[2].what, "layer 0 cells c");
  // tanh is 1 beyond 32 too, so the saturation costs nothing, and the causes say so.
  EXPECT_GT(report.causes[3].logits_snr_db, 60);
}

}  // namespace
}  // namespace ese
