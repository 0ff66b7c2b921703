// SPDX-License-Identifier: Apache-2.0
#include "model/log_softmax.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "model/fixed_point.h"

namespace ese {
namespace {

constexpr double kLn2 = 0.693147180559945309417;

// 2^t for -1000 < t <= 0: the Taylor series of 2^f for |f| <= 1/2, then the exponent. Error < 1e-9.
double Exp2(double t) {
  const double whole = std::floor(t + 0.5);
  const double x = (t - whole) * kLn2;
  double p = 1.0 / 40320;
  p = p * x + 1.0 / 5040;
  p = p * x + 1.0 / 720;
  p = p * x + 1.0 / 120;
  p = p * x + 1.0 / 24;
  p = p * x + 1.0 / 6;
  p = p * x + 0.5;
  p = p * x + 1.0;
  p = p * x + 1.0;
  return p * std::bit_cast<double>(static_cast<uint64_t>(1023 + static_cast<int64_t>(whole)) << 52);
}

// ln(v) for v >= 1: v = 2^k m with m in [1, 2), ln(m) = 2 atanh((m - 1) / (m + 1)). Error < 1e-8.
double Log(double v) {
  const auto bits = std::bit_cast<uint64_t>(v);
  const auto exponent = static_cast<int64_t>(bits >> 52) - 1023;
  const double m =
      std::bit_cast<double>((bits & ((uint64_t{1} << 52) - 1)) | (uint64_t{1023} << 52));
  const double z = (m - 1) / (m + 1);
  const double z2 = z * z;
  double p = 1.0 / 15;
  for (int k = 13; k >= 1; k -= 2) p = p * z2 + 1.0 / k;
  return static_cast<double>(exponent) * kLn2 + 2 * z * p;
}

}  // namespace

void LogSoftmax(absl::Span<const int32_t> logits, absl::Span<float> log_posteriors) {
  constexpr double kScale = 1.0 / (1 << Accumulator::kFractionBits);
  const int64_t largest = *std::max_element(logits.begin(), logits.end());
  // Terms below 2^-64 of the largest cannot change the sum.
  constexpr double kSmallestExponent = -64;
  double sum = 0;
  for (const int32_t logit : logits) {
    const double t = static_cast<double>(logit - largest) * (kScale / kLn2);
    sum += Exp2(std::max(t, kSmallestExponent));
  }
  const double log_sum = Log(sum);
  for (size_t i = 0; i < logits.size(); ++i) {
    log_posteriors[i] =
        static_cast<float>(static_cast<double>(logits[i] - largest) * kScale - log_sum);
  }
}

}  // namespace ese
