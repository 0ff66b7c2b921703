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

TEST(StreamLifetimeTest, WithoutAConfigItEndsAtTheConfigTimeout) {
  StreamLifetime lifetime(&kOptions, At(5));
  lifetime.Active(At(14));
  EXPECT_EQ(lifetime.NextLook(), At(15));
  EXPECT_EQ(lifetime.Judge(At(15) - Duration(1)), Verdict::kLives);
  EXPECT_EQ(lifetime.Judge(At(15)), Verdict::kNoConfig);
}

TEST(StreamLifetimeTest, SilenceEndsItAndMessagesPutThatOff) {
  StreamLifetime lifetime(&kOptions, At(0));
  lifetime.ConfigCame();
  EXPECT_EQ(lifetime.NextLook(), At(60));
  lifetime.Active(At(30));
  EXPECT_EQ(lifetime.Judge(At(60)), Verdict::kLives);
  EXPECT_EQ(lifetime.NextLook(), At(90));
  EXPECT_EQ(lifetime.Judge(At(90)), Verdict::kIdle);
}

TEST(StreamLifetimeTest, AgeEndsItHoweverActiveItIs) {
  StreamLifetime lifetime(&kOptions, At(0));
  lifetime.ConfigCame();
  lifetime.Active(At(99));
  EXPECT_EQ(lifetime.NextLook(), At(100));
  EXPECT_EQ(lifetime.Judge(At(100) - Duration(1)), Verdict::kLives);
  EXPECT_EQ(lifetime.Judge(At(100)), Verdict::kOld);
}

TEST(StreamLifetimeTest, WithoutAMaximumAgeItLivesForever) {
  const LifetimeOptions options;
  StreamLifetime lifetime(&options, At(0));
  lifetime.ConfigCame();
  constexpr int kTenYears = 10 * 365 * 24 * 3600;
  lifetime.Active(At(kTenYears));
  EXPECT_EQ(lifetime.Judge(At(kTenYears)), Verdict::kLives);
  EXPECT_EQ(lifetime.NextLook(), At(kTenYears + 600));
}

}  // namespace
}  // namespace ese
