#include "scheduler/admission.h"

#include <chrono>

#include "base/retry_after.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "scheduler/rate_meter.h"

namespace ese {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

constexpr TimePoint kStart = TimePoint(seconds(100));

TEST(RateMeterTest, CountsTheLastWindow) {
  RateMeter meter(seconds(1));
  EXPECT_EQ(meter.PerSecond(kStart), 0);
  for (int i = 0; i < 2000; ++i) meter.Add(1, kStart + milliseconds(i));
  EXPECT_NEAR(meter.PerSecond(kStart + milliseconds(1999)), 1000, 2);
  EXPECT_NEAR(meter.Count(kStart + milliseconds(2500)), 500, 2);
  EXPECT_EQ(meter.Count(kStart + seconds(3)), 0);
  EXPECT_EQ(meter.Count(kStart + seconds(300)), 0);
}

Admission MakeAdmission() { return Admission(0.8, milliseconds(30), 100); }

TEST(AdmissionTest, NewStreamsCountAsRealTimeOnesForASecond) {
  Admission admission = MakeAdmission();
  constexpr double kCapacity = 1000;
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(admission.Check(kStart, kCapacity), absl::OkStatus()) << i;
    admission.Opened(kStart);
  }
  const absl::Status refusal = admission.Check(kStart, kCapacity);
  EXPECT_EQ(refusal.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(refusal.message(), HasSubstr("need 90 %"));
  EXPECT_GE(RetryAfter(refusal).value_or(Duration(0)), seconds(1));
  // They turned out to send little.
  admission.Taken(kStart + milliseconds(1500), 100, Duration(0));
  EXPECT_NEAR(admission.Load(kStart + seconds(2), kCapacity), 0.1, 1e-9);
  EXPECT_EQ(admission.Check(kStart + seconds(2), kCapacity), absl::OkStatus());
}

TEST(AdmissionTest, RefusesWhileTheStreamsNeedTooMuch) {
  Admission admission = MakeAdmission();
  TimePoint now = kStart;
  for (int i = 0; i < 200; ++i) {
    admission.Taken(now, 8, Duration(0));  // 800 a second
    now += milliseconds(10);
  }
  EXPECT_EQ(admission.Check(now, 1000).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(admission.Check(now, 1200), absl::OkStatus()) << "a channel more";
  EXPECT_EQ(admission.Check(now, 0), absl::OkStatus()) << "not measured";
  EXPECT_EQ(admission.Check(now + seconds(1), 1000), absl::OkStatus()) << "they have gone quiet";
}

TEST(AdmissionTest, RefusesBeforeTheWaitsReachTheTarget) {
  Admission admission = MakeAdmission();
  TimePoint now = kStart;
  for (int i = 0; i < 3000; ++i) {
    admission.Taken(now += milliseconds(1), 1, milliseconds(14));
  }
  EXPECT_EQ(admission.Check(now, 1e9), absl::OkStatus());
  for (int i = 0; i < 3000; ++i) {
    admission.Taken(now += milliseconds(1), 1, milliseconds(16));
  }
  const absl::Status refusal = admission.Check(now, 1e9);
  EXPECT_EQ(refusal.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(refusal.message(), HasSubstr("wait for 16 ms"));
  EXPECT_EQ(admission.Check(now + milliseconds(100), 1e9), absl::OkStatus()) << "idle since";
}

TEST(AdmissionTest, OneLongWaitIsForgottenWithinSeconds) {
  Admission admission = MakeAdmission();
  admission.Taken(kStart, 1, seconds(60));
  EXPECT_FALSE(admission.Check(kStart, 1e9).ok());
  EXPECT_EQ(admission.Check(kStart + seconds(3), 1e9), absl::OkStatus());
}

TEST(AdmissionTest, HintsSpreadThoseThatComeBack) {
  Admission admission = MakeAdmission();
  admission.Taken(kStart, 1, seconds(60));
  const auto first = RetryAfter(admission.Check(kStart, 1e9));
  const auto second = RetryAfter(admission.Check(kStart, 1e9));
  ASSERT_TRUE(first && second);
  EXPECT_NE(*first, *second);
}

TEST(AdmissionTest, NoLimitAdmitsAll) {
  Admission admission(0, milliseconds(30), 100);
  admission.Taken(kStart, 1000000, seconds(60));
  EXPECT_EQ(admission.Check(kStart, 1), absl::OkStatus());
}

}  // namespace
}  // namespace ese
