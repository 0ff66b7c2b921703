// SPDX-License-Identifier: Apache-2.0
// A compiled model: a stack of LSTMP layers and an affine output layer, pruned so that every row of
// a matrix keeps the same number of entries, and quantized to 7-bit weights (docs/arithmetic.md).
//
// A Model is immutable and shared. Its arrays point into one memory-mapped `.ese` file, and loading
// checks every index and bound in it (docs/model_format.md). A ModelDraft has the same content in
// vectors before it is written to a file. A Model can be made only from a file's bytes, so nothing
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

// An entry is one kept weight. Bits 15..7 are the gap: how many columns are skipped since the row's
// previous entry, or since column -1. Bits 6..0 are the weight, in two's complement. So an entry's
// column is the previous column + gap + 1.
inline constexpr int kMaxGap = 511;
constexpr uint16_t MakeEntry(int gap, int weight) {
  return static_cast<uint16_t>((gap << 7) | (weight & 0x7F));
}
constexpr int EntryGap(uint16_t entry) { return entry >> 7; }
constexpr int EntryWeight(uint16_t entry) {
  return static_cast<int8_t>(static_cast<uint8_t>(entry << 1)) >> 1;
}

// A row-balanced matrix. Row r of its product with the integer vector v is exactly, in 32 bits,
//   (S << shift[r]) + bias[r],  Q12.19,
// where S is the sum over the row's entries of weight * v[column]. A matrix may have fine entries
// besides; an entry then counts 2^kFineBits times as much as a fine entry:
//   S = 2^kFineBits * (sum over entries) + (sum over fine entries).
template <template <typename> class Array>
struct BasicMatrix {
  int rows = 0;
  int columns = 0;
  int entries_per_row = 0;
  Array<uint16_t> entries;         // [rows][entries_per_row], columns ascending within a row
  Array<uint8_t> shift;            // [rows], 0..kMaxRowShift
  Array<int32_t> bias;             // [rows], Q12.19
  int fine_entries_per_row = 0;    // 0 in a matrix of 7-bit weights and 8-bit inputs
  Array<uint16_t> fine_entries{};  // [rows][fine_entries_per_row], like entries
};
using Matrix = BasicMatrix<ConstSpan>;
using MatrixDraft = BasicMatrix<Vector>;
// A view of the draft's arrays. The draft must outlive it.
inline Matrix ViewOf(const MatrixDraft& draft) {
  return {.rows = draft.rows,
          .columns = draft.columns,
          .entries_per_row = draft.entries_per_row,
          .entries = draft.entries,
          .shift = draft.shift,
          .bias = draft.bias,
          .fine_entries_per_row = draft.fine_entries_per_row,
          .fine_entries = draft.fine_entries};
}

enum class GActivation { kTanh, kSigmoid };

// The fraction bits of m = o tanh(c): 7 (Q0.7), or more in a layer whose outputs stay small.
inline constexpr int kMinHiddenFractionBits = 7;
inline constexpr int kMaxHiddenFractionBits = 10;

// One LSTMP layer. The gates read the vector [x ; y'] of `inputs` + `outputs` 8-bit integers: the
// layer's input and its own output in the step before.
template <template <typename> class Array>
struct BasicLayer {
  int inputs = 0;
  int cells = 0;
  int outputs = 0;  // rows of the projection, or `cells` if there is none
  bool has_projection = false;
  bool has_peepholes = false;
  GActivation g_activation = GActivation::kTanh;
  int hidden_fraction_bits = kMinHiddenFractionBits;  // the format of m, the cells' outputs
  int output_fraction_bits = kMinHiddenFractionBits;  // the format of y; without projection, m's
  BasicMatrix<Array> gates;  // [4 * cells, inputs + outputs]; row 4 * cell + gate, gates i f g o
  BasicMatrix<Array> projection;  // [outputs, cells]; empty if there is none
  Array<int16_t> peepholes;       // [cells][3] Q3.12 for i, f, o; empty if there are none
};
using Layer = BasicLayer<ConstSpan>;
using LayerDraft = BasicLayer<Vector>;

