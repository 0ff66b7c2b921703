// SPDX-License-Identifier: Apache-2.0
// How much processor time and memory this process has used.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

namespace ese {

struct ProcessUse {
  double seconds = 0;            // processor time of all threads
  double emulation_seconds = 0;  // the part of it in the emulated cards' threads (ese-emu)

  static ProcessUse Now() {
    ProcessUse use;
    use.seconds = CpuSeconds("/proc/self/stat");
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
      std::string name;
      std::getline(std::ifstream(task.path() / "comm"), name);
      if (name == "ese-emu") use.emulation_seconds += CpuSeconds(task.path() / "stat");
    }
    return use;
  }

  friend ProcessUse operator-(const ProcessUse& a, const ProcessUse& b) {
    return {a.seconds - b.seconds, a.emulation_seconds - b.emulation_seconds};
  }

 private:
  static double CpuSeconds(const std::filesystem::path& stat) {
    std::ifstream file(stat);
    const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    std::istringstream fields(text.substr(text.rfind(')') + 1));
    std::string skipped;
    for (int k = 0; k < 11; ++k) fields >> skipped;
    double user = 0, system = 0;
    fields >> user >> system;
    return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
  }
};

inline double ResidentKilobytes() {
  std::ifstream file("/proc/self/statm");
  double all = 0, resident = 0;
  file >> all >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE)) / 1024;
}

}  // namespace ese
