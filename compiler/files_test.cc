// SPDX-License-Identifier: Apache-2.0
#include "compiler/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <string>

#include "compiler/testing.h"

namespace ese {
namespace {

using testing::HasSubstr;

// Gives each test an empty folder.
class FilesTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = TemporaryPath("folder");
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directory(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  int FilesInFolder() const {
    const std::filesystem::directory_iterator first(folder_);
    return static_cast<int>(std::distance(begin(first), end(first)));
  }

  std::string folder_;
};

TEST_F(FilesTest, ReadsWhatItWrote) {
  const std::string bytes(3'000'000, '\xAB');
  ASSERT_TRUE(WriteFileAtomically(Path("a"), bytes).ok());
  EXPECT_EQ(*ReadFile(Path("a")), bytes);
  EXPECT_EQ(FilesInFolder(), 1);
  struct stat info = {};
  ASSERT_EQ(stat(Path("a").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0600, 0600u);
}

TEST_F(FilesTest, ReplacesAFile) {
  ASSERT_TRUE(WriteFileAtomically(Path("a"), "old").ok());
  ASSERT_TRUE(WriteFileAtomically(Path("a"), "").ok());
  EXPECT_EQ(*ReadFile(Path("a")), "");
}

TEST_F(FilesTest, ErrorsNameThePath) {
  EXPECT_EQ(ReadFile(Path("none")).status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(ReadFile(Path("none")).status().message(), HasSubstr(Path("none")));
  EXPECT_THAT(ReadFile(folder_).status().message(), HasSubstr("is a folder"));
  EXPECT_THAT(WriteFileAtomically(Path("none/a"), "x").message(), HasSubstr(Path("none/a")));
  EXPECT_THAT(WriteFileAtomically(folder_, "x").message(), HasSubstr("not a regular file"));
  EXPECT_THAT(WriteFileAtomically("/dev/null", "x").message(), HasSubstr("not a regular file"));
}

// A limit on file sizes simulates a full disk: write() succeeds in part and then fails.
TEST_F(FilesTest, AFullDiskLeavesOnlyTheOldFile) {
  ASSERT_TRUE(WriteFileAtomically(Path("a"), "old").ok());
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 4096;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status status = WriteFileAtomically(Path("a"), std::string(10000, 'x'));
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old_handler);

  EXPECT_THAT(status.message(), HasSubstr("only 4096 of 10000 bytes were written"));
  EXPECT_EQ(*ReadFile(Path("a")), "old");
  EXPECT_EQ(FilesInFolder(), 1);
}

}  // namespace
}  // namespace ese
