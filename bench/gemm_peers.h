// SPDX-License-Identifier: Apache-2.0
// Dense matrix products by other libraries, on one thread: what the LSTM's two products would cost
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

// Each function below returns a function that computes all products once. It has its own buffers,
// filled with random values of the same magnitude as a trained model's (no denormals).
//
// oneDNN's matmul primitive, with the weights reordered once to the layout that it prefers. `int8`:
// unsigned 8-bit activations, signed 8-bit weights and 32-bit sums.
std::function<void()> OneDnnGemm(const std::vector<GemmShape>& shapes, int batch, bool int8);
// cblas_sgemm, or cblas_sgemv for a batch of 1. Activations are [batch, columns] if `batch_major`,
// else [columns, batch].
std::function<void()> OpenBlasGemm(const std::vector<GemmShape>& shapes, int batch,
                                   bool batch_major);

// The processor type that OpenBLAS detected.
std::string OpenBlasCore();

}  // namespace ese
