#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "base/aligned_buffer.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/retry_after.h"
#include "base/status.h"

namespace ese {
namespace {

// RFC 3720, B.4.
TEST(Crc32cTest, PublishedVectors) {
  EXPECT_EQ(Crc32c(std::string(32, '\0').data(), 32), 0x8A9136AAu);
  EXPECT_EQ(Crc32c(std::string(32, '\xFF').data(), 32), 0x62A8AB43u);
  EXPECT_EQ(Crc32c("123456789", 9), 0xE3069283u);
}

TEST(Crc32cTest, ContinuesWhereItLeftOff) {
  EXPECT_EQ(Crc32c("56789", 5, Crc32c("1234", 4)), Crc32c("123456789", 9));
}

TEST(AlignedBufferTest, IsAlignedZeroedAndCopiesDeeply) {
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

TEST(RetryAfterTest, TravelsWithTheErrorInWholeMillisecondsRoundedUp) {
  absl::Status status = absl::UnavailableError("full");
  EXPECT_EQ(RetryAfter(status), std::nullopt);
  SetRetryAfter(std::chrono::microseconds(1500), &status);
  EXPECT_EQ(RetryAfter(status), std::chrono::milliseconds(2));
  SetRetryAfter(std::chrono::seconds(3), &status);
  EXPECT_EQ(RetryAfter(status), std::chrono::seconds(3)) << "the latest";
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
