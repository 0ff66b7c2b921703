// SPDX-License-Identifier: Apache-2.0
#include "model/testing.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <random>

#include "absl/strings/str_cat.h"
#include "model/arithmetic.h"

namespace ese {
namespace {

class Generator {
 public:
  explicit Generator(uint32_t seed) : bits_(seed) {}

  // From low to high, both included. (std::uniform_int_distribution differs between libraries.)
  int Between(int low, int high) {
    return low + static_cast<int>(bits_() % static_cast<uint32_t>(high - low + 1));
  }

  // Chooses `count` of `columns` columns and returns them in ascending order.
  std::vector<int> Columns(int count, int columns) {
    std::vector<int> all(columns);
    std::iota(all.begin(), all.end(), 0);
    for (int k = 0; k < count; ++k) std::swap(all[k], all[Between(k, columns - 1)]);
    all.resize(count);
    std::sort(all.begin(), all.end());
    return all;
  }

 private:
  std::mt19937 bits_;
};

MatrixDraft RandomMatrix(Generator& random, int rows, int columns, double density,
                         double fine_density, int shift) {
  MatrixDraft matrix;
  matrix.rows = rows;
  matrix.columns = columns;
  matrix.entries_per_row = static_cast<int>(std::lround(density * columns));
  matrix.fine_entries_per_row = static_cast<int>(std::lround(fine_density * columns));
  for (int r = 0; r < rows; ++r) {
    int column = -1;
    int64_t magnitude = 0;
    for (const int next : random.Columns(matrix.entries_per_row, columns)) {
      const int weight = random.Between(kMinWeight, kMaxWeight);
      magnitude += std::abs(weight);
      matrix.entries.push_back(MakeEntry(next - column - 1, weight));
      column = next;
    }
    int row_shift = std::clamp(shift + random.Between(-1, 1), 0, kMaxRowShift);
    if (matrix.fine_entries_per_row > 0) {
      row_shift = std::max(row_shift - kFineBits, 0);
      magnitude <<= kFineBits;
      column = -1;
      for (const int next : random.Columns(matrix.fine_entries_per_row, columns)) {
        const int weight = random.Between(kMinWeight, kMaxWeight);
        magnitude += std::abs(weight);
        matrix.fine_entries.push_back(MakeEntry(next - column - 1, weight));
        column = next;
      }
    }
    // Leave a quarter of the range to biases and peepholes.
    while (row_shift > 0 && ((magnitude * 128) << row_shift) > INT32_MAX / 2) --row_shift;
    matrix.shift.push_back(static_cast<uint8_t>(row_shift));
    matrix.bias.push_back(random.Between(-(1 << 20), 1 << 20));
  }
  return matrix;
}

// The row shift with which sums of `entries` random products are about as large as `gain`.
int TypicalShift(int entries, double gain) {
  const double deviation = 37.0 * 40.0 * std::sqrt(std::max(entries, 1));
  return static_cast<int>(std::lround(std::log2(gain * (1 << 19) / deviation)));
}

}  // namespace

ModelDraft RandomModelDraft(const RandomModelOptions& options) {
  Generator random(options.seed);
  ModelDraft model;
  model.name = absl::StrCat("random-", options.seed);
  int inputs = options.inputs;
  for (int k = 0; k < inputs; ++k) {
    model.input_mean.push_back(static_cast<float>(random.Between(-8, 8)) / 4);
    model.input_inv_stddev.push_back(static_cast<float>(random.Between(2, 8)) / 4);
  }
  const auto matrix = [&](int rows, int columns, double density, double gain) {
    const int entries = static_cast<int>(std::lround(density * columns));
    return RandomMatrix(random, rows, columns, density, options.fine_density,
                        TypicalShift(entries, gain));
  };
  model.wide_input = options.wide_input;
  if (options.wide_input) inputs *= 2;
  for (const RandomLayer& from : options.layers) {
    LayerDraft layer;
    layer.inputs = inputs;
    layer.cells = from.cells;
    layer.has_projection = from.projection > 0;
    layer.outputs = layer.has_projection ? from.projection : from.cells;
    layer.has_peepholes = from.peepholes;
    layer.g_activation = from.g_activation;
    // Every format in turn, whatever the test is about.
    const auto turn = static_cast<int>((options.seed + model.layers.size()) % 4);
    layer.hidden_fraction_bits =
        from.hidden_fraction_bits == 0 ? kMinHiddenFractionBits + turn : from.hidden_fraction_bits;
    layer.output_fraction_bits = layer.has_projection ? 5 : layer.hidden_fraction_bits;
    layer.gates =
        matrix(4 * layer.cells, inputs + layer.outputs, options.density, 2 * options.gain);
    if (layer.has_projection) {
      layer.projection = matrix(layer.outputs, layer.cells, options.density, options.gain);
    }
    for (int k = 0; from.peepholes && k < 3 * layer.cells; ++k) {
      const int limit = static_cast<int>(std::min(32767.0, 4096 * options.gain));
      layer.peepholes.push_back(static_cast<int16_t>(random.Between(-limit, limit)));
    }
    inputs = layer.outputs;
    model.layers.push_back(std::move(layer));
  }
  model.output = matrix(options.units, inputs, 1.0, 2 * options.gain);
  model.units.push_back("<blank>");
  for (int k = 1; k < options.units; ++k) model.units.push_back(absl::StrCat("U", k));
  model.blank = 0;
  return model;
}

std::shared_ptr<const Model> RandomModel(const RandomModelOptions& options) {
  const auto bytes = SerializeModel(RandomModelDraft(options));
  if (!bytes.ok()) {
    std::abort();  // a defect of the generator: its models are valid by construction
  }
  return *Model::FromBytes(*bytes);
}

RandomModelOptions PaperModelOptions() {
  return {
      .inputs = 153, .layers = {{.cells = 1024, .projection = 512}}, .units = 40, .density = 0.112};
}

}  // namespace ese
