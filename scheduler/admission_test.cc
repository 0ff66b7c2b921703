// SPDX-License-Identifier: Apache-2.0
#include "scheduler/admission.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "base/retry_after.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "scheduler/rate_meter.h"
#include "scheduler/real_time_credit.h"

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

Admission MakeAdmission() { return Admission(0.8, milliseconds(30), 100, nullptr); }

// A server with two processors, on which each frame takes frame_cost of processor time. Its streams
// send 100 frames a second in chunks of ten, and each chunk is a batch. Run advances the time in
// steps of a millisecond.
struct BusyServer final : ProcessorBudget {
  explicit BusyServer(Duration frame_cost) : frame_cost(frame_cost) {}

  double processors() const override { return 2; }
  Duration Taken() const override { return taken; }

  void Run(Duration time) {
    for (const TimePoint end = now + time; now < end; now += milliseconds(1)) {
      taken += milliseconds(1) * background;
      for (const TimePoint& opened : streams) {
        if ((now - opened) % milliseconds(100) != milliseconds(99)) continue;
        taken += 10 * frame_cost;
        admission.Taken(now, 10, 10, Duration(0));
      }
    }
  }
  absl::Status Check() { return admission.Check(now, /*capacity=*/1e9); }
  absl::Status Open() {
    absl::Status status = Check();
    if (status.ok()) {
      admission.Opened(now);
      streams.push_back(now);
    }
    return status;
  }

  const Duration frame_cost;
  int background = 0;  // processors that other work of the process uses
  TimePoint now = kStart;
  Duration taken{0};
  std::vector<TimePoint> streams;  // the time at which each was opened
  Admission admission{0.8, milliseconds(30), 100, this};
};

TEST(AdmissionTest, NewStreamsCountAsRealTimeForASecond) {
  Admission admission = MakeAdmission();
  constexpr double kCapacity = 1000;
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(admission.Check(kStart, kCapacity), absl::OkStatus()) << i;
    admission.Opened(kStart);
  }
  const absl::Status refusal = admission.Check(kStart, kCapacity);
  EXPECT_EQ(refusal.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(refusal.message(), HasSubstr("would need 90 %"));
  EXPECT_GE(RetryAfter(refusal).value_or(Duration(0)), seconds(1));
  // By then the streams have turned out to send little.
  admission.Taken(kStart + milliseconds(1500), 100, 100, Duration(0));
  EXPECT_NEAR(admission.Load(kStart + seconds(2), kCapacity), 0.1, 1e-9);
  EXPECT_EQ(admission.Check(kStart + seconds(2), kCapacity), absl::OkStatus());
}