// How audio becomes features; features/fbank.h explains each setting. sample_rate_hz is 0 if the
// model takes features only.
struct FeatureSettings {
  int sample_rate_hz = 0;
  float frame_length_ms = 25;
  float frame_shift_ms = 10;
  int num_mel_bins = 0;
  float low_freq_hz = 20;
  float high_freq_hz = 0;
  float preemphasis = 0.97f;
  int stack = 1;  // analysis windows side by side in one frame
};

template <template <typename> class Array>
struct BasicModel {
  std::string name;
  FeatureSettings features;
  int input_fraction_bits = 5;  // the format of the quantized input
  // Each feature takes two columns of x: its high digits, and its low digits after all features'
  // high digits. One unit of a high digit is worth 2^kFineBits units of a low one.
  bool wide_input = false;
  Array<float> input_mean;        // [features]; x = (feature - mean) * inv_stddev
  Array<float> input_inv_stddev;  // [features]
  std::vector<BasicLayer<Array>> layers;
  BasicMatrix<Array> output;                 // [units, outputs of the last layer]
  std::vector<std::string> units;            // names of the output units
  int blank = -1;                            // the unit that is the CTC blank, or -1
  std::map<std::string, std::string> facts;  // text for people, shown by `ese-compile inspect`
};

struct ModelDraft : BasicModel<Vector> {};

class Model : public BasicModel<ConstSpan> {
 public:
  // Maps a file into memory and checks it. NOT_FOUND, PERMISSION_DENIED: it cannot be opened.
  // DATA_LOSS: it is damaged. INVALID_ARGUMENT: it is not a model or not a regular file, has a
  // version that is not supported, or has wrong content. Messages name the section and the offset
  // or row.
  static absl::StatusOr<std::shared_ptr<const Model>> FromFile(const std::string& path);
  // Does the same, but reads the file into memory, because it may be overwritten at any time. A
  // file whose size differs from the size in its header is refused before the rest is read.
  static absl::StatusOr<std::shared_ptr<const Model>> ReadFile(const std::string& path);
  // Does the same with a file's bytes in memory.
  static absl::StatusOr<std::shared_ptr<const Model>> FromBytes(std::string bytes);

  // The bytes of x for one frame: the inputs of the first layer.
  int input_columns() const { return layers.front().inputs; }
  int input_dim() const { return input_columns() / (wide_input ? 2 : 1); }  // features of a frame
  // Whether a back end must support fine entries or wide inputs to compute this model.
  bool NeedsFinerArithmetic() const;
  int num_units() const { return output.rows; }
  int total_cells() const;    // over all layers
  int total_outputs() const;  // over all layers
  // 32 hex digits from a hash of the file: models with different content have different ones.
  const std::string& fingerprint() const { return fingerprint_; }
  // The milliseconds of audio that a frame stands for; 0 if the model takes features only.
  float frame_ms() const {
    return features.sample_rate_hz ? features.frame_shift_ms * features.stack : 0;
  }

  // Normalises and quantizes one frame: reads features [input_dim], writes x
  // [input_columns] (equation 15 of docs/arithmetic.md).
  // Returns the index of the first feature that is NaN or infinite, or -1 if all are finite.
  int QuantizeFrame(const float* features, int8_t* x) const;

 private:
  friend class ModelLoader;
  std::shared_ptr<const void> storage_;  // what the arrays point into
  std::string fingerprint_;
};

// Returns the bytes of an `.ese` file. Returns the errors of FromBytes if the draft's content is
// wrong.
absl::StatusOr<std::string> SerializeModel(const ModelDraft& draft);

// What the LSTM remembers of one stream, all layers end to end: 2 bytes for each cell and 1 for
// each output. A stream starts with zeros.
struct StreamState {
  AlignedBuffer<int16_t> c;  // [total_cells] Q5.10
  AlignedBuffer<int8_t> y;   // [total_outputs], each layer in its output format

  StreamState() = default;
  explicit StreamState(const Model& model) : c(model.total_cells()), y(model.total_outputs()) {}
};

}  // namespace ese
