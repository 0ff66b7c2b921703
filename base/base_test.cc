// SPDX-License-Identifier: Apache-2.0
#include <sched.h>

#include <cstdint>
#include <latch>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/crc32c.h"
#include "base/fake_clock.h"
#include "base/processors.h"
#include "base/retry_after.h"
#include "base/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ese {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::Pair;
using ::testing::SizeIs;

TEST(ProcessorsTest, ReadsTheQuotasOfControlGroups) {
  EXPECT_EQ(QuotaOf("max 100000\n", 8), 8);
  EXPECT_EQ(QuotaOf("150000 100000\n", 8), 1.5);
  EXPECT_EQ(QuotaOf("900000 100000", 8), 8);
  for (const char* odd : {"", "max", "1", "0 100000", "1 0", "-1 100000", "a b", "1 2 3"}) {
    EXPECT_EQ(QuotaOf(odd, 8), 8) << odd;
  }
}

TEST(ProcessorsTest, FindsTheControlGroupsThatMayHaveAQuota) {
  EXPECT_THAT(GroupsOf("0::/system.slice/ese.service"),
              ElementsAre("", "/system.slice", "/system.slice/ese.service"));
  EXPECT_THAT(GroupsOf("0::/"), ElementsAre(""));
  EXPECT_THAT(GroupsOf("12:cpu:/old"), ElementsAre(""));
  EXPECT_THAT(GroupsOf(""), ElementsAre(""));
}

TEST(ProcessorsTest, ThisProcessHasAtMostTheProcessorsThatItMayRunOn) {
  cpu_set_t allowed;
  ASSERT_EQ(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
  EXPECT_GT(ProcessorsAllowed(), 0);
  EXPECT_LE(ProcessorsAllowed(), CPU_COUNT(&allowed));
  EXPECT_GE(ThreadsAllowed(), 1);
  EXPECT_LE(ThreadsAllowed(), CPU_COUNT(&allowed));
}

// The test vectors are from RFC 3720, appendix B.4.
TEST(Crc32cTest, EqualsThePublishedVectors) {
  EXPECT_EQ(Crc32c(std::string(32, '\0').data(), 32), 0x8A9136AAu);
  EXPECT_EQ(Crc32c(std::string(32, '\xFF').data(), 32), 0x62A8AB43u);
  EXPECT_EQ(Crc32c("123456789", 9), 0xE3069283u);
}

TEST(Crc32cTest, ContinuesWhereItLeftOff) {
  EXPECT_EQ(Crc32c("56789", 5, Crc32c("1234", 4)), Crc32c("123456789", 9));
}

TEST(AlignedBufferTest, IsAlignedAndZeroedAndCopiesItsContents) {
  AlignedBuffer<int16_t> a(3);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(a.data()) % kCacheLineBytes, 0u);
  EXPECT_EQ(a[0] | a[1] | a[2], 0);
  AlignedBuffer<int16_t> b = a;
  b[1] = 7;
  EXPECT_EQ(a[1], 0);
  a = std::move(b);
  EXPECT_EQ(a[1], 7);
  EXPECT_EQ(AlignedBuffer<int16_t>().size(), 0u);
}

TEST(RetryAfterTest, IsPartOfTheErrorAndRoundedUpToMilliseconds) {
  absl::Status status = absl::UnavailableError("full");
  EXPECT_EQ(RetryAfter(status), std::nullopt);
  SetRetryAfter(std::chrono::microseconds(1500), &status);
  EXPECT_EQ(RetryAfter(status), std::chrono::milliseconds(2));
  SetRetryAfter(std::chrono::seconds(3), &status);
  EXPECT_EQ(RetryAfter(status), std::chrono::seconds(3)) << "the last value counts";
  EXPECT_EQ(RetryAfter(absl::OkStatus()), std::nullopt);
  EXPECT_EQ(status.message(), "full");
}

TEST(FakeClockTest, MovesOnlyWhenTold) {
  FakeClock clock;
  const TimePoint start = clock.Now();
  EXPECT_EQ(clock.Now(), start);
  clock.Advance(std::chrono::milliseconds(5));
  EXPECT_EQ(clock.Now() - start, std::chrono::milliseconds(5));
}

TEST(FakeClockTest, AlarmsRingInOrderAndAtTheirTimes) {
  FakeClock clock;
  std::vector<std::pair<char, TimePoint>> rung;
  const auto ring = [&](char name) { return [&, name] { rung.emplace_back(name, clock.Now()); }; };
  const auto a = clock.MakeAlarm(ring('a'));
  auto b = clock.MakeAlarm(ring('b'));
  const TimePoint start = clock.Now();
  a->Set(start + milliseconds(5));
  a->Set(start + milliseconds(9));
  b->Set(start + milliseconds(3));
  clock.Advance(milliseconds(2));
  EXPECT_THAT(rung, SizeIs(0));
  clock.Advance(milliseconds(10));
  EXPECT_THAT(rung,
              ElementsAre(Pair('b', start + milliseconds(3)), Pair('a', start + milliseconds(5))))
      << "alarm a rings once, at the earlier of its times";
  b->Set(start);
  b.reset();
  clock.Advance(milliseconds(10));
  EXPECT_THAT(rung, SizeIs(2));
}

TEST(FakeClockTest, AnAlarmMaySetItselfAgain) {
  FakeClock clock;
  int rings = 0;
  std::unique_ptr<Alarm> alarm;
  alarm = clock.MakeAlarm([&] {
    ++rings;
    alarm->Set(clock.Now() + milliseconds(10));
  });
  alarm->Set(clock.Now());
  clock.Advance(Duration(0));
  EXPECT_EQ(rings, 1);
  clock.Advance(milliseconds(25));
  EXPECT_EQ(rings, 3);
}

TEST(RealAlarmTest, RingsOnItsOwnThreadAndNotAfterItsDestruction) {
  std::latch rung(2);
  std::unique_ptr<Alarm> alarm;
  alarm = Clock::Real()->MakeAlarm([&] {
    rung.count_down();
    if (!rung.try_wait()) alarm->Set(Clock::Real()->Now());
  });
  alarm->Set(Clock::Real()->Now() + std::chrono::hours(1));
  alarm->Set(Clock::Real()->Now());
  rung.wait();
  alarm->Set(Clock::Real()->Now() + std::chrono::hours(1));
  alarm.reset();
}

absl::StatusOr<int> Half(int n) {
  if (n % 2 != 0) return absl::InvalidArgumentError("odd");
  return n / 2;
}

absl::Status Quarter(int n, int* out) {
  ESE_ASSIGN_OR_RETURN(const int half, Half(n));
  ESE_ASSIGN_OR_RETURN(*out, Half(half));
  return absl::OkStatus();
}

TEST(StatusMacrosTest, ReturnTheFirstError) {
  int out = 0;
  EXPECT_TRUE(Quarter(12, &out).ok());
  EXPECT_EQ(out, 3);
  EXPECT_EQ(Quarter(6, &out).message(), "odd");
}

}  // namespace
}  // namespace ese
