// SPDX-License-Identifier: Apache-2.0
// Why the array does no work in a cycle: the causes that ese_issue and ese_drain report to
// simulations.
#pragma once

#include <array>
#include <cstdint>

namespace ese {

// The bits of `stalls` in ese_issue.sv, lowest first.
inline constexpr std::array kIssueStalls = {
    "pending_column",  // a word asks for a column that is not written yet
    "bank_written",    // results are written to the bank that the word reads
    "target_pending",  // the pass before still writes the bank that this pass will write
    "drain_taken",     // the row before is not drained yet
    "copy_to_memory",  // a copy that also goes to memory waits for the drain or for room
    "no_word",         // the memory has not delivered a word
    "no_x",            // the memory has not delivered the frame's x
    "one_word_pass",   // the first word of the pass before has not been issued yet
};
// The bits of `stalls` in ese_drain.sv, lowest first: why a finished row waits.
inline constexpr std::array kDrainStalls = {
    "collector",  // the columns of a row before are not all written
    "room",       // the output FIFO is too full, or holds too many commands
    "no_c",       // c of its cells is not loaded
};

// Counts the cycles in which the array works, and those in which it should but does not; each of
// these counts once, under its first cause. A Coverage of ChannelSim.
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
    int64_t other = 0;  // a bubble, a column of a copy, or everything is issued and not drained yet
  };
  static Counts& Of() {
    static Counts counts;
    return counts;
  }
};

}  // namespace ese
