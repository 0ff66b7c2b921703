// SPDX-License-Identifier: Apache-2.0
// Functional coverage of the kernel's control: cycles in each state, with each error code, and with
// each cause of a stall, counted over all simulations of a test program.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <string>

#include "Vese_channel_small.h"
#include "Vese_channel_small___024root.h"
#include "accel/rtl/sim/stalls.h"

namespace ese {

class ChannelCoverage {
 public:
  static void Sample(const Vese_channel_small& top) {
    const auto& root = *top.rootp;
    Counts& counts = Total();
    ++counts.batch[root.ese_channel__DOT__u_batch__DOT__state_q];
    ++counts.write[root.ese_channel__DOT__u_out__DOT__state_q];
    ++counts.loader[root.ese_channel__DOT__u_loader__DOT__state_q];
    CountBits(root.ese_channel__DOT__u_array__DOT__u_issue__DOT__stalls, &counts.issue);
    CountBits(root.ese_channel__DOT__u_array__DOT__u_drain__DOT__stalls, &counts.drain);
    const bool done = root.ese_channel__DOT__u_batch__DOT__state_q == kBatchStates - 1;
    if (done) ++counts.errors[root.ese_channel__DOT__u_batch__DOT__error_o];
  }

  // Prints the counts, and fails the test for each that is 0.
  static void ExpectAllSeen() {
    const Counts& counts = Total();
    Expect("ese_batch, cycles in state", counts.batch, kBatchStates);
    Expect("ese_axi_write, cycles in state", counts.write, 3);
    Expect("ese_loader, cycles in state", counts.loader, 3);
    Expect("cycles done with error code", counts.errors, kErrorCodes);
    Expect("ese_issue, cycles stalled", counts.issue, kIssueStalls.size(), kIssueStalls.data());
    Expect("ese_drain, cycles stalled", counts.drain, kDrainStalls.size(), kDrainStalls.data());
  }

 private:
  static constexpr int kBatchStates = 12;  // IDLE to DONE
  static constexpr int kErrorCodes = 9;
  using Counters = std::array<int64_t, 256>;
  struct Counts {
    Counters batch{}, write{}, loader{}, errors{}, issue{}, drain{};
  };
  static Counts& Total() {
    static Counts counts;
    return counts;
  }
  static void CountBits(unsigned bits, Counters* counters) {
    for (size_t k = 0; bits != 0; ++k, bits >>= 1) (*counters)[k] += bits & 1;
  }
  static void Expect(const char* what, const Counters& counters, size_t values,
                     const char* const* names = nullptr) {
    for (size_t k = 0; k < values; ++k) {
      const std::string name = names ? names[k] : std::to_string(k);
      std::printf("covered: %s %s: %lld\n", what, name.c_str(),
                  static_cast<long long>(counters[k]));
      EXPECT_GT(counters[k], 0) << what << " " << name << ": no test reaches it";
    }
  }
};

}  // namespace ese
