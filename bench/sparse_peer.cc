// SPDX-License-Identifier: Apache-2.0
#include "bench/sparse_peer.h"

#include <Eigen/SparseCore>
#include <memory>
#include <vector>

#include "model/arithmetic.h"

namespace ese {
namespace {

using Sparse = Eigen::SparseMatrix<float, Eigen::RowMajor>;
using Dense = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Sparse FromMatrix(const Matrix& matrix) {
  Sparse sparse(matrix.rows, matrix.columns);
  sparse.reserve(
      Eigen::VectorXi::Constant(matrix.rows, matrix.entries_per_row + matrix.fine_entries_per_row));
  const auto add = [&](ConstSpan<uint16_t> entries, int count, float unit) {
    for (int r = 0; r < matrix.rows; ++r) {
      int column = -1;
      for (const uint16_t entry : entries.subspan(size_t(r) * count, count)) {
        column += EntryGap(entry) + 1;
        sparse.coeffRef(r, column) += static_cast<float>(EntryWeight(entry)) * unit;
      }
    }
  };
  constexpr float kUnit = 1.0f / 64;
  add(matrix.entries, matrix.entries_per_row, kUnit);
  add(matrix.fine_entries, matrix.fine_entries_per_row, kUnit / (1 << kFineBits));
  sparse.makeCompressed();
  return sparse;
}

// For one lane, Activations is a vector type, for which Eigen has its own loop.
template <typename Activations>
std::function<void()> Products(const Model& model, int batch) {
  struct Product {
    Sparse weights;
    Activations x, y;
  };
  auto products = std::make_shared<std::vector<Product>>();
  const auto add = [&](const Matrix& matrix) {
    products->push_back({FromMatrix(matrix), Activations::Random(matrix.columns, batch),
                         Activations(matrix.rows, batch)});
  };
  for (const Layer& layer : model.layers) {
    add(layer.gates);
    if (layer.has_projection) add(layer.projection);
  }
  return [products] {
    for (Product& p : *products) p.y.noalias() = p.weights * p.x;
  };
}

}  // namespace

std::function<void()> EigenSparse(const Model& model, int batch) {
  return batch == 1 ? Products<Eigen::VectorXf>(model, batch) : Products<Dense>(model, batch);
}

}  // namespace ese
