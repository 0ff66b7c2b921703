// SPDX-License-Identifier: Apache-2.0
// ese-compile: see compiler/cli.h and compiler/README.md.
#include <iostream>
#include <string>
#include <vector>

#include "compiler/cli.h"

int main(int argc, char** argv) {
  return ese::RunCompiler(std::vector<std::string>(argv + 1, argv + argc), std::cout, std::cerr);
}
