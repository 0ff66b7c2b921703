// SPDX-License-Identifier: Apache-2.0
#include "compiler/calibrate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "compiler/compile.h"
#include "compiler/testing.h"

namespace ese {
namespace {

using testing::HasSubstr;

absl::Status ReadStatus(const std::vector<int64_t>& shape, const std::vector<int64_t>& lengths) {
  SafetensorsWriter writer;
  int64_t elements = 1;
  for (const int64_t size : shape) elements *= size;
  writer.AddFloats("features", shape, std::vector<float>(elements, 0.5f));
  writer.AddIntegers("lengths", lengths);
  return ReadCalibration(*Safetensors::FromBytes(writer.Bytes(), "cal"), 3).status();
}

TEST(CalibrationTest, ReadsUtterances) {
  const Calibration made = MakeTestCalibration(3, {2, 1, 4});
  const auto file = Safetensors::FromBytes(CalibrationBytes(made), "cal");
  const auto read = ReadCalibration(*file, 3);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->features, made.features);
  EXPECT_EQ(read->lengths, made.lengths);
}

TEST(CalibrationTest, ErrorsNameTheTensorAndTheNumbers) {
  EXPECT_TRUE(ReadStatus({4, 3}, {1, 3}).ok());
  EXPECT_THAT(ReadStatus({4, 2}, {4}).message(),
              HasSubstr("'features' has the shape [4, 2]; the model needs [frames, 3]"));
  EXPECT_THAT(ReadStatus({12}, {4}).message(), HasSubstr("needs [frames, 3]"));
  EXPECT_THAT(ReadStatus({4, 3}, {3, 2}).message(), HasSubstr("2 frames for utterance 1"));
  EXPECT_THAT(ReadStatus({4, 3}, {0, 4}).message(), HasSubstr("0 frames for utterance 0"));
  EXPECT_THAT(ReadStatus({4, 3}, {-1}).message(), HasSubstr("-1 frames for utterance 0"));
  EXPECT_THAT(ReadStatus({4, 3}, {3}).message(), HasSubstr("leaves 1 of the 4 frames"));
  EXPECT_THAT(ReadStatus({0, 3}, {}).message(), HasSubstr("at least one frame"));
  const auto empty = Safetensors::FromBytes(SafetensorsWriter().Bytes(), "cal");
  EXPECT_EQ(ReadCalibration(*empty, 3).status().code(), absl::StatusCode::kNotFound);
}

TEST(CalibrationTest, SampleTakesEveryNthUtterance) {
  const Calibration all = MakeTestCalibration(2, {10, 20, 30, 40, 50});
  EXPECT_EQ(Sample(all, 150).lengths, all.lengths);
  const Calibration some = Sample(all, 75);
  EXPECT_THAT(some.lengths, testing::ElementsAre(10, 30, 50));
  EXPECT_EQ(some.features.size(), 90u * 2);
  EXPECT_EQ(some.features[20], all.features[60]);
  EXPECT_THAT(Sample(all, 1).lengths, testing::ElementsAre(10));
}

// Returns a compiled network whose projection weights are `gain` times the usual ones.
Compiled CompileWithProjectionGain(float gain, float feature_gain = 1) {
  TestNetwork made = MakeTestNetwork({.layers = {{.cells = 16, .projection = 8}}});
  for (float& w : made.tensors["lstm.weight_hr_l0"].values) w *= gain;
  // The gates do not see y, so that its range depends only on the gain.
  for (float& w : made.tensors["lstm.weight_hh_l0"].values) w = w > 0 ? 1e-4f : -1e-4f;
  Calibration calibration = MakeTestCalibration(6, {40, 40});
  for (float& f : calibration.features) f *= feature_gain;
  auto compiled = Compile(*made.Import(), &calibration, {});
  EXPECT_TRUE(compiled.ok()) << compiled.status();
  return compiled.ok() ? *std::move(compiled) : Compiled();
}

TEST(CalibrationTest, OutputFormatFollowsTheRangeOfY) {
  EXPECT_EQ(CompileWithProjectionGain(0.3f).report.model->layers[0].output_fraction_bits, 7);
  const int wide = CompileWithProjectionGain(3).report.model->layers[0].output_fraction_bits;
  EXPECT_LT(wide, 7);
  const int wider = CompileWithProjectionGain(6).report.model->layers[0].output_fraction_bits;
  EXPECT_EQ(wider, wide - 1);
  const int widest = CompileWithProjectionGain(100).report.model->layers[0].output_fraction_bits;
  EXPECT_EQ(widest, kMinFractionBits);
}

TEST(CalibrationTest, InputFormatFollowsTheRangeOfX) {
  // The features reach 3, for which Q2.5 is wide enough.
  EXPECT_EQ(CompileWithProjectionGain(1).report.model->input_fraction_bits, 5);
  EXPECT_EQ(CompileWithProjectionGain(1, 2).report.model->input_fraction_bits, 4);
  EXPECT_EQ(CompileWithProjectionGain(1, 0.1f).report.model->input_fraction_bits, kMaxFractionBits);
}

TEST(CalibrationTest, NamesFeaturesThatOverflowWhenNormalized) {
  ImportedNetwork imported = *MakeTestNetwork({}).Import();
  imported.network.input_inv_stddev[2] = 3e38f;
  Calibration calibration = MakeTestCalibration(6, {4});
  calibration.features.assign(calibration.features.size(), 0);
  calibration.features[3 * 6 + 2] = 5;
  const auto compiled = Compile(imported, &calibration, {});
  EXPECT_EQ(compiled.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(compiled.status().message(), AllOf(HasSubstr("value 2 of frame 3, 5, becomes inf"),
                                                 HasSubstr("input.inv_stddev (3e+38)")));
  Report report;
  report.model = Compile(imported, nullptr, {})->report.model;
  EXPECT_EQ(CompareWithNetwork(imported, &calibration, &report).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(CalibrationTest, CountsSaturatedValues) {
  const Fidelity none = *CompileWithProjectionGain(1).report.fidelity;
  ASSERT_EQ(none.saturations.size(), 4u);
  for (const Saturation& s : none.saturations) EXPECT_EQ(s.beyond, 0) << s.what;
  EXPECT_EQ(none.frames, 80);
  EXPECT_EQ(none.saturations[0].values, 80 * 6);
  EXPECT_EQ(none.saturations[1].values, 80 * 4 * 16);
  EXPECT_EQ(none.saturations[2].values, 80 * 16);
  EXPECT_EQ(none.saturations[3].values, 80 * 8);

  const Fidelity some = *CompileWithProjectionGain(100, 20).report.fidelity;
  EXPECT_GT(some.saturations[0].beyond, 0);  // x
  EXPECT_GT(some.saturations[1].beyond, 0);  // pre-activations
  EXPECT_GT(some.saturations[3].beyond, 0);  // y
}

}  // namespace
}  // namespace ese
