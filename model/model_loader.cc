// SPDX-License-Identifier: Apache-2.0
// The loader checks everything in a file before it uses it. docs/model_format.md has the layout.
// Each error names the section and the offset or row.
#include <openssl/sha.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "absl/strings/escaping.h"
#include "base/aligned_buffer.h"
#include "base/crc32c.h"
#include "base/regular_file.h"
#include "base/status.h"
#include "model/arithmetic.h"
#include "model/manifest.pb.h"
#include "model/model.h"
#include "model/model_sections.h"

namespace ese {
namespace {

template <typename... Args>
absl::Status Damaged(const Args&... what) {
  return absl::DataLossError(
      absl::StrCat(what..., "; the file is damaged: copy or compile it again"));
}

template <typename... Args>
absl::Status Invalid(const Args&... what) {
  return absl::InvalidArgumentError(absl::StrCat(what...));
}

absl::Status CheckDimension(const char* what, uint64_t value, uint64_t low, uint64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return Invalid("manifest: ", what, " is ", value, "; must be from ", low, " to ", high);
}

// Checks the header at the beginning of a file of `file_bytes` bytes, of which `bytes` are known.
absl::Status CheckHeader(absl::Span<const uint8_t> bytes, uint64_t file_bytes,
                         ModelHeader* header) {
  if (bytes.size() < sizeof(kModelMagic) - 1 ||
      std::memcmp(bytes.data(), kModelMagic, sizeof(header->magic)) != 0) {
    return Invalid("not a compiled model: it does not begin with ", kModelMagic,
                   "; make one with ese-compile");
  }
  if (bytes.size() < sizeof(*header)) {
    return Damaged("header: ", bytes.size(), " bytes of ", sizeof(*header));
  }
  std::memcpy(header, bytes.data(), sizeof(*header));
  if (header->header_crc32c != Crc32c(header, offsetof(ModelHeader, header_crc32c))) {
    return Damaged("header at offset 0: checksum mismatch");
  }
  if (header->version < kOldestModelVersion || header->version > kModelVersion) {
    return Invalid("model format version ", header->version, "; this program reads versions ",
                   kOldestModelVersion, " to ", kModelVersion, ": compile the model again");
  }
  if (header->file_bytes != file_bytes) {
    return Damaged("file of ", file_bytes, " bytes; its header says ", header->file_bytes);
  }
  return absl::OkStatus();
}

absl::Status AtPath(const std::string& path, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
}

absl::Status CheckNotEmpty(const RegularFile& file, const std::string& path) {
  if (file.size() > 0) return absl::OkStatus();
  return AtPath(path, Invalid("an empty file, not a compiled model"));
}

}  // namespace

class ModelLoader {
 public:
  ModelLoader(absl::Span<const uint8_t> file, std::shared_ptr<const void> storage)
      : file_(file), model_(std::make_shared<Model>()) {
    model_->storage_ = std::move(storage);
  }

  absl::StatusOr<std::shared_ptr<const Model>> Load() {
    ESE_RETURN_IF_ERROR(ReadHeader());
    ESE_RETURN_IF_ERROR(ReadShapes());
    ESE_RETURN_IF_ERROR(ReadSections());
    ESE_RETURN_IF_ERROR(CheckValues());
    uint8_t digest[SHA256_DIGEST_LENGTH];
    SHA256(file_.data(), file_.size(), digest);
    model_->fingerprint_ =
        absl::BytesToHexString(std::string(reinterpret_cast<const char*>(digest), 16));
    return std::shared_ptr<const Model>(std::move(model_));
  }

 private:
  absl::Status ReadHeader() {
    ModelHeader header;
    ESE_RETURN_IF_ERROR(CheckHeader(file_, file_.size(), &header));
    version_ = header.version;
    if (header.manifest_bytes > file_.size() - sizeof(header)) {
      return Damaged("manifest at offset ", sizeof(header), ": ", header.manifest_bytes,
                     " bytes go past the end of the file");
    }
    const uint8_t* manifest = file_.data() + sizeof(header);
    if (header.manifest_crc32c != Crc32c(manifest, header.manifest_bytes)) {
      return Damaged("manifest at offset ", sizeof(header), ": checksum mismatch");
    }
    if (!manifest_.ParseFromArray(manifest, static_cast<int>(header.manifest_bytes))) {
      return Damaged("manifest at offset ", sizeof(header), ": not a Manifest message");
    }
    end_of_last_ = sizeof(header) + header.manifest_bytes;
    return absl::OkStatus();
  }

