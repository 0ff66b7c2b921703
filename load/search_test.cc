// SPDX-License-Identifier: Apache-2.0
#include "load/search.h"

#include <algorithm>
#include <atomic>
#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "load/testing.h"

namespace ese {
namespace {

using ::testing::SizeIs;

// Runs a search with a server that holds `capacity` streams. Returns the number of runs and sets
// *best to the result.
int Search(int first, int most, int capacity, int* best) {
  StreamSearch search(first, most);
  int runs = 0;
  for (; !search.done(); ++runs) {
    EXPECT_LE(search.next(), most);
    EXPECT_GE(search.next(), 1);
    search.Note(search.next() <= capacity);
  }
  *best = search.best();
  return runs;
}

TEST(StreamSearchTest, FindsTheCapacityWithinThreePercent) {
  for (const int first : {1, 100, 5000}) {
    for (const int capacity : {1, 2, 3, 99, 100, 101, 1777, 20000}) {
      int best = 0;
      EXPECT_LE(Search(first, 1000000, capacity, &best), 40);
      EXPECT_LE(best, capacity);
      EXPECT_GE(best, capacity - std::max(1, capacity / 33)) << first << " " << capacity;
    }
  }
}

TEST(StreamSearchTest, FindsZeroIfNoNumberHolds) {
  int best = -1;
  EXPECT_EQ(Search(4, 100, 0, &best), 6);  // 4, 2, 1, each twice
  EXPECT_EQ(best, 0);
}

TEST(StreamSearchTest, FindsTheMaximumIfAllNumbersHold) {
  int best = 0;
  EXPECT_EQ(Search(30, 100, 1000, &best), 3);  // 30, 60, 100
  EXPECT_EQ(best, 100);
}

TEST(StreamSearchTest, ToleratesOneBadRun) {
  StreamSearch search(10, 1000);
  search.Note(false);
  EXPECT_EQ(search.next(), 10);
  search.Note(true);
  EXPECT_EQ(search.next(), 20);
  search.Note(false);
  EXPECT_EQ(search.next(), 20);
  search.Note(false);
  EXPECT_EQ(search.next(), 15);
}

TEST(SearchTest, FindsTheMostStreams) {
  FakeServer server({.refusal = {grpc::StatusCode::UNAVAILABLE, "server is full"}});
  LoadOptions options = ShortRun(server);
  options.streams = 2;
  const std::atomic<bool> stop{false};
  std::ostringstream progress;
  const absl::StatusOr<SearchReport> report =
      FindMostStreams(options, std::chrono::hours(1), stop, progress);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->best, 0);
  EXPECT_THAT(report->runs, SizeIs(4));  // 2 and 1, each twice
}

}  // namespace
}  // namespace ese
