// SPDX-License-Identifier: Apache-2.0
// What the ESE paper says (Han et al., FPGA 2017, arXiv 1612.00694): the machine's sizes, its table
// of matrices, and the points of its speed-up plot. Nothing here is computed. The table is quoted
// from memory of the paper; docs/ese_paper.md says how far its rows agree with each other.
#pragma once

#include <array>
#include <string_view>

namespace ese {

constexpr int kPaperPes = 32;
constexpr int kPaperChannels = 32;  // voices that share each weight
constexpr int kPaperClockMhz = 200;
constexpr int kPaperBytesOfWord = 64;  // an entry of 16 bits for each PE
constexpr int kPaperCells = 1024;

constexpr double kPaperTheoreticalUs = 57.0;
constexpr double kPaperRealUs = 82.7;

struct PaperMatrix {
  std::string_view name;
  int rows;
  int columns;
  int bytes;  // entries only; always a whole number of words, so it counts the longest PE's share
  double theoretical_us;
  double real_us;

  constexpr int Words() const { return bytes / kPaperBytesOfWord; }
};

// In the order of the step's states. Rows are outputs: 1024 cells, or 512 projected values.
constexpr std::array<PaperMatrix, 9> kPaperMatrices = {{
    {"Wix", 1024, 153, 36608, 2.9, 5.36},
    {"Wfx", 1024, 153, 36544, 2.9, 5.36},
    {"Wcx", 1024, 153, 37120, 2.9, 5.36},
    {"Wox", 1024, 153, 35968, 2.8, 5.36},
    {"Wir", 1024, 512, 118720, 9.3, 10.31},
    {"Wfr", 1024, 512, 120832, 9.4, 10.01},
    {"Wcr", 1024, 512, 117760, 9.2, 9.89},
    {"Wor", 1024, 512, 120256, 9.4, 10.04},
    {"Wym", 512, 1024, 104832, 8.2, 15.66},
}};

// Speed-up over the dense network on the same machine, read off a plot (+-0.1).
struct PaperSpeedup {
  int percent_pruned;
  double balanced;
  double unbalanced;
};
constexpr std::array<PaperSpeedup, 6> kPaperSpeedups = {{
    {20, 1.3, 1.3},
    {50, 1.95, 1.8},
    {70, 3.15, 2.7},
    {80, 4.4, 3.7},
    {85, 5.2, 4.6},
    {90, 6.2, 5.5},
}};

}  // namespace ese
