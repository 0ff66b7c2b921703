// SPDX-License-Identifier: Apache-2.0
#include "accel/cpu/packed_model.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/testing.h"

namespace ese {
namespace {

using ::testing::HasSubstr;

TEST(PackedModelTest, RefusesMoreColumnsThanAnIndexReaches) {
  const auto packed = PackedModel::Create(
      RandomModel({.inputs = kMaxColumns - 1, .layers = {{.cells = 2}}, .density = 0.1}));
  EXPECT_EQ(packed.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(packed.status().message(), HasSubstr("layer 0's gates has 8193 columns"));
}

}  // namespace
}  // namespace ese
