#include "model/model.h"

#include <cmath>

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

int Model::QuantizeFrame(const float* features, int8_t* x) const {
  for (int k = 0; k < input_dim(); ++k) {
    const float value = (features[k] - input_mean[k]) * input_inv_stddev[k];
    if (!std::isfinite(features[k])) return k;
    // A finite feature far outside the model's range may overflow here, to infinity or (where the
    // deviation is infinite) to NaN:
    // QuantizeInput's clamp takes care of it.
    x[k] = QuantizeInput(value, input_fraction_bits);
  }
  return -1;
}

}  // namespace ese
