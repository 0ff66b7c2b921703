// SPDX-License-Identifier: Apache-2.0
// Why the array does not work in a cycle: the causes that ese_issue and ese_drain show to
// simulations.
#pragma once

#include <array>
#include <cstdint>

namespace ese {

// By the bits of `stalls` in ese_issue.sv, lowest first.
inline constexpr std::array kIssueStalls = {
    "pending_column",  // a word asks for a column that is not written yet
    "bank_written",    // results take the cycle of the bank that it reads
    "target_pending",  // the pass before still writes the bank that this one is to write
    "drain_taken",     // the row before is not drained
    "copy_to_memory",  // a copy whose columns go out waits for the drain or for room
    "no_word",         // the memory has not brought one
    "no_x",            // or not the frame's x
    "one_word_pass",   // the pass before has only just begun
};
// And of ese_drain.sv: why a finished row waits.
inline constexpr std::array kDrainStalls = {
    "collector",  // the columns of a row before are not all written
    "room",       // the output FIFO is too full, or holds too many commands
    "no_c",       // c of its cells is not loaded
};

// Cycles of a simulation in which the array was to work and did not, each counted once, by the
// first of the causes; and those in which it did. A coverage of ChannelSim.
class StallCycles {
 public:
  template <typename Top>
  static void Sample(const Top& top) {
    const auto& root = *top.rootp;
    Counts& counts = Of();
    if (root.ese_channel__DOT__array_rst) return;
    if (root.ese_channel__DOT__working) {
      ++counts.working;
      return;
    }
    const unsigned stalls = root.ese_channel__DOT__u_array__DOT__u_issue__DOT__stalls;
    for (size_t k = 0; k < kIssueStalls.size(); ++k) {
      if (stalls >> k & 1) {
        ++counts.stalled[k];
        return;
      }
    }
    ++counts.other;
  }

  struct Counts {
    int64_t working = 0;
    std::array<int64_t, kIssueStalls.size()> stalled{};
    int64_t other = 0;  // a bubble, a copy's column, or all is issued and not yet drained
  };
  static Counts& Of() {
    static Counts counts;
    return counts;
  }
};

}  // namespace ese
