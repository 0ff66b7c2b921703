// Functional coverage of the kernel's control: cycles in each state and batches with each error
// code, counted over all simulations of a test program.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstdio>

#include "Vese_channel_small.h"
#include "Vese_channel_small___024root.h"

namespace ese {

class ChannelCoverage {
 public:
  static void Sample(const Vese_channel_small& top) {
    const auto& root = *top.rootp;
    Counts& counts = Total();
    ++counts.batch[root.ese_channel__DOT__u_batch__DOT__state_q];
    ++counts.write[root.ese_channel__DOT__u_out__DOT__state_q];
    ++counts.loader[root.ese_channel__DOT__u_loader__DOT__state_q];
    const bool done = root.ese_channel__DOT__u_batch__DOT__state_q == kBatchStates - 1;
    if (done) ++counts.errors[root.ese_channel__DOT__u_batch__DOT__error_o];
  }

  // Reports the counts; fails where one is 0.
  static void ExpectAllSeen() {
    const Counts& counts = Total();
    Expect("ese_batch, cycles in state", counts.batch, kBatchStates);
    Expect("ese_axi_write, cycles in state", counts.write, 3);
    Expect("ese_loader, cycles in state", counts.loader, 3);
    Expect("cycles done with error code", counts.errors, kErrorCodes);
  }

 private:
  static constexpr int kBatchStates = 12;  // IDLE to DONE
  static constexpr int kErrorCodes = 9;
  using Counters = std::array<int64_t, 256>;
  struct Counts {
    Counters batch{}, write{}, loader{}, errors{};
  };
  static Counts& Total() {
    static Counts counts;
    return counts;
  }
  static void Expect(const char* what, const Counters& counters, int values) {
    for (int k = 0; k < values; ++k) {
      std::printf("covered: %s %d: %lld\n", what, k, static_cast<long long>(counters[k]));
      EXPECT_GT(counters[k], 0) << what << " " << k << ": no test reaches it";
    }
  }
};

}  // namespace ese
