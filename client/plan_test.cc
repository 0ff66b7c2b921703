// SPDX-License-Identifier: Apache-2.0
#include "client/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

namespace ese {
namespace {

using testing::HasSubstr;

// Writes a file and returns its path.
std::string File(const std::string& name, const std::string& text) {
  const std::string path = testing::TempDir() + "/plan_test_" + name;
  std::ofstream(path) << text;
  return path;
}

std::string Report(const std::string& name, int64_t streams, double limit) {
  std::ostringstream text;
  text << R"({"most_streams": )" << streams << R"(, "p99_limit_ms": )" << limit << "}";
  return File(name, text.str());
}

absl::StatusOr<std::string> Plan(const PlanOptions& options) {
  std::ostringstream out, err;
  Console console{0, out, err};
  const absl::Status status = RunPlan(options, console);
  if (!status.ok()) return status;
  return out.str();
}

TEST(PlanTest, RoundsServersUpAndKeepsHeadRoom) {
  const MeasuredServer server{"", 1000, 30};
  EXPECT_EQ(ServersFor(1, server, 0.6), 1);
  EXPECT_EQ(ServersFor(600, server, 0.6), 1);
  EXPECT_EQ(ServersFor(601, server, 0.6), 2);
  EXPECT_EQ(ServersFor(1'000'000, server, 1), 1000);
}

TEST(PlanTest, NeverUsesAMeasurementWithALooserLimit) {
  const std::vector<MeasuredServer> measured = {
      {"loose", 2000, 100}, {"tight", 900, 10}, {"fits", 1200, 30}};
  EXPECT_EQ(ChooseMeasurement(measured, 30)->path, "fits");
  EXPECT_EQ(ChooseMeasurement(measured, 29)->path, "tight");
  EXPECT_EQ(ChooseMeasurement(measured, 100)->path, "loose");
  const auto none = ChooseMeasurement(measured, 5);
  EXPECT_EQ(none.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(none.status().message(), HasSubstr("--p99-ms 5"));
}

TEST(PlanTest, SaysServersCardsAndWhatOneFailureDoes) {
  PlanOptions options;
  options.streams = 10'000;
  options.measured = {Report("one", 1250, 30)};
  options.cards = 2;
  const auto plan = Plan(options);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_THAT(*plan, HasSubstr("servers   14, each at 57 %"));
  EXPECT_THAT(*plan, HasSubstr("cards     28\n"));
  EXPECT_THAT(*plan, HasSubstr("the others carry all streams, at 62 %"));
}

TEST(PlanTest, WarnsWhenTheOthersCannotCarryAFailedServersStreams) {
  PlanOptions options;
  options.measured = {Report("two", 1000, 30)};
  options.utilisation = 1;
  options.streams = 2000;
  EXPECT_THAT(*Plan(options), HasSubstr("plan one server more"));
  options.streams = 500;
  EXPECT_THAT(*Plan(options), HasSubstr("a second server"));
}

TEST(PlanTest, RefusesWhatIsNoReport) {
  for (const std::string text : {"", "{", "[]", "{}", R"({"most_streams": 5})",
                                 R"({"most_streams": 1.5, "p99_limit_ms": 30})",
                                 R"({"most_streams": "5", "p99_limit_ms": 30})"}) {
    const auto measured = ReadMeasuredServer(File("bad", text));
    EXPECT_EQ(measured.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(measured.status().message(), HasSubstr("ese-load --find-max")) << text;
  }
  EXPECT_THAT(ReadMeasuredServer(Report("none", 0, 30)).status().message(),
              HasSubstr("held no number of streams"));
  EXPECT_EQ(ReadMeasuredServer("/nonexistent").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace ese
