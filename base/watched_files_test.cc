// SPDX-License-Identifier: Apache-2.0
#include "base/watched_files.h"

#include <atomic>
#include <cstdio>
#include <fstream>

#include "base/eventually.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ese {
namespace {

void Write(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

TEST(WatchedFilesTest, ReportsEachKindOfChange) {
  const std::string a = testing::TempDir() + "ese_watched_a";
  const std::string b = testing::TempDir() + "ese_watched_b";
  std::remove(b.c_str());
  Write(a, "1");
  WatchedFiles files({a, b}, std::chrono::milliseconds(2));
  std::atomic<int> changes{0};
  files.Start([&changes] { ++changes; });
  Write(a, "22");
  EXPECT_TRUE(Eventually([&] { return changes == 1; }));
  Write(b, "1");
  EXPECT_TRUE(Eventually([&] { return changes == 2; }));
  Write(a + ".new", "22");
  std::rename((a + ".new").c_str(), a.c_str());
  EXPECT_TRUE(Eventually([&] { return changes == 3; }));
  std::remove(b.c_str());
  EXPECT_TRUE(Eventually([&] { return changes == 4; }));
}

TEST(WatchedFilesTest, ReportsAChangeBetweenConstructionAndStart) {
  const std::string path = testing::TempDir() + "ese_watched_early";
  Write(path, "1");
  WatchedFiles files({path}, std::chrono::milliseconds(2));
  Write(path, "22");
  std::atomic<bool> changed{false};
  files.Start([&changed] { changed = true; });
  EXPECT_TRUE(Eventually([&] { return changed.load(); }));
}

TEST(WatchedFilesTest, DoesNotReportAgainWhatWasMarkedAsReported) {
  const std::string path = testing::TempDir() + "ese_watched_marked";
  Write(path, "1");
  WatchedFiles files({path}, std::chrono::milliseconds(2));
  WatchedFiles slower({path}, std::chrono::milliseconds(20));
  Write(path, "22");
  files.MarkReported();
  std::atomic<int> changes{0};
  files.Start([&changes] { ++changes; });
  std::atomic<bool> seen{false};
  slower.Start([&seen] { seen = true; });
  EXPECT_TRUE(Eventually([&] { return seen.load(); }));
  EXPECT_EQ(changes, 0);
  Write(path, "333");
  EXPECT_TRUE(Eventually([&] { return changes == 1; }));
}

}  // namespace
}  // namespace ese
