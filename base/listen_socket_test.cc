// SPDX-License-Identifier: Apache-2.0
#include "base/listen_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ese {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class UnixSocketTest : public testing::Test {
 protected:
  UnixSocketTest() : path_(absl::StrCat(testing::TempDir(), "ese_socket_", ::getpid())) {
    std::filesystem::remove(path_);
  }
  ~UnixSocketTest() override { std::filesystem::remove(path_); }

  // Leaves the file of a socket that nobody listens at, like a server that was killed.
  void LeaveStaleSocket() const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof(address.sun_path) - 1);
    const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM, 0));
    ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }

  const std::string path_;
  const std::string address_ = "unix:" + path_;
};

TEST_F(UnixSocketTest, IsOnlyForItsOwnerAndGroupAndGoesWithTheServer) {
  {
    const auto sockets = ListenSockets::Open(address_);
    ASSERT_TRUE(sockets.ok()) << sockets.status();
    EXPECT_EQ(sockets->address(), address_);
    struct stat found {};
    ASSERT_EQ(::stat(path_.c_str(), &found), 0);
    EXPECT_EQ(found.st_mode & 0777, 0660U);
  }
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(UnixSocketTest, ReplacesTheSocketOfADeadServer) {
  LeaveStaleSocket();
  ASSERT_TRUE(std::filesystem::exists(path_));
  EXPECT_TRUE(ListenSockets::Open(address_).ok());
}

TEST_F(UnixSocketTest, RefusesTheSocketOfALiveServerAndLeavesIt) {
  const auto first = ListenSockets::Open(address_);
  ASSERT_TRUE(first.ok());
  const absl::Status status = ListenSockets::Open(address_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("another server uses this socket"));
  EXPECT_TRUE(std::filesystem::exists(path_));
}

TEST_F(UnixSocketTest, NeverRemovesAnotherKindOfFile) {
  std::ofstream(path_) << "precious";
  EXPECT_THAT(std::string(ListenSockets::Open(address_).status().message()),
              HasSubstr("the file exists and is not a socket"));
  EXPECT_EQ(std::filesystem::file_size(path_), 8U);
}

TEST_F(UnixSocketTest, LeavesAFileThatAnotherProcessPutThere) {
  {
    const auto sockets = ListenSockets::Open(address_);
    ASSERT_TRUE(sockets.ok());
    std::filesystem::remove(path_);
    std::ofstream(path_) << "precious";
  }
  EXPECT_TRUE(std::filesystem::exists(path_));
}

TEST(ListenSocketTest, TakesAFreePortAndSaysWhich) {
  const auto sockets = ListenSockets::Open("127.0.0.1:0");
  ASSERT_TRUE(sockets.ok()) << sockets.status();
  EXPECT_THAT(sockets->address(), StartsWith("127.0.0.1:"));
  EXPECT_NE(sockets->address(), "127.0.0.1:0");
  EXPECT_THAT(std::string(ListenSockets::Open(sockets->address()).status().message()),
              HasSubstr("Address already in use"));
}

TEST(ListenSocketTest, ChecksAddresses) {
  EXPECT_TRUE(CheckListenAddress("[::1]:7700").ok());
  EXPECT_TRUE(CheckListenAddress("unix:/run/ese.sock").ok());
  EXPECT_FALSE(CheckListenAddress("unix:").ok());
  EXPECT_FALSE(CheckListenAddress(absl::StrCat("unix:/", std::string(108, 'x'))).ok());
  EXPECT_FALSE(CheckListenAddress("here").ok());
}

}  // namespace
}  // namespace ese
