// SPDX-License-Identifier: Apache-2.0
#include "base/regular_file.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ese {
namespace {

using ::testing::HasSubstr;

class RegularFileTest : public testing::Test {
 protected:
  RegularFileTest() : folder_(absl::StrCat(testing::TempDir(), "ese_regular_file_", ::getpid())) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  ~RegularFileTest() override { std::filesystem::remove_all(folder_); }

  std::string Path(const std::string& name) const { return folder_ + "/" + name; }

  void ExpectRefused(const std::string& path, const std::string& message) {
    const auto text = ReadRegularFile(path, 100);
    EXPECT_EQ(text.status().code(), absl::StatusCode::kInvalidArgument) << text.status();
    EXPECT_THAT(std::string(text.status().message()), HasSubstr(message));
  }

  const std::string folder_;
};

TEST_F(RegularFileTest, ReadsUpToTheLimit) {
  std::ofstream(Path("file")) << "12345";
  EXPECT_EQ(*ReadRegularFile(Path("file"), 5), "12345");
  ExpectRefused("/proc/self/maps", "more than 100 bytes");
  const auto text = ReadRegularFile(Path("file"), 4);
  EXPECT_THAT(std::string(text.status().message()), HasSubstr("file has more than 4 bytes"));
}

TEST_F(RegularFileTest, ReadsAFileLongerThanABlockAndFollowsLinks) {
  const std::string bytes(3'000'000, 'x');
  std::ofstream(Path("file")) << bytes;
  std::filesystem::create_symlink(Path("file"), Path("link"));
  EXPECT_EQ(*ReadRegularFile(Path("link"), 3'000'000), bytes);
}

TEST_F(RegularFileTest, NeverWaitsForAFifo) {
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  ExpectRefused(Path("fifo"), "fifo is a FIFO");
}

TEST_F(RegularFileTest, RefusesFoldersDevicesAndSockets) {
  ExpectRefused(folder_, "is a folder");
  ExpectRefused("/dev/zero", "is a device");
  const int server = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
  ASSERT_LT(Path("socket").size(), sizeof address.sun_path);
  std::strcpy(address.sun_path, Path("socket").c_str());
  ASSERT_EQ(bind(server, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ExpectRefused(Path("socket"), "is a socket");
  close(server);
}

TEST_F(RegularFileTest, NamesAMissingFileOnOneLine) {
  const auto text = ReadRegularFile(Path("no\nfile"), 100);
  EXPECT_EQ(text.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(text.status().message()), HasSubstr("no\\nfile"));
}

}  // namespace
}  // namespace ese
