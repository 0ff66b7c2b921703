// SPDX-License-Identifier: Apache-2.0
#include "tests/program.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/eventually.h"
#include "gtest/gtest.h"
#include "tests/temp_folder.h"

extern char** environ;

namespace ese {

Program::Program(const std::string& path, std::vector<std::string> arguments, int errors) {
  static int count = 0;
  error_path_ = absl::StrCat(testing::TempDir(), "ese_program_", ::getpid(), "_", ++count, ".err");
  arguments.insert(arguments.begin(), path);
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  if (errors >= 0) {
    posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO);
  } else {
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, error_path_.c_str(),
                                     O_WRONLY | O_CREAT | O_TRUNC, 0600);
  }
  const int error = posix_spawn(&pid_, path.c_str(), &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  running_ = error == 0;
  EXPECT_EQ(error, 0) << "cannot start " << path;
}

Program::~Program() {
  if (running_) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  std::remove(error_path_.c_str());
}

void Program::Signal(int number) const {
  if (running_) ::kill(pid_, number);
}

bool Program::Poll() {
  int status = 0;
  if (::waitpid(pid_, &status, WNOHANG) != pid_) return false;
  running_ = false;
  exit_status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return true;
}

int Program::Wait() {
  const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (running_ && !Poll() && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return exit_status_;
}

std::string Program::error_output() const { return ReadText(error_path_); }

std::string WaitForGrpcAddress(const std::string& ready_path) {
  if (!Eventually([&] { return std::filesystem::exists(ready_path); })) return "";
  const std::string text = ReadText(ready_path);
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (absl::StartsWith(line, "grpc=")) return std::string(line.substr(5));
  }
  return "";
}

}  // namespace ese
