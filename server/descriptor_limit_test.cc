// SPDX-License-Identifier: Apache-2.0
#include "server/descriptor_limit.h"

#include <fcntl.h>
#include <sys/resource.h>

#include "base/unique_fd.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ese {
namespace {

using ::testing::HasSubstr;

TEST(DescriptorLimitTest, RaisesTheSoftLimitToTheHardOne) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit low{.rlim_cur = 64, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
  RaiseDescriptorLimit();
  rlimit after{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &after), 0);
  EXPECT_EQ(after.rlim_cur, before.rlim_max);
}

TEST(DescriptorLimitTest, CountsOpenDescriptors) {
  const int before = OpenDescriptors();
  const UniqueFd one(::open("/dev/null", O_RDONLY));
  EXPECT_EQ(OpenDescriptors(), before + 1);
}

TEST(DescriptorLimitTest, ByDefaultTakesWhatFits) {
  EXPECT_EQ(*ChooseMaxConnections(0, 1024, 20), (1024 - 20 - kReservedDescriptors) / 2);
  EXPECT_EQ(*ChooseMaxConnections(0, 1'000'000, 20), kDefaultMaxConnections);
}

TEST(DescriptorLimitTest, RefusesMoreThanFit) {
  EXPECT_EQ(*ChooseMaxConnections(400, 1024, 20), 400);
  const absl::Status status = ChooseMaxConnections(500, 1024, 20).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("--max-connections is 500, but the limit of 1024 file descriptors leaves "
                        "room for 490 connections; raise it (ulimit -n"));
  EXPECT_THAT(std::string(ChooseMaxConnections(0, 40, 30).status().message()),
              HasSubstr("the limit of 40 file descriptors leaves room for 0 connections"));
}

}  // namespace
}  // namespace ese
