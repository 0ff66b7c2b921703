// SPDX-License-Identifier: Apache-2.0
// One step of the paper's LSTM on its machine: products, element-wise passes beside them, and the
// loads of the next matrix behind them.
//
//   memory   | load Wix | load Wfx |   ...   | load Wym |     a matrix ahead: two fit on the chip
//   PEs      |          | Wix x    | Wfx x   ...  | Wor y' |        |        | Wym m  |
//   vectors  |          | Wic.c'   | Wfc.c'  ...  | g, c   | o      | m      |        |
//
// A state lasts as long as the longer of its product and its pass, and the pipeline's latency.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "bench/ese_paper/csc.h"
#include "bench/ese_paper/paper.h"
#include "bench/ese_paper/product.h"

namespace ese {

struct Machine {
  PeArray array;
  // From memory: two modules of DDR3-1600, 64 bits each, of which 90 % are reached. Assumed: the
  // paper has two modules of DDR3, a summary of it says, and tells no rate.
  double bytes_per_cycle = 2 * 8 * 1600e6 * 0.9 / (kPaperClockMhz * 1e6);
  // Elements of a vector that a channel's element-wise units take, add or look up in a cycle.
  // Inferred: see docs/ese_paper.md.
  double elements_per_cycle = 1;
  // Cycles from a state's last input to its last result. FITTED: 5.36 us, which the paper gives for
  // each of the four products with x whatever their entries, are 1024 + 48 cycles.
  int latency = 48;
};

// What a step's state does. product: an index into kPaperMatrices, or -1.
struct State {
  std::string_view name;
  int product;
  int pass_elements;
};

// An order that the data allow and the paper's table suggests; x, y', c' are there when it begins.
constexpr std::array<State, 11> kStates = {{
    {"Wix x | Wic c' + bi", 0, kPaperCells},
    {"Wfx x | Wfc c' + bf", 1, kPaperCells},
    {"Wcx x | + Wix x", 2, kPaperCells},
    {"Wox x | + Wfx x", 3, kPaperCells},
    {"Wir y' | + Wcx x + bc", 4, kPaperCells},
    {"Wfr y' | i", 5, kPaperCells},
    {"Wcr y' | f", 6, kPaperCells},
    {"Wor y' | g, c", 7, kPaperCells},
    {"o", -1, kPaperCells},
    {"m", -1, kPaperCells},
    {"Wym m", 8, 0},
}};

// Where a state's cycles go; they add up.
struct StateTime {
  double words = 0;        // that the longest share needs: the paper's theoretical time
  double out_of_step = 0;  // more, because PEs wait for each other
  double pass = 0;         // more, because the pass is longer than the product
  double latency = 0;
  double memory = 0;  // waited for the matrix before it began

  double Cycles() const { return words + out_of_step + pass + latency + memory; }
};

struct StepTime {
  std::vector<StateTime> states;  // of kStates
  double load_cycles = 0;         // that memory is busy

  StateTime Sum() const;
};

double CyclesToUs(double cycles);

// The matrices are kPaperMatrices' in their order. A step in the middle of many: the first matrix
// is loaded during the step before.
StepTime TimeStep(const std::vector<CscMatrix>& matrices, const Machine& machine);

// What a matrix's load moves: words of entries, and a 16-bit pointer for each column and PE.
int64_t BytesOf(const CscMatrix& matrix);

}  // namespace ese
