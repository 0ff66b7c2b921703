// SPDX-License-Identifier: Apache-2.0
// The input is a compiled model. If the loader accepts it, one step must not overflow or read out
// of bounds, no matter what the weights are.
#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/crc32c.h"
#include "model/manifest.pb.h"
#include "model/model.h"
#include "model/model_sections.h"
#include "model/reference.h"
#include "tests/fuzz/mutation.h"

namespace ese {
namespace {

struct Parts {
  std::string manifest;
  std::string sections;  // from the first section's first byte to the end of the file
};

Parts Split(absl::string_view file) {
  ModelHeader header = {};
  if (file.size() < sizeof(header)) return {std::string(file), ""};
  std::memcpy(&header, file.data(), sizeof(header));
  const size_t manifest_bytes =
      std::min<size_t>(header.manifest_bytes, file.size() - sizeof(header));
  const size_t begin = std::min(AlignSection(sizeof(header) + manifest_bytes), file.size());
  return {std::string(file.substr(sizeof(header), manifest_bytes)),
          std::string(file.substr(begin))};
}

// Returns a file of these parts, with the right offsets and checksums if the manifest can be
// parsed.
std::string Join(const Parts& parts) {
  std::string manifest_bytes = parts.manifest;
  model::Manifest manifest;
  if (manifest.ParseFromString(parts.manifest)) {
    size_t offset = AlignSection(sizeof(ModelHeader) + manifest.ByteSizeLong()), at = 0;
    for (model::Section& section : *manifest.mutable_sections()) {
      const size_t bytes = std::min<size_t>(section.bytes(), parts.sections.size() - at);
      section.set_offset(offset + at);
      section.set_crc32c(Crc32c(parts.sections.data() + at, bytes));
      at = std::min(AlignSection(at + bytes), parts.sections.size());
    }
    manifest_bytes = manifest.SerializeAsString();
  }
  ModelHeader header = {};
  std::memcpy(header.magic, kModelMagic, sizeof(header.magic));
  header.version = kModelVersion;
  header.manifest_bytes = static_cast<uint32_t>(manifest_bytes.size());
  header.manifest_crc32c = Crc32c(manifest_bytes.data(), manifest_bytes.size());
  header.file_bytes = AlignSection(sizeof(header) + manifest_bytes.size()) + parts.sections.size();
  header.header_crc32c = Crc32c(&header, offsetof(ModelHeader, header_crc32c));
  std::string file(reinterpret_cast<const char*>(&header), sizeof(header));
  file += manifest_bytes;
  file.resize(AlignSection(file.size()));
  return file + parts.sections;
}

void RunOneStep(const Model& model) {
  std::vector<float> features(model.input_dim(), 1.5f);
  std::vector<int8_t> x(model.input_columns());
  if (model.QuantizeFrame(features.data(), x.data()) >= 0) return;
  StreamState state(model);
  std::vector<int32_t> logits(model.num_units());
  ReferenceStep(model, x.data(), &state, logits.data());
}

}  // namespace
}  // namespace ese

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned int seed) {
  if (seed % 16 == 0) return LLVMFuzzerMutate(data, size, max_size);  // a damaged file
  ese::Parts parts = ese::Split(ese::AsText(data, size));
  ese::MutatePart(seed % 2 ? &parts.manifest : &parts.sections, max_size / 2);
  return ese::Deliver(ese::Join(parts), data, max_size);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto model = ese::Model::FromBytes(std::string(ese::AsText(data, size)));
  if (model.ok()) ese::RunOneStep(**model);
  return 0;
}
