// SPDX-License-Identifier: Apache-2.0
#include "client/figures.h"

#include <filesystem>
#include <iterator>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ese {
namespace {

using ::testing::HasSubstr;

TEST(FiguresTest, AppendsLinesInTheOrderNameValueUnit) {
  const std::string path = ::testing::TempDir() + "/figures_test.json";
  std::filesystem::remove(path);
  for (const double value : {0.125, 2.0}) {
    auto file = FigureFile::Open(path);
    ASSERT_TRUE(file.ok()) << file.status();
    file->Append("demo.per", value, "share");
    EXPECT_TRUE(file->Close().ok());
  }
  std::ifstream written(path);
  const std::string text{std::istreambuf_iterator<char>(written), {}};
  EXPECT_EQ(text,
            "{\"name\":\"demo.per\",\"value\":0.125,\"unit\":\"share\"}\n"
            "{\"name\":\"demo.per\",\"value\":2,\"unit\":\"share\"}\n");
}

TEST(FiguresTest, UnwritablePathIsRefusedAtOpening) {
  const auto file = FigureFile::Open("/nowhere/figures.json");
  EXPECT_EQ(file.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(file.status().message()), HasSubstr("/nowhere/figures.json"));
  EXPECT_FALSE(FigureFile::Open(::testing::TempDir()).ok());
}

TEST(FiguresTest, FullDiskIsReportedAtClosing) {
  auto file = FigureFile::Open("/dev/full");
  ASSERT_TRUE(file.ok()) << file.status();
  file->Append("demo.per", 1, "share");
  EXPECT_EQ(file->Close().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace ese
