// SPDX-License-Identifier: Apache-2.0
// Dense matrix products of other libraries, on one thread: what the LSTM's two products would cost
// without pruning.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace ese {

// y [rows, batch] = W [rows, columns] x [columns, batch].
struct GemmShape {
  int rows;
  int columns;
};

// Each returns a function that does all the products once, in buffers of its own, filled with
// random values of the trained model's order (no denormals).
//
// oneDNN's matmul primitive, which takes the weights in the layout that it likes best (reordered
// once). `int8`: unsigned 8-bit activations, signed 8-bit weights and 32-bit sums.
std::function<void()> OneDnnGemm(const std::vector<GemmShape>& shapes, int batch, bool int8);
// cblas_sgemm, or cblas_sgemv for a batch of 1. `batch_major`: activations as [batch, columns],
// else as [columns, batch].
std::function<void()> OpenBlasGemm(const std::vector<GemmShape>& shapes, int batch,
                                   bool batch_major);

// The processor type that OpenBLAS took this machine for.
std::string OpenBlasCore();

}  // namespace ese
