// SPDX-License-Identifier: Apache-2.0
#include "bench/interleaved.h"

#include <algorithm>
#include <ctime>
#include <utility>

namespace ese {
namespace {

double ThreadMicroseconds() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return time.tv_sec * 1e6 + time.tv_nsec / 1e3;
}

}  // namespace

void RunInterleaved(int rounds, std::vector<Contender>* contenders) {
  for (Contender& contender : *contenders) contender.run();
  for (int round = 0; round < rounds; ++round) {
    for (Contender& contender : *contenders) {
      const double start = ThreadMicroseconds();
      contender.run();
      contender.microseconds.push_back((ThreadMicroseconds() - start) / contender.units);
    }
  }
}

double Quantile(std::vector<double> values, double q) {
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(q * (values.size() - 1) + 0.5);
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

double MedianRatio(const Contender& peer, const Contender& ours) {
  std::vector<double> ratios;
  for (size_t i = 0; i < ours.microseconds.size(); ++i) {
    ratios.push_back(peer.microseconds[i] / ours.microseconds[i]);
  }
  return Quantile(std::move(ratios), 0.5);
}

}  // namespace ese
