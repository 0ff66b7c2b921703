// SPDX-License-Identifier: Apache-2.0
#include "server/channel_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ese {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(ChannelSpec, PlainNumbersAreProcessors) {
  for (const char* text : {"3", "cpu:3", "cpu:1,cpu:2"}) {
    const auto spec = ParseChannelSpec(text);
    ASSERT_TRUE(spec.ok()) << spec.status();
    EXPECT_EQ(spec->cpu, 3) << text;
    EXPECT_FALSE(spec->cards) << text;
  }
}

TEST(ChannelSpec, CardsAloneAndWithProcessors) {
  const auto mixed = ParseChannelSpec("cpu:2,xrt:all");
  ASSERT_TRUE(mixed.ok()) << mixed.status();
  EXPECT_EQ(mixed->cpu, 2);
  EXPECT_TRUE(mixed->cards);
  EXPECT_THAT(mixed->cards_only, IsEmpty());
  const auto some = ParseChannelSpec("xrt:0,xrt:2");
  ASSERT_TRUE(some.ok()) << some.status();
  EXPECT_EQ(some->cpu, 0);
  EXPECT_THAT(some->cards_only, ElementsAre(0, 2));
  EXPECT_THAT(ParseChannelSpec("xrt:0,xrt:all")->cards_only, IsEmpty());
}

TEST(ChannelSpec, ErrorsNameTheUnknownPart) {
  for (const char* text : {"many", "", "cpu:", "cpu:x", "xrt:", "xrt:-1", "gpu:1", "cpu:1,,"}) {
    const auto status = ParseChannelSpec(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr("does not name channels")) << text;
  }
}

}  // namespace
}  // namespace ese