  absl::Status ReadShapes() {
    Model& m = *model_;
    m.name = manifest_.name();
    if (m.name.empty()) return Invalid("manifest: the model has no name");
    ESE_RETURN_IF_ERROR(
        CheckDimension("input_fraction_bits", manifest_.input_fraction_bits(), 0, 7));
    m.input_fraction_bits = static_cast<int>(manifest_.input_fraction_bits());
    m.wide_input = manifest_.wide_input();
    if (m.wide_input && version_ < kModelVersion) {
      return Invalid("manifest: a wide input in a file of version ", version_);
    }
    ESE_RETURN_IF_ERROR(CheckDimension("number of layers", manifest_.layers_size(), 1, kMaxLayers));
    for (const model::Layer& layer : manifest_.layers()) ESE_RETURN_IF_ERROR(ReadLayer(layer));
    if (m.wide_input && m.input_columns() % 2 != 0) {
      return Invalid("manifest: the first layer has ", m.input_columns(),
                     " inputs; a wide input takes two for each feature");
    }
    ESE_RETURN_IF_ERROR(ReadOutput());
    ESE_RETURN_IF_ERROR(ReadFeatures());
    m.facts.insert(manifest_.facts().begin(), manifest_.facts().end());
    return absl::OkStatus();
  }

  absl::Status ReadFormats(const model::Layer& from, Layer* to) {
    const uint32_t hidden =
        from.hidden_fraction_bits() == 0 ? kMinHiddenFractionBits : from.hidden_fraction_bits();
    ESE_RETURN_IF_ERROR(CheckDimension("hidden_fraction_bits of a layer", hidden,
                                       kMinHiddenFractionBits, kMaxHiddenFractionBits));
    const uint32_t output = from.output_fraction_bits();
    if (to->has_projection) {
      ESE_RETURN_IF_ERROR(CheckDimension("output_fraction_bits of a layer", output, 0, 7));
    } else if (output != hidden) {
      return Invalid("manifest: a layer without projection has output_fraction_bits ", hidden,
                     ", those of its cells' outputs, not ", output);
    }
    to->hidden_fraction_bits = static_cast<int>(hidden);
    to->output_fraction_bits = static_cast<int>(output);
    return absl::OkStatus();
  }

  absl::Status ReadLayer(const model::Layer& from) {
    ESE_RETURN_IF_ERROR(CheckDimension("inputs of a layer", from.inputs(), 1, kMaxDimension));
    ESE_RETURN_IF_ERROR(CheckDimension("cells of a layer", from.cells(), 1, kMaxDimension));
    ESE_RETURN_IF_ERROR(
        CheckDimension("projection of a layer", from.projection(), 0, kMaxDimension));
    Layer to;
    to.inputs = static_cast<int>(from.inputs());
    to.cells = static_cast<int>(from.cells());
    to.has_projection = from.projection() != 0;
    to.outputs = to.has_projection ? static_cast<int>(from.projection()) : to.cells;
    to.has_peepholes = from.peepholes();
    if (from.g_activation() != model::Layer::TANH && from.g_activation() != model::Layer::SIGMOID) {
      return Invalid("manifest: unknown g_activation ", static_cast<int>(from.g_activation()));
    }
    to.g_activation =
        from.g_activation() == model::Layer::SIGMOID ? GActivation::kSigmoid : GActivation::kTanh;
    ESE_RETURN_IF_ERROR(ReadFormats(from, &to));
    if (!model_->layers.empty() && model_->layers.back().outputs != to.inputs) {
      return Invalid("manifest: layer ", model_->layers.size(), " reads ", to.inputs,
                     " inputs; the layer before it has ", model_->layers.back().outputs,
                     " outputs");
    }
    ESE_RETURN_IF_ERROR(SetShape(4 * to.cells, to.inputs + to.outputs, from.gate_entries_per_row(),
                                 from.gate_fine_entries_per_row(), &to.gates));
    if (to.has_projection) {
      ESE_RETURN_IF_ERROR(SetShape(to.outputs, to.cells, from.projection_entries_per_row(),
                                   from.projection_fine_entries_per_row(), &to.projection));
    }
    model_->layers.push_back(to);
    return absl::OkStatus();
  }

