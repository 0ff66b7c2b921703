// SPDX-License-Identifier: Apache-2.0
// A model in the layout that the CPU kernels read.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "accel/cpu/kernel.h"
#include "accel/cpu/lookup_packer.h"
#include "accel/cpu/packed_memory.h"
#include "model/model.h"

namespace ese {

// Immutable, made once and shared by all channels and threads.
class PackedModel {
 public:
  // INVALID_ARGUMENT: a matrix has more than kMaxColumns (8192) columns.
  static absl::StatusOr<std::shared_ptr<const PackedModel>> Create(
      std::shared_ptr<const Model> model);

  const Model& model() const { return *model_; }
  const std::vector<PackedLayer>& layers() const { return layers_; }
  const PackedMatrix& output() const { return output_; }
  const LookupMatrix& lookup_output() const { return lookup_output_; }
  size_t bytes() const { return memory_.bytes(); }

 private:
  explicit PackedModel(std::shared_ptr<const Model> model);

  // `rounding` is added to every row's addend.
  PackedMatrix Pack(const Matrix& matrix, int32_t rounding);
  // The same in strips; strip s has rows row_of(s, 0) to row_of(s, 15), -1 being a row of zeros.
  // Column c lies where `places` has column c + first_column. Results are shifted right by `shift`,
  // but not if `exact`.
  template <typename RowOf>
  LookupMatrix PackStrips(const Matrix& matrix, const LookupPlaces& places, int first_column,
                          int strips, int shift, bool exact, RowOf row_of);
  LookupMatrix PackStripsInOrder(const Matrix& matrix, const LookupPlaces& places, int first_column,
                                 int shift);
  LookupVector PackVector(const LookupPlaces& places);
  PackedLayer Pack(const Layer& layer);
  void PackPeepholes(const Layer& layer, PackedLayer* packed);

  std::shared_ptr<const Model> model_;
  TanhTable tanh_;
  std::vector<PackedLayer> layers_;
  PackedMatrix output_;
  LookupMatrix lookup_output_;
  PackedMemory memory_;  // what the views above point into
};

}  // namespace ese
