// SPDX-License-Identifier: Apache-2.0
// ese-emulated-xclbin FILE writes the .xclbin of an emulated card with four compute units.
#include <cstdio>
#include <string>

#include "accel/emu/xclbin_writer.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: ese-emulated-xclbin FILE.xclbin\n", stderr);
    return 2;
  }
  const absl::Status status = ese::emu::WriteXclbin({}, argv[1]);
  if (status.ok()) return 0;
  std::fprintf(stderr, "ese-emulated-xclbin: %s\n", std::string(status.message()).c_str());
  return 1;
}
