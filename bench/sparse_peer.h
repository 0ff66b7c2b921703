// SPDX-License-Identifier: Apache-2.0
// The LSTM's products by Eigen's sparse matrices, on one thread: the same kept weights, in single
// precision.
#pragma once

#include <functional>

#include "model/model.h"

namespace ese {

// Returns a function that computes the products of all layers once (gates and projections, without
// the output layer). Weights are compressed by rows (CSR); activations are [columns][batch].
std::function<void()> EigenSparse(const Model& model, int batch);

}  // namespace ese
