// SPDX-License-Identifier: Apache-2.0
#include "process/ready_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ese {
namespace {

using ::testing::HasSubstr;

class ReadyFileTest : public testing::Test {
 protected:
  ReadyFileTest()
      : folder_(absl::StrCat(testing::TempDir(), "ese_ready_file_", ::getpid())),
        path_(folder_ + "/ready") {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  ~ReadyFileTest() override { std::filesystem::remove_all(folder_); }

  std::string Text() const {
    std::ostringstream text;
    text << std::ifstream(path_).rdbuf();
    return text.str();
  }
  // The number of files in the folder.
  int64_t files() const {
    return std::distance(std::filesystem::directory_iterator(folder_),
                         std::filesystem::directory_iterator());
  }

  const std::string folder_;
  const std::string path_;
};

TEST_F(ReadyFileTest, ExistsFromWriteToTheEnd) {
  {
    ReadyFile file(path_);
    EXPECT_EQ(files(), 0);
    ASSERT_TRUE(file.Write("text\n").ok());
    EXPECT_EQ(Text(), "text\n");
    EXPECT_EQ(files(), 1);
  }
  EXPECT_EQ(files(), 0);
}

TEST_F(ReadyFileTest, LeavesAnotherServersFileWhenItNeverServed) {
  std::ofstream(path_) << "another's";
  {
    const ReadyFile file(path_);
    EXPECT_TRUE(file.Check().ok());
  }
  EXPECT_EQ(Text(), "another's");
}

TEST_F(ReadyFileTest, LeavesTheFileOfAServerThatCameAfterIt) {
  ReadyFile second(path_);
  {
    ReadyFile first(path_);
    ASSERT_TRUE(first.Write("same").ok());
    ASSERT_TRUE(second.Write("same").ok());
  }
  EXPECT_EQ(Text(), "same");
  second.Remove();
  EXPECT_EQ(files(), 0);
}

TEST_F(ReadyFileTest, NeverTouchesWhatIsNotARegularFile) {
  const auto expect_refused = [this](const char* kind) {
    SCOPED_TRACE(kind);
    ReadyFile file(path_);
    EXPECT_THAT(std::string(file.Check().message()), HasSubstr("not a regular file"));
    EXPECT_EQ(file.Write("text"), file.Check());
    EXPECT_EQ(files(), 1);
  };
  std::filesystem::create_directory(path_);
  expect_refused("folder");
  std::filesystem::remove(path_);
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  expect_refused("FIFO");
  std::filesystem::remove(path_);
  std::filesystem::create_symlink("/dev/null", path_);
  expect_refused("link");
}

TEST_F(ReadyFileTest, SaysWhyItCannotBeWritten) {
  ReadyFile file(folder_ + "/no/ready");
  EXPECT_THAT(std::string(file.Write("text").message()),
              HasSubstr("cannot write the ready file " + folder_ + "/no/ready: No such file"));
}

TEST_F(ReadyFileTest, AnEmptyPathMeansNoFile) {
  ReadyFile file("");
  EXPECT_TRUE(file.Check().ok());
  EXPECT_TRUE(file.Write("text").ok());
}

}  // namespace
}  // namespace ese
