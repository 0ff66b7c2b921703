// SPDX-License-Identifier: Apache-2.0
// The LSTM's products with Eigen's sparse matrices, on one thread: the same kept weights, in single
// precision.
#pragma once

#include <functional>

#include "model/model.h"

namespace ese {

// Returns a function that does the products of all layers once (gates and projections, without the
// output layer), rows of weights compressed (CSR), activations [columns][batch].
std::function<void()> EigenSparse(const Model& model, int batch);

}  // namespace ese
