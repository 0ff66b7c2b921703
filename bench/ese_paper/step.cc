// SPDX-License-Identifier: Apache-2.0
#include "bench/ese_paper/step.h"

#include <algorithm>
#include <cassert>

namespace ese {
namespace {

constexpr int kBytesOfPointer = 2;
constexpr int kBytesOfValue = 2;
// Every step reads x and writes y of all channels, between its last load and the next step's first.
constexpr int kVectorBytes = (153 + 512) * kPaperChannels * kBytesOfValue;

// A step's states without waits for memory.
std::vector<StateTime> Undisturbed(const std::vector<CscMatrix>& matrices, const Machine& machine) {
  std::vector<StateTime> states;
  for (const State& state : kStates) {
    StateTime time;
    double product = 0;
    if (state.product >= 0) {
      const CscMatrix& matrix = matrices[state.product];
      product = static_cast<double>(TimeProduct(matrix, machine.array).cycles);
      time.words = static_cast<double>(matrix.Words());
      time.out_of_step = product - time.words;
    }
    time.pass = std::max(0.0, state.pass_elements / machine.elements_per_cycle - product);
    time.latency = machine.latency;
    states.push_back(time);
  }
  return states;
}

}  // namespace

double CyclesToUs(double cycles) { return cycles / kPaperClockMhz; }

int64_t BytesOf(const CscMatrix& matrix) {
  return matrix.Words() * matrix.pes() * static_cast<int64_t>(sizeof(uint16_t)) +
         int64_t{kBytesOfPointer} * matrix.columns * matrix.pes();
}

StateTime StepTime::Sum() const {
  StateTime sum;
  for (const StateTime& state : states) {
    sum.words += state.words;
    sum.out_of_step += state.out_of_step;
    sum.pass += state.pass;
    sum.latency += state.latency;
    sum.memory += state.memory;
  }
  return sum;
}

StepTime TimeStep(const std::vector<CscMatrix>& matrices, const Machine& machine) {
  assert(matrices.size() == kPaperMatrices.size());
  StepTime step{.states = Undisturbed(matrices, machine)};
  std::vector<double> loads;
  for (const CscMatrix& matrix : matrices) {
    loads.push_back(static_cast<double>(BytesOf(matrix)) / machine.bytes_per_cycle);
  }
  loads[0] += kVectorBytes / machine.bytes_per_cycle;
  for (double load : loads) step.load_cycles += load;

  // Consecutive steps: after a few of them the waits no longer change, and the last one counts.
  constexpr int kSteps = 4;
  double now = 0, loaded = 0;
  double free = 0, next_free = 0;  // when the last product but one and the last product ended
  for (int i = 0; i < kSteps; ++i) {
    for (size_t s = 0; s < kStates.size(); ++s) {
      StateTime& state = step.states[s];
      if (kStates[s].product >= 0) {
        loaded = std::max(loaded, free) + loads[kStates[s].product];
        state.memory = std::max(0.0, loaded - now);
      }
      now += state.Cycles();
      if (kStates[s].product >= 0) {
        free = next_free;
        next_free = now;
      }
    }
  }
  return step;
}

}  // namespace ese
