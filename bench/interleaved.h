// SPDX-License-Identifier: Apache-2.0
// Timing of rivals on a machine that others use too: all run in turn within each round, so that
// what disturbs one disturbs the rest, and medians over the rounds are compared.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace ese {

struct Contender {
  std::string name;
  std::function<void()> run;
  int units = 1;                          // of work in one run; times are per unit
  std::vector<double> microseconds = {};  // one a round
};

// Runs every contender once without timing it, then `rounds` times in turn. REQUIRES: they do their
// work on the calling thread.
void RunInterleaved(int rounds, std::vector<Contender>* contenders);

// Quantile of values, 0.5 being the median. REQUIRES: not empty, 0 <= q <= 1.
double Quantile(std::vector<double> values, double q);

// Median over the rounds of how many times longer `peer` took than `ours`.
double MedianRatio(const Contender& peer, const Contender& ours);

}  // namespace ese
