// SPDX-License-Identifier: Apache-2.0
// ese-load; see load/command.h.
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <iostream>

#include "load/command.h"

namespace {

std::atomic<bool> stop{false};
static_assert(std::atomic<bool>::is_always_lock_free);  // so that a signal handler may set it

}  // namespace

int main(int argc, char** argv) {
  // The first Ctrl-C ends the run with its report; a second one ends the program.
  struct sigaction action = {};
  action.sa_handler = [](int) { stop = true; };
  action.sa_flags = SA_RESETHAND;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  return ese::LoadMain(argc, argv, {STDIN_FILENO, std::cout, std::cerr}, stop);
}
