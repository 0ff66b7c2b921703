// SPDX-License-Identifier: Apache-2.0
// Programs of this project run as child processes by tests.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace ese {

// A child process; killed and collected at the latest by the destructor.
class Program {
 public:
  // `arguments` without the program's own name. Output goes to files, so that it cannot block.
  Program(const std::string& path, std::vector<std::string> arguments);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  void Signal(int number) const;
  // The exit status; 128 + signal where one ended it; -1 if it still runs after a minute.
  int Wait();
  std::string error_output() const;

 private:
  bool Poll();

  std::string error_path_;
  pid_t pid_ = -1;
  bool running_ = false;
  int exit_status_ = -1;
};

}  // namespace ese
