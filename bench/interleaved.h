// SPDX-License-Identifier: Apache-2.0
// Times rivals on a machine that other programs use too. All rivals run in turn within each round,
// so a disturbance affects them alike, and medians over the rounds are compared.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace ese {

struct Contender {
  std::string name;
  std::function<void()> run;
  int units = 1;                          // of work in one run; times are per unit
  std::vector<double> microseconds = {};  // one for each round
};

// Runs every contender once without timing it, then `rounds` times in turn. REQUIRES: they do their
// work on the calling thread.
void RunInterleaved(int rounds, std::vector<Contender>* contenders);

// Returns a quantile of the values; q = 0.5 is the median. REQUIRES: not empty, 0 <= q <= 1.
double Quantile(std::vector<double> values, double q);

// Returns how many times as long as `ours` the `peer` took, as the median over the rounds.
double MedianRatio(const Contender& peer, const Contender& ours);

}  // namespace ese
