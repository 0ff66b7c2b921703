// SPDX-License-Identifier: Apache-2.0
// Runs programs of this project as child processes of tests.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace ese {

// A child process. The destructor kills it if it still runs.
class Program {
 public:
  // `arguments` does not include the program's own name. The program's errors go to a file, so that
  // it never blocks while it writes them, or to `errors` if that is not -1.
  Program(const std::string& path, std::vector<std::string> arguments, int errors = -1);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  void Signal(int number) const;
  // Returns the exit status, or 128 + N if signal N ended the program, or -1 if the program still
  // runs after a minute.
  int Wait();
  std::string error_output() const;  // what it has written to stderr

 private:
  bool Poll();

  std::string error_path_;
  pid_t pid_ = -1;
  bool running_ = false;
  int exit_status_ = -1;
};

// Waits until ese-server has written the file that --ready-file names, and returns its gRPC
// address. Returns "" if the server does not become ready.
std::string WaitForGrpcAddress(const std::string& ready_path);

}  // namespace ese
