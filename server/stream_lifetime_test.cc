// SPDX-License-Identifier: Apache-2.0
#include "server/stream_lifetime.h"

#include "gtest/gtest.h"

namespace ese {
namespace {

using Verdict = StreamLifetime::Verdict;
using std::chrono::seconds;

constexpr TimePoint At(int s) { return TimePoint(seconds(s)); }

const LifetimeOptions kOptions = {
    .config_timeout = seconds(10), .idle_timeout = seconds(60), .max_age = seconds(100)};

TEST(StreamLifetimeTest, AStreamWithoutAConfigEndsAtTheConfigTimeout) {
  StreamLifetime lifetime(&kOptions, At(5));
  lifetime.NoteActivity(At(14));
  EXPECT_EQ(lifetime.NextCheck(), At(15));
  EXPECT_EQ(lifetime.Check(At(15) - Duration(1)), Verdict::kAlive);
  EXPECT_EQ(lifetime.Check(At(15)), Verdict::kConfigOverdue);
}

TEST(StreamLifetimeTest, AnIdleStreamEndsAndMessagesPostponeThat) {
  StreamLifetime lifetime(&kOptions, At(0));
  lifetime.NoteConfig();
  EXPECT_EQ(lifetime.NextCheck(), At(60));
  lifetime.NoteActivity(At(30));
  EXPECT_EQ(lifetime.Check(At(60)), Verdict::kAlive);
  EXPECT_EQ(lifetime.NextCheck(), At(90));
  EXPECT_EQ(lifetime.Check(At(90)), Verdict::kIdle);
}

TEST(StreamLifetimeTest, AnOldStreamEndsEvenIfItIsActive) {
  StreamLifetime lifetime(&kOptions, At(0));
  lifetime.NoteConfig();
  lifetime.NoteActivity(At(99));
  EXPECT_EQ(lifetime.NextCheck(), At(100));
  EXPECT_EQ(lifetime.Check(At(100) - Duration(1)), Verdict::kAlive);
  EXPECT_EQ(lifetime.Check(At(100)), Verdict::kTooOld);
}

TEST(StreamLifetimeTest, WithoutAMaximumAgeAnActiveStreamNeverEnds) {
  const LifetimeOptions options;
  StreamLifetime lifetime(&options, At(0));
  lifetime.NoteConfig();
  constexpr int kTenYears = 10 * 365 * 24 * 3600;
  lifetime.NoteActivity(At(kTenYears));
  EXPECT_EQ(lifetime.Check(At(kTenYears)), Verdict::kAlive);
  EXPECT_EQ(lifetime.NextCheck(), At(kTenYears + 600));
}

}  // namespace
}  // namespace ese
