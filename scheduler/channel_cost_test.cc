// SPDX-License-Identifier: Apache-2.0
#include "scheduler/channel_cost.h"

#include <chrono>
#include <vector>

#include "gtest/gtest.h"

namespace ese {
namespace {

using std::chrono::microseconds;

// The cost is 100 us for each batch, 20 us for each step and 1 us for each frame.
constexpr ChannelCost kCost = {
    .per_batch_ns = 100'000, .per_step_ns = 20'000, .per_frame_ns = 1'000};

TEST(ChannelCostTest, ComputesThreeFiguresFromThreeMeasurements) {
  const ChannelCost cost = MeasuredCost(kCost.Of(1, 1), kCost.Of(4, 4), kCost.Of(4, 4 * 64), 64, 4);
  EXPECT_NEAR(cost.per_batch_ns, kCost.per_batch_ns, 2);
  EXPECT_NEAR(cost.per_step_ns, kCost.per_step_ns, 2);
  EXPECT_NEAR(cost.per_frame_ns, kCost.per_frame_ns, 2);
  EXPECT_EQ(cost.Of(10, 640), microseconds(100 + 200 + 640));
}

TEST(ChannelCostTest, NoFigureIsNegativeEvenWithOddMeasurements) {
  for (int one_step : {1, 7, 90}) {
    for (int one_lane : {1, 7, 90}) {
      for (int full : {1, 7, 90}) {
        for (int lanes : {1, 64}) {
          const ChannelCost cost = MeasuredCost(microseconds(one_step), microseconds(one_lane),
                                                microseconds(full), lanes, 4);
          EXPECT_GE(cost.per_batch_ns, 0);
          EXPECT_GE(cost.per_step_ns, 0);
          EXPECT_GE(cost.per_frame_ns, 0);
          EXPECT_TRUE(cost.measured());
        }
      }
    }
  }
}

TEST(ChannelCostTest, LearnsFromBatchesAndToleratesASingleOutlier) {
  ChannelCost cost = kCost;
  cost.Learn(10, 640, 1000 * kCost.Of(10, 640));
  EXPECT_LT(cost.factor, 1.1);
  for (int i = 0; i < 300; ++i) cost.Learn(10, 640, 3 * kCost.Of(10, 640));
  EXPECT_NEAR(cost.factor, 3, 0.01);
  EXPECT_NEAR(ToSeconds(cost.Of(1, 1)), 3 * ToSeconds(kCost.Of(1, 1)), 1e-6);
  ChannelCost unknown;
  unknown.Learn(1, 1, microseconds(5));
  EXPECT_EQ(unknown.factor, 1);
}

TEST(ChannelCostTest, ComputesFramesPerSecondWithAllLanes) {
  EXPECT_DOUBLE_EQ(kCost.FramesPerSecond(64, 10), 640 / 940e-6);
  EXPECT_EQ(ChannelCost().FramesPerSecond(64, 10), 0);
}

TEST(PlanLanesTest, KeepsTheBudgetExceptThatASlowChannelMayDoubleItsTime) {
  constexpr ChannelCost kSteep = {.per_step_ns = 120'000, .per_frame_ns = 10'000};
  EXPECT_EQ(PlanLanes(kSteep, 64, microseconds(300)), 18);
  EXPECT_EQ(PlanLanes(kSteep, 64, microseconds(1000)), 64);
  EXPECT_EQ(PlanLanes(kSteep, 64, microseconds(10)), 14) << "130 us with one lane, 260 us with 14";
  EXPECT_EQ(PlanLanes({.per_frame_ns = 1'000'000}, 64, microseconds(10)), 2);
  EXPECT_EQ(PlanLanes(ChannelCost(), 64, microseconds(10)), 64) << "the cost is unknown";
}

TEST(PlanStepsTest, TakesAsManyStepsAsAllLanesHave) {
  EXPECT_EQ(PlanSteps(kCost, std::vector<int>(64, 10), 16, microseconds(7500)), 10);
  EXPECT_EQ(PlanSteps(kCost, std::vector<int>(64, 100), 16, microseconds(7500)), 16);
  EXPECT_EQ(PlanSteps(kCost, std::vector<int>(1, 100), 16, microseconds(7500)), 16);
}

TEST(PlanStepsTest, KeepsTheBudgetButTakesAtLeastOneStep) {
  // A step of 64 lanes costs 84 us.
  EXPECT_EQ(PlanSteps(kCost, std::vector<int>(64, 16), 16, microseconds(100 + 84 * 5)), 5);
  EXPECT_EQ(PlanSteps(kCost, std::vector<int>(64, 16), 16, microseconds(100 + 84 * 5 - 1)), 4);
  EXPECT_EQ(PlanSteps(kCost, std::vector<int>(64, 16), 16, microseconds(1)), 1);
}

TEST(PlanStepsTest, TheBacklogOfAFewLanesDoesNotMakeTheOthersWait) {
  std::vector<int> waiting(64, 2);
  waiting[7] = waiting[30] = 100;
  EXPECT_EQ(PlanSteps(kCost, waiting, 16, microseconds(7500)), 2);
  // (20 + n) / n <= 2 * 84 / 64 holds from n = 13 lanes on.
  for (int i = 0; i < 12; ++i) waiting[i] = 100;
  EXPECT_EQ(PlanSteps(kCost, waiting, 16, microseconds(7500)), 16);
  waiting[7] = 2;
  waiting[8] = 2;
  EXPECT_EQ(PlanSteps(kCost, waiting, 16, microseconds(7500)), 2);
}

TEST(PlanStepsTest, AnUnmeasuredChannelTakesAllFrames) {
  EXPECT_EQ(PlanSteps(ChannelCost(), std::vector<int>{1, 3}, 16, microseconds(1)), 3);
}

TEST(EfficientLanesTest, AreEnoughToShareTheFixedCost) {
  // In batches of ten steps, a frame costs 30 / n + 1 us. The limit is 5/4 (30 / 64 + 1) us.
  EXPECT_EQ(EfficientLanes(kCost, 64, 10), 36);
  EXPECT_EQ(EfficientLanes({.per_frame_ns = 1000}, 64, 10), 1) << "there is no fixed cost to share";
  EXPECT_EQ(EfficientLanes({.per_batch_ns = 1000}, 64, 10), 52) << "all of the cost is fixed";
  EXPECT_EQ(EfficientLanes(ChannelCost(), 64, 10), 1) << "the cost is unknown";
}

}  // namespace
}  // namespace ese
