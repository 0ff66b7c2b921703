// SPDX-License-Identifier: Apache-2.0
#include "server/option_table.h"

#include <cmath>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ese {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// One option of each kind.
class OptionTableTest : public testing::Test {
 protected:
  OptionTableTest() { DeclareOptions(table_, app_); }

  absl::Status Parse(std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "program");
    app_.parse(static_cast<int>(arguments.size()), arguments.data());
    return CheckOptions(table_);
  }
  std::string ErrorOf(std::vector<const char*> arguments) {
    return std::string(Parse(std::move(arguments)).message());
  }

  int count_ = 3;
  int64_t bytes_ = 1 << 20;
  double load_ = 0.5;
  bool verbose_ = false;
  std::string name_ = "x";
  Duration wait_ = std::chrono::milliseconds(1500);
  Duration age_ = Duration::max();
  std::vector<Option> table_ = {
      {.group = "Numbers",
       .name = "count",
       .unit = "N",
       .member = &count_,
       .help = "How many.",
       .range = {.above_least = true, .most = 10}},
      {.group = "Numbers", .name = "bytes", .unit = "BYTES", .member = &bytes_, .help = "Size."},
      {.group = "Numbers", .name = "load", .unit = "FRACTION", .member = &load_, .help = "Load."},
      {.group = "Other", .name = "verbose", .unit = "", .member = &verbose_, .help = "Say more."},
      {.group = "Other",
       .name = "name",
       .unit = "NAME",
       .member = &name_,
       .help = "A name.",
       .check_syntax = [](const std::string& text) { return text == "?" ? "bad name" : ""; },
       .check =
           [this] {
             return name_ == "no" ? absl::InvalidArgumentError("--name is no") : absl::OkStatus();
           }},
      {.group = "Times",
       .name = "wait",
       .unit = "SECONDS",
       .member = DurationMember{.member = &wait_},
       .help = "A wait.",
       .range = kAboveZero},
      {.group = "Times",
       .name = "age-ms",
       .unit = "MILLISECONDS",
       .member =
           DurationMember{
               .member = &age_, .zero_is_forever = true, .unit = std::chrono::milliseconds(1)},
       .help = "An age."},
  };
  CLI::App app_;
};

TEST_F(OptionTableTest, WithoutFlagsEveryMemberKeepsItsDefault) {
  ASSERT_TRUE(Parse({}).ok());
  EXPECT_EQ(count_, 3);
  EXPECT_EQ(bytes_, 1 << 20);
  EXPECT_EQ(load_, 0.5);
  EXPECT_FALSE(verbose_);
  EXPECT_EQ(name_, "x");
  EXPECT_EQ(wait_, std::chrono::milliseconds(1500));
  EXPECT_EQ(age_, Duration::max());
}

TEST_F(OptionTableTest, FlagsSetTheirMembers) {
  ASSERT_TRUE(Parse({"--count", "10", "--bytes", "5000000000", "--load", "0", "--verbose", "--name",
                     "y", "--wait", "0.25", "--age-ms", "20"})
                  .ok());
  EXPECT_EQ(count_, 10);
  EXPECT_EQ(bytes_, 5'000'000'000);
  EXPECT_EQ(load_, 0);
  EXPECT_TRUE(verbose_);
  EXPECT_EQ(name_, "y");
  EXPECT_EQ(wait_, std::chrono::milliseconds(250));
  EXPECT_EQ(age_, std::chrono::milliseconds(20));
}

TEST_F(OptionTableTest, RangesAreChecked) {
  EXPECT_EQ(ErrorOf({"--count", "0"}), "--count is 0; it must be above 0 and at most 10");
  EXPECT_EQ(ErrorOf({"--count", "11"}), "--count is 11; it must be above 0 and at most 10");
  EXPECT_EQ(ErrorOf({"--count", "1", "--bytes", "-1"}), "--bytes is -1; it must be 0 or above");
}

TEST_F(OptionTableTest, NumbersMustBeFinite) {
  EXPECT_EQ(ErrorOf({"--load", "nan"}), "--load is nan; it must be 0 or above");
  EXPECT_EQ(ErrorOf({"--load", "inf"}), "--load is inf; it must be 0 or above");
}

TEST_F(OptionTableTest, DurationsAreCheckedInTheirUnit) {
  EXPECT_EQ(ErrorOf({"--wait", "0"}), "--wait is 0; it must be above 0");
  EXPECT_EQ(ErrorOf({"--wait", "1", "--age-ms", "-2.5"}),
            "--age-ms is -2.5; it must be 0 or above");
}

TEST_F(OptionTableTest, ALongDurationIsCutToOneThatFits) {
  ASSERT_TRUE(Parse({"--wait", "1e300"}).ok());
  EXPECT_EQ(wait_, std::chrono::seconds(1'000'000'000));
}

TEST_F(OptionTableTest, AnOptionMayHaveItsOwnChecks) {
  EXPECT_EQ(ErrorOf({"--name", "no"}), "--name is no");
  EXPECT_THROW((void)Parse({"--name", "?"}), CLI::ValidationError);
}

TEST_F(OptionTableTest, HelpHasGroupsUnitsRangesAndDefaults) {
  const std::string help = app_.help();
  EXPECT_THAT(help, HasSubstr("Numbers:"));
  EXPECT_THAT(help, HasSubstr("--count N"));
  EXPECT_THAT(help, HasSubstr("How many. (above 0 and at most 10; default 3)"));
  EXPECT_THAT(help, HasSubstr("Size. (0 or above; default 1048576)"));
  EXPECT_THAT(help, HasSubstr("A name. (default x)"));
  EXPECT_THAT(help, HasSubstr("A wait. (above 0; default 1.5)"));
  EXPECT_THAT(help, HasSubstr("An age. (0 or above; default 0)"));
  EXPECT_THAT(help, Not(HasSubstr("Say more. (")));
}

}  // namespace
}  // namespace ese
