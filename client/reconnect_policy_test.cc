// SPDX-License-Identifier: Apache-2.0
#include "client/reconnect_policy.h"

#include "base/retry_after.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ese {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::Le;
using Progress = ReconnectPolicy::Progress;

const absl::Status kUnavailable = absl::UnavailableError("gone");
constexpr TimePoint kNow{seconds(100)};

ReconnectOptions Options() {
  return {
      .give_up_after = seconds(60), .first_wait = milliseconds(100), .longest_wait = seconds(1)};
}

TEST(ReconnectPolicyTest, ACallWithNewsGoesOnAtTheNextServerAtOnce) {
  ReconnectPolicy policy(3, 1, Options(), 1);
  EXPECT_EQ(policy.server(), 1u);
  for (const absl::Status& status :
       {kUnavailable, absl::CancelledError("shut down"), absl::DeadlineExceededError("silent")}) {
    const size_t next = (policy.server() + 1) % 3;
    EXPECT_EQ(*policy.Next(status, Progress::kNews, kNow), Duration(0));
    EXPECT_EQ(policy.server(), next);
  }
}

TEST(ReconnectPolicyTest, OtherErrorsEndTheStream) {
  ReconnectPolicy policy(2, 0, Options(), 1);
  for (const absl::Status& status :
       {absl::InvalidArgumentError("x"), absl::InternalError("x"), absl::PermissionDeniedError("x"),
        absl::ResourceExhaustedError("x")}) {
    EXPECT_EQ(policy.Next(status, Progress::kNews, kNow).status(), status);
  }
  EXPECT_FALSE(policy.Next(absl::InvalidArgumentError("x"), Progress::kNothing, kNow).ok());
  EXPECT_FALSE(policy.Next(absl::NotFoundError("x"), Progress::kNone, kNow).ok());
}

TEST(ReconnectPolicyTest, ANewStreamIsTriedOnceOnEveryServer) {
  ReconnectPolicy policy(2, 1, Options(), 1);
  EXPECT_EQ(*policy.Next(kUnavailable, Progress::kNone, kNow), Duration(0));
  EXPECT_EQ(policy.server(), 0u);
  const absl::Status status =
      policy.Next(absl::UnavailableError("full"), Progress::kNone, kNow).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(std::string(status.message()), "all 2 servers that were tried failed: full; and gone");
}

TEST(ReconnectPolicyTest, RoundsAreFurtherAndFurtherApart) {
  ReconnectPolicy policy(2, 0, Options(), 1);
  ASSERT_TRUE(policy.Next(kUnavailable, Progress::kNews, kNow).ok());
  for (const Duration wait : {milliseconds(100), milliseconds(200), milliseconds(400),
                              milliseconds(800), milliseconds(1000), milliseconds(1000)}) {
    EXPECT_EQ(*policy.Next(kUnavailable, Progress::kNothing, kNow), Duration(0));
    EXPECT_THAT(*policy.Next(kUnavailable, Progress::kNothing, kNow),
                AllOf(Ge(wait / 2), Le(wait)));
  }
  // A success begins anew.
  ASSERT_TRUE(policy.Next(kUnavailable, Progress::kNews, kNow).ok());
  EXPECT_EQ(*policy.Next(kUnavailable, Progress::kNothing, kNow), Duration(0));
  EXPECT_LE(*policy.Next(kUnavailable, Progress::kNothing, kNow), milliseconds(100));
}

TEST(ReconnectPolicyTest, TheOnlyServerIsGivenTimeAtOnce) {
  ReconnectPolicy policy(1, 0, Options(), 1);
  EXPECT_THAT(*policy.Next(kUnavailable, Progress::kNews, kNow),
              AllOf(Ge(milliseconds(50)), Le(milliseconds(100))));
}

TEST(ReconnectPolicyTest, WaitsDifferFromClientToClient) {
  ReconnectPolicy one(1, 0, Options(), 1);
  ReconnectPolicy other(1, 0, Options(), 2);
  EXPECT_NE(*one.Next(kUnavailable, Progress::kNews, kNow),
            *other.Next(kUnavailable, Progress::kNews, kNow));
}

TEST(ReconnectPolicyTest, TheShortestHintOfARoundIsWaitedFor) {
  ReconnectPolicy policy(2, 0, Options(), 1);
  const auto hinted = [](Duration hint) {
    absl::Status status = kUnavailable;
    SetRetryAfter(hint, &status);
    return status;
  };
  ASSERT_TRUE(policy.Next(kUnavailable, Progress::kNews, kNow).ok());
  ASSERT_TRUE(policy.Next(hinted(seconds(3)), Progress::kNothing, kNow).ok());
  EXPECT_EQ(*policy.Next(hinted(seconds(2)), Progress::kNothing, kNow), seconds(2));
  ASSERT_TRUE(policy.Next(kUnavailable, Progress::kNothing, kNow).ok());
  EXPECT_LE(*policy.Next(kUnavailable, Progress::kNothing, kNow), milliseconds(200));
}

TEST(ReconnectPolicyTest, GivesUpInTheEnd) {
  ReconnectPolicy policy(1, 0, Options(), 1);
  ASSERT_TRUE(policy.Next(kUnavailable, Progress::kNews, kNow).ok());
  EXPECT_TRUE(policy.Next(kUnavailable, Progress::kNothing, kNow + seconds(59)).ok());
  const absl::Status status =
      policy.Next(kUnavailable, Progress::kNothing, kNow + seconds(60)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("gone; no server continued the stream within 60 s"));
}

TEST(ReconnectPolicyTest, RefusedByEveryServer) {
  ReconnectPolicy policy(2, 0, Options(), 1);
  const absl::Status refusal = absl::PermissionDeniedError("another key");
  ASSERT_TRUE(policy.Next(kUnavailable, Progress::kNews, kNow).ok());
  EXPECT_TRUE(policy.Next(refusal, Progress::kNothing, kNow).ok());
  const absl::Status status =
      policy.Next(absl::NotFoundError("no such model"), Progress::kNothing, kNow).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("another key"), HasSubstr("no such model")));
}

TEST(ReconnectPolicyTest, RefusedByOneWhileTheOtherIsAway) {
  ReconnectPolicy policy(2, 0, Options(), 1);
  ASSERT_TRUE(policy.Next(kUnavailable, Progress::kNews, kNow).ok());
  for (int round = 0; round < 3; ++round) {
    EXPECT_TRUE(policy.Next(absl::PermissionDeniedError("x"), Progress::kNothing, kNow).ok());
    EXPECT_TRUE(policy.Next(absl::AlreadyExistsError("x"), Progress::kNothing, kNow).ok());
  }
}

}  // namespace
}  // namespace ese
