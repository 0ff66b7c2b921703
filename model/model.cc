// SPDX-License-Identifier: Apache-2.0
#include "model/model.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "model/arithmetic.h"

namespace ese {

int Model::total_cells() const {
  int total = 0;
  for (const Layer& layer : layers) total += layer.cells;
  return total;
}

int Model::total_outputs() const {
  int total = 0;
  for (const Layer& layer : layers) total += layer.outputs;
  return total;
}

bool Model::NeedsFinerArithmetic() const {
  const auto fine = [](const Matrix& matrix) { return matrix.fine_entries_per_row > 0; };
  return wide_input || fine(output) ||
         std::any_of(layers.begin(), layers.end(), [&](const Layer& layer) {
           return fine(layer.gates) || fine(layer.projection);
         });
}

int Model::QuantizeFrame(const float* features, int8_t* x) const {
  const int n = input_dim();
  const float* const mean = input_mean.data();
  const float* const inv_stddev = input_inv_stddev.data();
  const int fraction_bits = input_fraction_bits;
  int8_t* const __restrict out = x;
  // No loop has a branch or a call, so that all become vector instructions. They are a good
  // part of what a chunk costs the server outside the kernels.
  int bad = 0;
  for (int k = 0; k < n; ++k) {
    bad |= std::abs(features[k]) <= std::numeric_limits<float>::max() ? 0 : 1;
  }
  if (wide_input) {
    int8_t* const __restrict low = x + n;
    for (int k = 0; k < n; ++k) {
      const Digits digits =
          QuantizeWideInput((features[k] - mean[k]) * inv_stddev[k], fraction_bits);
      out[k] = static_cast<int8_t>(digits.high);
      low[k] = static_cast<int8_t>(digits.low);
    }
  } else {
    for (int k = 0; k < n; ++k) {
      // A finite feature far outside the model's range may overflow here, to infinity or (if the
      // deviation is infinite) to NaN. QuantizeInput clamps both, as QuantizeWideInput does.
      out[k] = QuantizeInput((features[k] - mean[k]) * inv_stddev[k], fraction_bits);
    }
  }
  if (bad == 0) return -1;
  return static_cast<int>(
      std::find_if(features, features + n, [](float v) { return !std::isfinite(v); }) - features);
}

}  // namespace ese
