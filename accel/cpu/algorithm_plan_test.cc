// SPDX-License-Identifier: Apache-2.0
#include "accel/cpu/algorithm_plan.h"

#include "accel/cpu/kernels/kernel_registry.h"
#include "gtest/gtest.h"
#include "model/testing.h"

namespace ese {
namespace {

TEST(AlgorithmPlanTest, UsesLookUpUpToANumberOfLanes) {
  EXPECT_EQ(AlgorithmPlan::LookupUpTo(0).LookupLanes(), "none");
  EXPECT_EQ(AlgorithmPlan::LookupUpTo(1).LookupLanes(), "1");
  EXPECT_EQ(AlgorithmPlan::LookupUpTo(64).LookupLanes(), "1-64");
  EXPECT_EQ(AlgorithmPlan::LookupUpTo(5).For(5), Algorithm::kLookup);
  EXPECT_EQ(AlgorithmPlan::LookupUpTo(5).For(6), Algorithm::kColumns);
}

// Look-up takes 11 us for the first lane of a group and 10 us for each further lane. Columns take
// 100 us up to 16 lanes: with look-up, 9 lanes take 91 us and 10 take 101. Columns take 177 us up
// to 32 lanes: with look-up, 17 lanes (two groups) take 172 us and 18 take 182. Columns take 335 us
// above: with look-up, 33 lanes (three groups) take 333 us, 34 take 343, and 50 (four groups) take
// 504.
TEST(AlgorithmPlanTest, ChoosesWhatCostsLess) {
  const AlgorithmPlan plan(AlgorithmCosts{.lookup = {11, 81, 161}, .columns = {100, 177, 335}});
  EXPECT_EQ(plan.LookupLanes(), "1-9,17,33");
}

// A tie goes to columns.
TEST(AlgorithmPlanTest, LookupCanCostLessEverywhereOrNowhere) {
  EXPECT_EQ(AlgorithmPlan(AlgorithmCosts{.lookup = {1, 1, 1}, .columns = {5, 5, 5}}).LookupLanes(),
            "1-64");
  EXPECT_EQ(AlgorithmPlan(AlgorithmCosts{.lookup = {5, 5, 5}, .columns = {5, 5, 5}}).LookupLanes(),
            "none");
}

// No matter what is measured, the plan uses only algorithms that the kernel has.
TEST(AlgorithmPlanTest, MeasuresEveryKernel) {
  const auto model = *PackedModel::Create(RandomModel({}));
  for (const Kernel* kernel : SupportedKernels()) {
    const AlgorithmPlan plan = AlgorithmPlan::Measure(model, kernel);
    if (kernel->lookup() == nullptr) {
      EXPECT_EQ(plan.LookupLanes(), "none") << kernel->name();
    }
  }
}

}  // namespace
}  // namespace ese
