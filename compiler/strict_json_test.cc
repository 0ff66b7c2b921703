// SPDX-License-Identifier: Apache-2.0
#include "compiler/strict_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "nlohmann/json.hpp"

namespace ese {
namespace {

using testing::EndsWith;
using testing::HasSubstr;

// Returns `depth` nested lists.
std::string Nested(int depth) { return std::string(depth, '[') + std::string(depth, ']'); }

void ExpectRefused(const std::string& text, const std::string& why) {
  const auto parsed = ParseStrictJson(text, "file");
  EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument) << text;
  EXPECT_THAT(parsed.status().message(), HasSubstr("file: "));
  EXPECT_THAT(parsed.status().message(), HasSubstr(why));
}

TEST(StrictJsonTest, ReadsJson) {
  const auto parsed = ParseStrictJson(R"({"a": [1, {"b": "ü"}], "c": {"a": {}, "b": null}})", "f");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ((*parsed)["a"][1]["b"], "ü");
}

TEST(StrictJsonTest, RefusesOtherTextWithItsPosition) {
  ExpectRefused("", "not valid JSON: parse error at line 1, column 1");
  ExpectRefused("{\"a\": 1,\n \"b\": NaN}", "not valid JSON: parse error at line 2, column 7");
  ExpectRefused("{} x", "column 4");
  ExpectRefused("[1e999]", "number overflow parsing '1e999'");
  ExpectRefused(R"(["\udcff"])", "surrogate");
}

TEST(StrictJsonTest, DoesNotRepeatBytesThatAreNotUtf8) {
  EXPECT_THAT(std::string(ParseStrictJson("{\"a\xff\": 1}", "file").status().message()),
              EndsWith("invalid string: ill-formed UTF-8 byte"));
}

TEST(StrictJsonTest, RefusesDuplicateKeys) {
  ExpectRefused(R"({"a": 1, "b": 2, "a": 1})", "'a' is given twice");
  ExpectRefused(R"([{"a": {"b": 1, "c": {}, "b": 2}}])", "'b' is given twice");
}

TEST(StrictJsonTest, LimitsTheDepthOfNesting) {
  EXPECT_TRUE(ParseStrictJson(Nested(kMaxJsonDepth), "file").ok());
  ExpectRefused(Nested(kMaxJsonDepth + 1), "at most 64 levels are accepted");
  ExpectRefused(Nested(1000000), "levels deep");
}

}  // namespace
}  // namespace ese
