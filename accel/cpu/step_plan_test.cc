// SPDX-License-Identifier: Apache-2.0
#include "accel/cpu/step_plan.h"

#include "accel/cpu/kernel_registry.h"
#include "gtest/gtest.h"
#include "model/testing.h"

namespace ese {
namespace {

TEST(StepPlanTest, LooksUpToANumberOfLanes) {
  EXPECT_EQ(StepPlan::LookUpTo(0).LookupLanes(), "none");
  EXPECT_EQ(StepPlan::LookUpTo(1).LookupLanes(), "1");
  EXPECT_EQ(StepPlan::LookUpTo(64).LookupLanes(), "1-64");
  EXPECT_TRUE(StepPlan::LookUpTo(5).ByLookup(5));
  EXPECT_FALSE(StepPlan::LookUpTo(5).ByLookup(6));
}

// 11 us for a lane and 10 for each more, against 100 up to 16 lanes: 9 lanes take 91 and 10 take
// 101. Of two groups, 17 lanes take 172 and 18 take 182, against 177; 33 lanes (three groups) take
// 333, the 50 of four 504, against 335; 34 take 343.
TEST(StepPlanTest, TakesWhatCostsLess) {
  const StepPlan plan(StepCosts{.lookup = {11, 81, 161}, .columns = {100, 177, 335}});
  EXPECT_EQ(plan.LookupLanes(), "1-9,17,33");
}

// A tie goes to columns.
TEST(StepPlanTest, LookupCanCostLessEverywhereOrNowhere) {
  EXPECT_EQ(StepPlan(StepCosts{.lookup = {1, 1, 1}, .columns = {5, 5, 5}}).LookupLanes(), "1-64");
  EXPECT_EQ(StepPlan(StepCosts{.lookup = {5, 5, 5}, .columns = {5, 5, 5}}).LookupLanes(), "none");
}

// Whatever the clock says, the plan is one of the kernel's.
TEST(StepPlanTest, MeasuresEveryKernel) {
  const auto model = *PackedModel::Create(RandomModel({}));
  for (const StepKernel* kernel : SupportedKernels()) {
    const StepPlan plan = StepPlan::Measure(model, kernel);
    if (kernel->lookup() == nullptr) {
      EXPECT_EQ(plan.LookupLanes(), "none") << kernel->name();
    }
  }
}

}  // namespace
}  // namespace ese