TEST(AdmissionTest, RefusesWhileTheStreamsNeedTooMuch) {
  Admission admission = MakeAdmission();
  TimePoint now = kStart;
  for (int i = 0; i < 200; ++i) {
    admission.Taken(now, 8, 8, Duration(0));  // 800 a second
    now += milliseconds(10);
  }
  EXPECT_EQ(admission.Check(now, 1000).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(admission.Check(now, 1200), absl::OkStatus()) << "with one more channel";
  EXPECT_EQ(admission.Check(now, 0), absl::OkStatus()) << "the capacity is not measured";
  EXPECT_EQ(admission.Check(now + seconds(1), 1000), absl::OkStatus())
      << "the streams have become silent";
}

TEST(AdmissionTest, RefusesBeforeTheWaitsReachTheTarget) {
  Admission admission = MakeAdmission();
  TimePoint now = kStart;
  for (int i = 0; i < 3000; ++i) {
    admission.Taken(now += milliseconds(1), 1, 1, milliseconds(14));
  }
  EXPECT_EQ(admission.Check(now, 1e9), absl::OkStatus());
  for (int i = 0; i < 3000; ++i) {
    admission.Taken(now += milliseconds(1), 1, 1, milliseconds(16));
  }
  const absl::Status refusal = admission.Check(now, 1e9);
  EXPECT_EQ(refusal.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(refusal.message(), HasSubstr("wait for 16.0 ms, and new streams are refused above "
                                           "15.0 ms; try again in 1.0 s"));
  const absl::Status later = admission.Check(now + milliseconds(150), 1e9);
  EXPECT_THAT(later.message(), HasSubstr("refused above 7.5 ms")) << "barely below the target";
  EXPECT_EQ(admission.Check(now + milliseconds(250), 1e9), absl::OkStatus()) << "idle since then";
}

TEST(AdmissionTest, CountsWaitsBeforeTheSchedulerToo) {
  Admission admission = MakeAdmission();
  EXPECT_EQ(admission.Check(kStart, 1e9, milliseconds(14)), absl::OkStatus());
  EXPECT_FALSE(admission.Check(kStart, 1e9, milliseconds(16)).ok());
  EXPECT_FALSE(admission.Check(kStart, 1e9, milliseconds(8)).ok()) << "barely below the target";
  EXPECT_EQ(admission.Check(kStart, 1e9, milliseconds(7)), absl::OkStatus());
}

TEST(AdmissionTest, ForgetsASingleLongWaitWithinSeconds) {
  Admission admission = MakeAdmission();
  admission.Taken(kStart, 1, 1, seconds(60));
  EXPECT_FALSE(admission.Check(kStart, 1e9).ok());
  EXPECT_EQ(admission.Check(kStart + seconds(3), 1e9), absl::OkStatus());
}

TEST(AdmissionTest, FramesFasterThanRealTimeKeepNobodyOut) {
  Admission admission = MakeAdmission();
  TimePoint now = kStart;
  for (int i = 0; i < 3000; ++i) {
    admission.Taken(now += milliseconds(1), 16, 0, Duration(0));  // 16000 a second
  }
  EXPECT_EQ(admission.Check(now, 1000), absl::OkStatus());
}

TEST(AdmissionTest, DoesNotCountANewStreamTwice) {
  Admission admission = MakeAdmission();
  TimePoint now = kStart;
  // A new stream opens every ten milliseconds, while the open streams send frames.
  for (int open = 0; open < 100; ++open, now += milliseconds(10)) {
    admission.Taken(now, open, open, Duration(0));
    admission.Opened(now);
    EXPECT_NEAR(admission.Load(now, 10000), open / 100.0, 0.02);
  }
}

// A frame takes 1 ms, so two processors are enough for 20 streams.
TEST(AdmissionTest, RefusesBeforeTheProcessorsAreFull) {
  BusyServer server(milliseconds(1));
  absl::Status refusal;
  while (refusal.ok() && server.streams.size() < 100) {
    server.Run(milliseconds(73));
    refusal = server.Open();
  }
  EXPECT_EQ(refusal.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(refusal.message(), HasSubstr("of this server's processors"));
  EXPECT_GE(RetryAfter(refusal).value_or(Duration(0)), seconds(1));
  EXPECT_GE(server.streams.size(), 15);
  EXPECT_LE(server.streams.size(), 20);
}

// All streams come at once. The server already knows what a frame costs and accounts for what the
// new streams will need.
TEST(AdmissionTest, RefusesARushOfStreamsBeforeTheySend) {
  BusyServer server(milliseconds(1));
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(server.Open(), absl::OkStatus());
    server.Run(milliseconds(50));
  }
  server.Run(seconds(1));
  int accepted = 0;
  for (int i = 0; i < 1000; ++i) accepted += server.Open().ok() ? 1 : 0;
  EXPECT_GE(accepted, 7);
  EXPECT_LE(accepted, 10);
}

TEST(AdmissionTest, AfterFullUseWaitsUntilThereIsRoomForSeveralStreams) {
  BusyServer server(milliseconds(1));
  while (server.Open().ok()) server.Run(milliseconds(50));
  server.Run(seconds(1));
  const size_t full = server.streams.size();
  ASSERT_GE(full, 18);
  ASSERT_FALSE(server.Check().ok());
  server.streams.resize(full - 1);
  server.Run(seconds(1));
  EXPECT_NEAR(server.admission.Use(server.now), 0.05 * (full - 1), 0.03);
  EXPECT_FALSE(server.Check().ok());
  server.streams.resize(full - 4);
  server.Run(seconds(1));
  EXPECT_EQ(server.Check(), absl::OkStatus());
}

TEST(AdmissionTest, ProcessorsThatOtherWorkUsesAreNotAvailable) {
  BusyServer server(milliseconds(1));
  for (int i = 0; i < 5; ++i) {
    ASSERT_EQ(server.Open(), absl::OkStatus());
    server.Run(milliseconds(19));
  }
  server.background = 1;  // so that three quarters of the two processors are used
  server.Run(seconds(1));
  EXPECT_EQ(server.Check(), absl::OkStatus());
  server.background = 2;
  server.Run(seconds(1));
  EXPECT_FALSE(server.Check().ok());
}

TEST(AdmissionTest, AnIdleServerThatStartsIsNotMistakenForAFullOne) {
  BusyServer server(std::chrono::microseconds(10));
  server.Run(seconds(5));
  // Opening streams costs something, but there are no frames yet to attribute it to.
  for (int i = 0; i < 100; ++i) {
    server.taken += milliseconds(1);
    ASSERT_EQ(server.Open(), absl::OkStatus());
    server.Run(milliseconds(1));
  }
}

TEST(RealTimeCreditTest, CreditsRealTimeAndLetsAPauseBeMadeUpFor) {
  RealTimeCredit credit(100);
  TimePoint now = kStart;
  for (int i = 0; i < 100; ++i) EXPECT_EQ(credit.Take(10, now += milliseconds(100)), 10);
  EXPECT_EQ(credit.Take(500, now += seconds(60)), 100);
  EXPECT_EQ(credit.Take(50, now += milliseconds(100)), 10)
      << "frames come five times as fast as real time";
}

TEST(AdmissionTest, SpreadsTheHintsForRetries) {
  Admission admission = MakeAdmission();
  admission.Taken(kStart, 1, 1, seconds(60));
  const auto first = RetryAfter(admission.Check(kStart, 1e9));
  const auto second = RetryAfter(admission.Check(kStart, 1e9));
  ASSERT_TRUE(first && second);
  EXPECT_NE(*first, *second);
}

TEST(AdmissionTest, AdmitsAllWithoutALimit) {
  Admission admission(0, milliseconds(30), 100, nullptr);
  admission.Taken(kStart, 1000000, 1000000, seconds(60));
  EXPECT_EQ(admission.Check(kStart, 1), absl::OkStatus());
}

}  // namespace
}  // namespace ese
