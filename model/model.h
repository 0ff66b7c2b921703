// SPDX-License-Identifier: Apache-2.0
// A compiled model: stacks of LSTMP layers and an affine output layer, pruned so that every row of
// a matrix keeps the same number of entries, quantized to 7-bit weights (docs/arithmetic.md).
//
// Model is immutable and shared; its arrays point into one memory-mapped `.ese` file, whose every
// index and bound was checked when it was loaded (docs/model_format.md). ModelDraft is the same
// content in vectors, on its way into a file. There is no other way to make a Model, so nothing
// unchecked reaches a back end.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/aligned_buffer.h"

namespace ese {

template <typename T>
using ConstSpan = absl::Span<const T>;
template <typename T>
using Vector = std::vector<T>;

// One kept weight: bits 15..7 the gap (columns skipped since the row's previous entry, or since
// column -1), bits 6..0 the weight, two's complement. column = previous column + gap + 1.
inline constexpr int kMaxGap = 511;
constexpr uint16_t MakeEntry(int gap, int weight) {
  return static_cast<uint16_t>((gap << 7) | (weight & 0x7F));
}
constexpr int EntryGap(uint16_t entry) { return entry >> 7; }
constexpr int EntryWeight(uint16_t entry) {
  return static_cast<int8_t>(static_cast<uint8_t>(entry << 1)) >> 1;
}

// A row-balanced matrix. Row r of the product with the integer vector v is, exactly in 32 bits,
//   (sum over the row's entries of weight * v[column]) << shift[r]) + bias[r],  Q12.19.
template <template <typename> class Array>
struct BasicMatrix {
  int rows = 0;
  int columns = 0;
  int entries_per_row = 0;
  Array<uint16_t> entries;  // [rows][entries_per_row], columns ascending within a row
  Array<uint8_t> shift;     // [rows], 0..kMaxRowShift
  Array<int32_t> bias;      // [rows], Q12.19
};
using Matrix = BasicMatrix<ConstSpan>;
using MatrixDraft = BasicMatrix<Vector>;
// Of arrays that must outlive it.
inline Matrix ViewOf(const MatrixDraft& draft) {
  return {.rows = draft.rows,
          .columns = draft.columns,
          .entries_per_row = draft.entries_per_row,
          .entries = draft.entries,
          .shift = draft.shift,
          .bias = draft.bias};
}

enum class GActivation { kTanh, kSigmoid };

// m = o tanh(c) is Q0.7, or has more fraction bits in a layer whose outputs stay small.
inline constexpr int kMinHiddenFractionBits = 7;
inline constexpr int kMaxHiddenFractionBits = 10;

// One LSTMP layer. The gates read the vector [x ; y'] of `inputs` + `outputs` 8-bit integers: the
// layer's input and its own output of the step before.
template <template <typename> class Array>
struct BasicLayer {
  int inputs = 0;
  int cells = 0;
  int outputs = 0;  // rows of the projection; equal to cells where there is none
  bool has_projection = false;
  bool has_peepholes = false;
  GActivation g_activation = GActivation::kTanh;
  int hidden_fraction_bits = kMinHiddenFractionBits;  // format of m, the cells' outputs
  int output_fraction_bits = kMinHiddenFractionBits;  // format of y; m's if there is no projection
  BasicMatrix<Array> gates;  // [4 * cells, inputs + outputs]; row 4 * cell + gate, gates i f g o
  BasicMatrix<Array> projection;  // [outputs, cells]; empty where there is none
  Array<int16_t> peepholes;       // [cells][3] Q3.12 for i, f, o; empty where there are none
};
using Layer = BasicLayer<ConstSpan>;
using LayerDraft = BasicLayer<Vector>;

// How audio becomes features (features/fbank.h has the meaning of each). sample_rate_hz is 0 where
// the model takes features only.
struct FeatureSettings {
  int sample_rate_hz = 0;
  float frame_length_ms = 25;
  float frame_shift_ms = 10;
  int num_mel_bins = 0;
  float low_freq_hz = 20;
  float high_freq_hz = 0;
  float preemphasis = 0.97f;
  int stack = 1;  // filter-bank frames side by side in one frame of the model
};

template <template <typename> class Array>
struct BasicModel {
  std::string name;
  FeatureSettings features;
  int input_fraction_bits = 5;    // format of the quantized input
  Array<float> input_mean;        // [inputs of layer 0]; x = (feature - mean) * inv_stddev
  Array<float> input_inv_stddev;  // [inputs of layer 0]
  std::vector<BasicLayer<Array>> layers;
  BasicMatrix<Array> output;                 // [units, outputs of the last layer]
  std::vector<std::string> units;            // names of the output units
  int blank = -1;                            // the CTC blank's unit, or -1
  std::map<std::string, std::string> facts;  // training data, accuracy, source: shown by inspect
};

struct ModelDraft : BasicModel<Vector> {};

class Model : public BasicModel<ConstSpan> {
 public:
  // Maps and checks a file. Errors: NOT_FOUND, PERMISSION_DENIED; DATA_LOSS (damaged) or
  // INVALID_ARGUMENT (not a model, or of another version) naming the section and the offset.
  static absl::StatusOr<std::shared_ptr<const Model>> FromFile(const std::string& path);
  // The same for bytes in memory.
  static absl::StatusOr<std::shared_ptr<const Model>> FromBytes(std::string bytes);

  int input_dim() const { return layers.front().inputs; }
  int num_units() const { return output.rows; }
  int total_cells() const;    // over all layers
  int total_outputs() const;  // over all layers
  // 32 hex digits that differ between models of different content.
  const std::string& fingerprint() const { return fingerprint_; }
  // Milliseconds of audio a frame stands for; 0 where the model takes features only.
  float frame_ms() const {
    return features.sample_rate_hz ? features.frame_shift_ms * features.stack : 0;
  }

  // Normalises and quantizes one frame, [input_dim] floats to [input_dim] integers (15).
  // Returns the index of the first value that is NaN or infinite, or -1.
  int QuantizeFrame(const float* features, int8_t* x) const;

 private:
  friend class ModelLoader;
  std::shared_ptr<const void> storage_;  // keeps the arrays alive
  std::string fingerprint_;
};

// The bytes of the `.ese` file. The draft's shapes are checked as FromBytes checks them.
absl::StatusOr<std::string> SerializeModel(const ModelDraft& draft);

// What the LSTM remembers of one stream: 2 bytes a cell and 1 an output, all layers end to end.
// Zeros at the start of a stream.
struct StreamState {
  AlignedBuffer<int16_t> c;  // [total_cells] Q5.10
  AlignedBuffer<int8_t> y;   // [total_outputs], each layer in its output format

  StreamState() = default;
  explicit StreamState(const Model& model) : c(model.total_cells()), y(model.total_outputs()) {}
};

}  // namespace ese
