// SPDX-License-Identifier: Apache-2.0
// ese-client; see client_command.h.
#include <unistd.h>

#include <iostream>

#include "client/client_command.h"

int main(int argc, char** argv) {
  return ese::ClientMain(argc, argv, {STDIN_FILENO, std::cout, std::cerr});
}
