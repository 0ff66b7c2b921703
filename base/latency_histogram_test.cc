// SPDX-License-Identifier: Apache-2.0
#include "base/latency_histogram.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace ese {
namespace {

TEST(LatencyRecorderTest, IsEmptyWithoutValues) {
  LatencyRecorder recorder;
  EXPECT_EQ(recorder.Snapshot().count(), 0);
  EXPECT_EQ(recorder.Snapshot().Percentile(50), Duration(0));
  EXPECT_EQ(recorder.Snapshot().Percentile(100), Duration(0));
  EXPECT_EQ(recorder.Snapshot().max(), Duration(0));
}

TEST(LatencyRecorderTest, ASingleValueIsEveryPercentile) {
  LatencyRecorder recorder;
  recorder.Record(Duration(1234567));
  for (const double percent : {0.001, 50.0, 99.0, 100.0}) {
    EXPECT_EQ(recorder.Snapshot().Percentile(percent), Duration(1234567));
  }
}

TEST(LatencyRecorderTest, SmallValuesAreExactNearestRankPercentiles) {
  LatencyRecorder recorder;
  for (int i = 1; i <= 100; ++i) recorder.Record(Duration(i));
  EXPECT_EQ(recorder.Snapshot().Percentile(1), Duration(1));
  EXPECT_EQ(recorder.Snapshot().Percentile(50), Duration(50));
  EXPECT_EQ(recorder.Snapshot().Percentile(95), Duration(95));
  EXPECT_EQ(recorder.Snapshot().Percentile(99), Duration(99));
  EXPECT_EQ(recorder.Snapshot().Percentile(100), Duration(100));
}

TEST(LatencyRecorderTest, NegativeValuesCountAsZero) {
  LatencyRecorder recorder;
  recorder.Record(Duration(-5));
  EXPECT_EQ(recorder.Snapshot().count(), 1);
  EXPECT_EQ(recorder.Snapshot().max(), Duration(0));
}

TEST(LatencyRecorderTest, AcceptsTheWholeRangeAndKeepsTheMaximumExactly) {
  LatencyRecorder recorder;
  const Duration greatest(std::numeric_limits<int64_t>::max());
  recorder.Record(greatest);
  recorder.Record(Duration(0));
  EXPECT_EQ(recorder.Snapshot().Percentile(50), Duration(0));
  EXPECT_EQ(recorder.Snapshot().max(), greatest);
}

TEST(LatencyRecorderTest, BucketEdgesAreWithinOnePercent) {
  for (int bits = 0; bits < 62; ++bits) {
    for (const int64_t offset : {-1, 0, 1}) {
      const int64_t value = (int64_t{1} << bits) + offset;
      LatencyRecorder recorder;
      recorder.Record(Duration(value));
      recorder.Record(Duration(std::numeric_limits<int64_t>::max()));
      const auto found = static_cast<double>(recorder.Snapshot().Percentile(50).count());
      EXPECT_NEAR(found, static_cast<double>(value), 0.01 * static_cast<double>(value)) << value;
    }
  }
}

TEST(LatencyRecorderTest, PercentilesAreWithinOnePercentOfTheSortedValues) {
  std::mt19937_64 random(1);
  std::lognormal_distribution<double> distribution(16, 2);  // around 9 ms
  std::vector<int64_t> values(20000);
  LatencyRecorder recorder;
  for (int64_t& value : values) {
    value = static_cast<int64_t>(distribution(random));
    recorder.Record(Duration(value));
  }
  std::sort(values.begin(), values.end());
  for (const double percent : {1.0, 50.0, 95.0, 99.0, 99.9}) {
    const auto rank = static_cast<size_t>(std::ceil(percent / 100 * values.size()));
    const auto exact = static_cast<double>(values[rank - 1]);
    EXPECT_NEAR(static_cast<double>(recorder.Snapshot().Percentile(percent).count()), exact,
                0.01 * exact);
  }
  EXPECT_EQ(recorder.Snapshot().max(), Duration(values.back()));
}

TEST(LatencyRecorderTest, SinceReturnsOnlyTheLaterValues) {
  LatencyRecorder recorder;
  recorder.Record(Duration(100));
  recorder.Record(Duration(7));
  const LatencyHistogram earlier = recorder.Snapshot();
  recorder.Record(Duration(7));
  recorder.Record(Duration(50));
  const LatencyHistogram since = recorder.Snapshot().Since(earlier);
  EXPECT_EQ(since.count(), 2);
  EXPECT_EQ(since.Percentile(50), Duration(7));
  EXPECT_EQ(since.max(), Duration(50));
  EXPECT_EQ(since.Mean(), Duration(29));
  EXPECT_EQ(since.Since(since).count(), 0);
  EXPECT_EQ(recorder.Snapshot().Rank(50), 2);
}

TEST(LatencyHistogramTest, AddGivesTheSameAsARecorder) {
  std::mt19937_64 random(1);
  std::lognormal_distribution<double> distribution(16, 2);
  LatencyHistogram histogram;
  LatencyRecorder recorder;
  for (int i = 0; i < 1000; ++i) {
    const Duration value(static_cast<int64_t>(distribution(random)));
    histogram.Add(value);
    recorder.Record(value);
  }
  histogram.Add(Duration(-5));
  recorder.Record(Duration(-5));
  const LatencyHistogram recorded = recorder.Snapshot();
  EXPECT_EQ(histogram.count(), recorded.count());
  EXPECT_EQ(histogram.max(), recorded.max());
  EXPECT_EQ(histogram.Mean(), recorded.Mean());
  for (const double percent : {0.1, 1.0, 50.0, 99.0, 99.9, 100.0}) {
    EXPECT_EQ(histogram.Percentile(percent), recorded.Percentile(percent));
  }
}

TEST(LatencyHistogramTest, AddAcceptsTheWholeRange) {
  LatencyHistogram histogram;
  histogram.Add(Duration(0));
  histogram.Add(Duration(std::numeric_limits<int64_t>::max()));
  EXPECT_EQ(histogram.Percentile(50), Duration(0));
  EXPECT_EQ(histogram.max(), Duration(std::numeric_limits<int64_t>::max()));
}

TEST(LatencyRecorderTest, LosesNothingWithManyThreads) {
  LatencyRecorder recorder;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&recorder, t] {
      for (int i = 0; i < 10000; ++i) recorder.Record(Duration(4 * i + t));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(recorder.Snapshot().count(), 40000);
  EXPECT_EQ(recorder.Snapshot().max(), Duration(39999));
}

}  // namespace
}  // namespace ese