  absl::Status SetShape(int rows, int columns, uint32_t entries_per_row,
                        uint32_t fine_entries_per_row, Matrix* matrix) {
    ESE_RETURN_IF_ERROR(CheckDimension("entries_per_row", entries_per_row, 0, columns));
    ESE_RETURN_IF_ERROR(CheckDimension("fine_entries_per_row", fine_entries_per_row, 0, columns));
    if (fine_entries_per_row > 0 && version_ < kModelVersion) {
      return Invalid("manifest: fine entries in a file of version ", version_);
    }
    matrix->rows = rows;
    matrix->columns = columns;
    matrix->entries_per_row = static_cast<int>(entries_per_row);
    matrix->fine_entries_per_row = static_cast<int>(fine_entries_per_row);
    return absl::OkStatus();
  }

  absl::Status ReadOutput() {
    const model::Output& from = manifest_.output();
    ESE_RETURN_IF_ERROR(
        CheckDimension("number of output units", from.units_size(), 1, kMaxDimension));
    ESE_RETURN_IF_ERROR(
        CheckDimension("blank_plus_one", from.blank_plus_one(), 0, from.units_size()));
    model_->units.assign(from.units().begin(), from.units().end());
    model_->blank = static_cast<int>(from.blank_plus_one()) - 1;
    return SetShape(from.units_size(), model_->layers.back().outputs, from.entries_per_row(),
                    from.fine_entries_per_row(), &model_->output);
  }

  absl::Status ReadFeatures() {
    const model::Features& from = manifest_.features();
    if (from.sample_rate_hz() == 0) return absl::OkStatus();
    ESE_RETURN_IF_ERROR(CheckDimension("sample_rate_hz", from.sample_rate_hz(), 1000, 384000));
    ESE_RETURN_IF_ERROR(CheckDimension("num_mel_bins", from.num_mel_bins(), 1, 1024));
    ESE_RETURN_IF_ERROR(CheckDimension("stack", from.stack(), 1, 64));
    for (const float ms : {from.frame_length_ms(), from.frame_shift_ms()}) {
      if (!(ms >= 1 && ms <= 1000)) {
        return Invalid("manifest: frame length and shift must be 1 to 1000 ms, not ", ms);
      }
    }
    for (const float value : {from.low_freq_hz(), from.high_freq_hz(), from.preemphasis()}) {
      if (!std::isfinite(value)) return Invalid("manifest: a feature setting is not finite");
    }
    if (from.num_mel_bins() * from.stack() != static_cast<uint32_t>(model_->input_dim())) {
      return Invalid("manifest: ", from.num_mel_bins(), " mel bins x ", from.stack(),
                     " frames are not the ", model_->input_dim(), " inputs of the first layer");
    }
    model_->features = {.sample_rate_hz = static_cast<int>(from.sample_rate_hz()),
                        .frame_length_ms = from.frame_length_ms(),
                        .frame_shift_ms = from.frame_shift_ms(),
                        .num_mel_bins = static_cast<int>(from.num_mel_bins()),
                        .low_freq_hz = from.low_freq_hz(),
                        .high_freq_hz = from.high_freq_hz(),
                        .preemphasis = from.preemphasis(),
                        .stack = static_cast<int>(from.stack())};
    return absl::OkStatus();
  }

  absl::Status ReadSections() {
    absl::Status status = absl::OkStatus();
    int index = 0;
    VisitSections(*model_, [&](const std::string& name, auto& array, size_t elements) {
      if (status.ok()) status = ReadSection(index++, name, elements, &array);
    });
    ESE_RETURN_IF_ERROR(status);
    if (index != manifest_.sections_size()) {
      return Invalid("manifest: ", manifest_.sections_size(), " sections; the shapes need ", index);
    }
    if (end_of_last_ != file_.size()) {
      return Damaged("file of ", file_.size(), " bytes; its last section ends at ", end_of_last_);
    }
    return absl::OkStatus();
  }

