// SPDX-License-Identifier: Apache-2.0
// One step of the paper's LSTM on its machine. Element-wise passes run beside the products, while
// the memory loads the next matrix.
//
//   memory   | load Wix | load Wfx |   ...   | load Wym |     one matrix ahead; two fit on the chip
//   PEs      |          | Wix x    | Wfx x   ...  | Wor y' |        |        | Wym m  |
//   vectors  |          | Wic.c'   | Wfc.c'  ...  | g, c   | o      | m      |        |
//
// A state lasts as long as the longer of its product and its pass, plus the pipeline's latency.
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
  // The memory's rate: two modules of DDR3-1600, 64 bits each, at 90 % of their peak. This is
  // assumed: a summary of the paper mentions two modules of DDR3, and the paper gives no rate.
  double bytes_per_cycle = 2 * 8 * 1600e6 * 0.9 / (kPaperClockMhz * 1e6);
  // How many elements of a vector the element-wise units of a channel process in a cycle.
  // Inferred; see docs/ese_paper.md.
  double elements_per_cycle = 1;
  // Cycles from a state's last input to its last result. FITTED: the paper gives 5.36 us for each
  // of the four products with x, whatever their number of entries, and that is 1024 + 48 cycles.
  int latency = 48;
};

// What the machine does in one state of a step. product: an index into kPaperMatrices, or -1.
struct State {
  std::string_view name;
  int product;
  int pass_elements;
};

// An order that the data dependencies allow and the paper's table suggests. x, y' and c' are ready
// when it begins.
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

// Where a state's cycles go. Their sum is the state's time.
struct StateTime {
  double words = 0;        // what the longest share needs: the paper's theoretical time
  double out_of_step = 0;  // added because PEs wait for each other
  double pass = 0;         // added because the pass is longer than the product
  double latency = 0;
  double memory = 0;  // spent waiting for the matrix before the state began

  double Cycles() const { return words + out_of_step + pass + latency + memory; }
};

struct StepTime {
  std::vector<StateTime> states;  // in the order of kStates
  double load_cycles = 0;         // how long the memory is busy

  StateTime Sum() const;
};

double CyclesToUs(double cycles);

// The time of a step in the middle of many, whose first matrix is loaded during the step before.
// The matrices are in the order of kPaperMatrices.
StepTime TimeStep(const std::vector<CscMatrix>& matrices, const Machine& machine);

// The bytes that loading a matrix moves: its words of entries, and a 16-bit pointer for each column
// and PE.
int64_t BytesOf(const CscMatrix& matrix);

}  // namespace ese
