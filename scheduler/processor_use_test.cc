// SPDX-License-Identifier: Apache-2.0
#include "scheduler/processor_use.h"

#include <chrono>

#include "gtest/gtest.h"

namespace ese {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct FakeProcess final : ProcessorBudget {
  double processors() const override { return 4; }
  Duration Taken() const override { return taken; }

  // Uses this share of its four processors for this time, and reads the share every 10 ms.
  double Run(double share, Duration time) {
    for (const TimePoint end = now + time; now < end;) {
      now += milliseconds(10);
      taken += Duration(static_cast<int64_t>(share * 4 * 10e6));
      use.Share(now);
    }
    return use.Share(now);
  }

  TimePoint now = TimePoint(seconds(100));
  Duration taken = seconds(7);
  ProcessorUse use{this};
};

TEST(ProcessorUseTest, ReturnsTheUseInTheLastWindow) {
  FakeProcess process;
  EXPECT_EQ(process.use.Share(process.now), 0) << "the use is not known yet";
  EXPECT_NEAR(process.Run(0.5, seconds(2)), 0.5, 1e-6);
  EXPECT_NEAR(process.Run(0.9, milliseconds(320)), 0.9, 1e-6);
  EXPECT_NEAR(process.Run(0.1, milliseconds(320)), 0.1, 1e-6);
}

TEST(ProcessorUseTest, ForgetsALongRestWithinTwoWindows) {
  FakeProcess process;
  process.Run(0.5, seconds(1));
  process.now += seconds(1000);  // without a reading
  EXPECT_LT(process.use.Share(process.now), 0.01);
  EXPECT_NEAR(process.Run(0.8, 2 * ProcessorUse::kWindow), 0.8, 1e-6);
}

TEST(ProcessorUseTest, IsZeroWithoutABudget) {
  ProcessorUse use(nullptr);
  EXPECT_EQ(use.Share(TimePoint(seconds(1))), 0);
}

TEST(ProcessorUseTest, ThisProcessHasProcessorsAndUsesThem) {
  const ProcessorBudget& budget = *ProcessorBudget::Process();
  EXPECT_GT(budget.processors(), 0);
  const Duration before = budget.Taken();
  while (budget.Taken() == before) {
  }
  EXPECT_GT(budget.Taken(), before);
}

}  // namespace
}  // namespace ese