  template <typename T>
  absl::Status ReadSection(int index, const std::string& name, size_t elements,
                           absl::Span<const T>* array) {
    if (index >= manifest_.sections_size() || manifest_.sections(index).name() != name) {
      return Invalid("manifest: section ", index, " should be ", name);
    }
    const model::Section& section = manifest_.sections(index);
    const auto where = absl::StrCat("section ", name, " at offset ", section.offset(), ": ");
    if (section.bytes() != elements * sizeof(T)) {
      return Invalid(where, section.bytes(), " bytes; its shape needs ", elements * sizeof(T));
    }
    if (section.offset() != AlignSection(end_of_last_)) {
      return Invalid(where, "expected at offset ", AlignSection(end_of_last_));
    }
    if (section.offset() > file_.size() || section.bytes() > file_.size() - section.offset()) {
      return Damaged(where, section.bytes(), " bytes go past the end of the file");
    }
    for (size_t i = end_of_last_; i < section.offset(); ++i) {
      if (file_[i] != 0) return Damaged("offset ", i, ": padding is not zero");
    }
    const uint8_t* data = file_.data() + section.offset();
    if (Crc32c(data, section.bytes()) != section.crc32c()) {
      return Damaged(where, "checksum mismatch");
    }
    end_of_last_ = section.offset() + section.bytes();
    *array = absl::MakeConstSpan(reinterpret_cast<const T*>(data), elements);
    return absl::OkStatus();
  }

  absl::Status CheckValues() {
    for (size_t k = 0; k < model_->input_mean.size(); ++k) {
      if (!std::isfinite(model_->input_mean[k]) || !std::isfinite(model_->input_inv_stddev[k])) {
        return Invalid("section input/mean or input/inv_stddev: value ", k, " is not finite");
      }
    }
    for (size_t l = 0; l < model_->layers.size(); ++l) {
      const Layer& layer = model_->layers[l];
      const std::string prefix = absl::StrCat("layer", l, "/");
      const auto peephole_bound = [&](int row) -> int64_t {
        constexpr int kOfGate[] = {0, 1, -1, 2};  // i, f, g, o
        const int k = kOfGate[row % 4];
        if (!layer.has_peepholes || k < 0) return 0;
        const int64_t p = layer.peepholes[size_t(row / 4) * 3 + k];
        return RoundShift(std::abs(p) << 15, kPeepholeShift) + 1;
      };
      ESE_RETURN_IF_ERROR(CheckMatrix(prefix + "gates", layer.gates, peephole_bound));
      ESE_RETURN_IF_ERROR(
          CheckMatrix(prefix + "projection", layer.projection, [](int) { return int64_t{0}; }));
    }
    return CheckMatrix("output", model_->output, [](int) { return int64_t{0}; });
  }

  // Checks that all columns are within the matrix, and proves that no row sum leaves 32 bits
  // (docs/arithmetic.md, equation 17).
  template <typename Bound>
  absl::Status CheckMatrix(const std::string& name, const Matrix& matrix, Bound&& extra_bound) {
    for (int r = 0; r < matrix.rows; ++r) {
      const auto error = [&](const auto&... what) {
        return Invalid("section ", name, "/entries, row ", r, ": ", what...);
      };
      int64_t magnitude = 0;
      ESE_RETURN_IF_ERROR(AddMagnitudes(name + "/entries", matrix, r, matrix.entries,
                                        matrix.entries_per_row, &magnitude));
      if (matrix.fine_entries_per_row > 0) {
        magnitude <<= kFineBits;
        ESE_RETURN_IF_ERROR(AddMagnitudes(name + "/fine_entries", matrix, r, matrix.fine_entries,
                                          matrix.fine_entries_per_row, &magnitude));
      }
      if (matrix.shift[r] > kMaxRowShift) {
        return error("shift ", int{matrix.shift[r]}, "; at most ", kMaxRowShift);
      }
      const int64_t bound = ((magnitude * 128) << matrix.shift[r]) +
                            std::abs(int64_t{matrix.bias[r]}) + extra_bound(r) + kRoundingMargin;
      if (bound > INT32_MAX) {
        return error("its sums can reach ", bound, " and leave 32 bits; scale its weights down");
      }
    }
    return absl::OkStatus();
  }

