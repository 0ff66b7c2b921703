// SPDX-License-Identifier: Apache-2.0
// A model in the layouts that the CPU kernels read: one for columns and one for look-up.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "accel/cpu/kernels/kernel.h"
#include "accel/cpu/lookup_layout.h"
#include "accel/cpu/lookup_packer.h"
#include "accel/cpu/packed_memory.h"
#include "model/model.h"

namespace ese {

// Immutable: made once, and shared by all channels and threads.
class PackedModel {
 public:
  // Packs a model, on several threads if there is enough to do.
  // INVALID_ARGUMENT: a matrix has more than kMaxColumns (8192) columns.
  static absl::StatusOr<std::shared_ptr<const PackedModel>> Create(
      std::shared_ptr<const Model> model);

  const Model& model() const { return *model_; }
  const std::vector<PackedLayer>& layers() const { return layers_; }
  const PackedMatrix& output() const { return output_; }
  const LookupMatrix& lookup_output() const { return lookup_output_; }
  size_t bytes() const { return memory_.bytes(); }  // of both layouts

 private:
  explicit PackedModel(std::shared_ptr<const Model> model);

  PackedLayer Pack(const Layer& layer);
  void PackPeepholes(const Layer& layer, PackedLayer* packed);
  // A matrix for the columns algorithm. `rounding` is added to every row's addend.
  PackedMatrix PackColumns(const Matrix& matrix, int32_t rounding);
  LookupVector PackVector(const LookupLayout& layout);
  // A matrix for look-up, with its rows in order. `layout` places column c of the matrix as its
  // column c + first_column. Results are shifted right by `shift`.
  LookupMatrix PackStripsInOrder(const Matrix& matrix, const LookupLayout& layout, int first_column,
                                 int shift);
  // The same, but strip s has rows row_of(s, 0) to row_of(s, 15), where -1 is a row of zeros. If
  // `exact`, the results are the exact sums, not shifted.
  template <typename RowOf>
  LookupMatrix PackStrips(const Matrix& matrix, const LookupLayout& layout, int first_column,
                          int strips, int shift, bool exact, RowOf row_of);
  // Sets the tiles and lines of *matrix from successive parts of them.
  void ConcatenateTiles(const std::vector<LookupTiles>& parts, LookupMatrix* matrix);

  std::shared_ptr<const Model> model_;
  TanhTable tanh_;
  std::vector<PackedLayer> layers_;
  PackedMatrix output_;
  LookupMatrix lookup_output_;
  PackedMemory memory_;  // holds the arrays that the views above point into
};

}  // namespace ese
