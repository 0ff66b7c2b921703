// SPDX-License-Identifier: Apache-2.0
// The layout of an `.ese` file, shared by the writer and the loader (docs/model_format.md).
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "model/model.h"

namespace ese {

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

inline constexpr char kModelMagic[] = "ESEMODEL";  // 8 bytes in the file
inline constexpr uint32_t kModelVersion = 3;
// Without fine entries and wide inputs. The writer prefers this one, so that older programs read
// every model that they can compute.
inline constexpr uint32_t kPlainModelVersion = 2;
inline constexpr uint32_t kOldestModelVersion = 1;  // without hidden_fraction_bits
inline constexpr size_t kSectionAlignment = 64;

// Bounds of a model's sizes, far above any real model. They limit how much a malformed file can
// make us allocate or loop over.
inline constexpr uint32_t kMaxDimension = 1 << 16;  // inputs, cells or outputs of a layer
inline constexpr int kMaxLayers = 64;

struct ModelHeader {
  char magic[8];
  uint32_t version;
  uint32_t manifest_bytes;
  uint32_t manifest_crc32c;
  uint32_t reserved0;  // 0
  uint64_t file_bytes;
  uint8_t reserved1[28];   // 0
  uint32_t header_crc32c;  // CRC32C of the 60 bytes before it
};
static_assert(sizeof(ModelHeader) == 64);

inline size_t AlignSection(size_t offset) {
  return (offset + kSectionAlignment - 1) / kSectionAlignment * kSectionAlignment;
}

// Calls visit(name, array, expected number of elements) for every array, in file order. `model` is
// a ModelDraft or a Model. REQUIRES: its shapes are set.
template <typename M, typename Visit>
void VisitSections(M& model, Visit&& visit) {
  const auto matrix = [&](const std::string& name, auto& m) {
    visit(name + "/entries", m.entries, size_t(m.rows) * size_t(m.entries_per_row));
    if (m.fine_entries_per_row > 0) {
      visit(name + "/fine_entries", m.fine_entries,
            size_t(m.rows) * size_t(m.fine_entries_per_row));
    }
    visit(name + "/shift", m.shift, size_t(m.rows));
    visit(name + "/bias", m.bias, size_t(m.rows));
  };
  const size_t inputs = size_t(model.layers.front().inputs) / (model.wide_input ? 2 : 1);
  visit("input/mean", model.input_mean, inputs);
  visit("input/inv_stddev", model.input_inv_stddev, inputs);
  for (size_t l = 0; l < model.layers.size(); ++l) {
    auto& layer = model.layers[l];
    const std::string prefix = absl::StrCat("layer", l, "/");
    matrix(prefix + "gates", layer.gates);
    if (layer.has_peepholes) visit(prefix + "peepholes", layer.peepholes, size_t(layer.cells) * 3);
    if (layer.has_projection) matrix(prefix + "projection", layer.projection);
  }
  matrix("output", model.output);
}

}  // namespace ese