  // Adds the magnitudes of the weights of row r's `count` entries. Checks their columns.
  static absl::Status AddMagnitudes(const std::string& section, const Matrix& matrix, int r,
                                    absl::Span<const uint16_t> entries, int count,
                                    int64_t* magnitude) {
    int column = -1;
    for (const uint16_t entry : entries.subspan(size_t(r) * count, count)) {
      column += EntryGap(entry) + 1;
      *magnitude += std::abs(EntryWeight(entry));
    }
    if (column < matrix.columns) return absl::OkStatus();
    return Invalid("section ", section, ", row ", r, ": reaches column ", column, " of ",
                   matrix.columns);
  }

  // The largest constant that rounding adds to an aligned sum: half of 2^19, for an output with no
  // fraction bits.
  static constexpr int64_t kRoundingMargin = 1 << (Accumulator::kFractionBits - 1);

  absl::Span<const uint8_t> file_;
  std::shared_ptr<Model> model_;
  model::Manifest manifest_;
  uint32_t version_ = 0;
  size_t end_of_last_ = 0;  // the offset behind the manifest or section read last
};

absl::StatusOr<std::shared_ptr<const Model>> Model::FromBytes(std::string bytes) {
  // Sections are aligned to 64 bytes, but a string's data only to 16, so the bytes are copied.
  auto storage = std::make_shared<AlignedBuffer<uint8_t>>(bytes.size());
  std::copy(bytes.begin(), bytes.end(), storage->begin());
  const auto file = absl::MakeConstSpan(storage->data(), storage->size());
  return ModelLoader(file, std::move(storage)).Load();
}

absl::StatusOr<std::shared_ptr<const Model>> Model::FromFile(const std::string& path) {
  ESE_ASSIGN_OR_RETURN(const RegularFile file, RegularFile::Open(path));
  ESE_RETURN_IF_ERROR(CheckNotEmpty(file, path));
  const size_t size = file.size();
  void* data = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.descriptor(), 0);
  if (data == MAP_FAILED) {
    return AtPath(path, absl::ErrnoToStatus(errno, "cannot map the model"));
  }
  std::shared_ptr<const void> storage(data, [size](void* mapped) { munmap(mapped, size); });
  auto model = ModelLoader({static_cast<const uint8_t*>(data), size}, std::move(storage)).Load();
  if (!model.ok()) return AtPath(path, model.status());
  return model;
}

absl::StatusOr<std::shared_ptr<const Model>> Model::ReadFile(const std::string& path) {
  ESE_ASSIGN_OR_RETURN(RegularFile file, RegularFile::Open(path));
  ESE_RETURN_IF_ERROR(CheckNotEmpty(file, path));
  // Compare the sizes before taking memory for the rest of the file.
  char first[sizeof(ModelHeader)];
  ESE_ASSIGN_OR_RETURN(const size_t known, file.Read(absl::MakeSpan(first)));
  ModelHeader header;
  const absl::Status status =
      CheckHeader({reinterpret_cast<const uint8_t*>(first), known}, file.size(), &header);
  if (!status.ok()) return AtPath(path, status);
  auto storage = std::make_shared<AlignedBuffer<uint8_t>>(file.size());
  std::copy_n(first, known, storage->begin());
  const auto rest = absl::MakeSpan(reinterpret_cast<char*>(storage->data()), storage->size());
  ESE_ASSIGN_OR_RETURN(const size_t more, file.Read(rest.subspan(known)));
  const auto bytes = absl::MakeConstSpan(storage->data(), known + more);
  auto model = ModelLoader(bytes, std::move(storage)).Load();
  if (!model.ok()) return AtPath(path, model.status());
  return model;
}

}  // namespace ese
