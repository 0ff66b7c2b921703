// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>
#include <cstring>

#include "base/crc32c.h"
#include "base/status.h"
#include "model/manifest.pb.h"
#include "model/model.h"
#include "model/model_sections.h"

namespace ese {
namespace {

model::Manifest DescribeModel(const ModelDraft& draft) {
  model::Manifest manifest;
  manifest.set_name(draft.name);
  if (draft.features.sample_rate_hz != 0) {
    const FeatureSettings& from = draft.features;
    model::Features& to = *manifest.mutable_features();
    to.set_sample_rate_hz(from.sample_rate_hz);
    to.set_frame_length_ms(from.frame_length_ms);
    to.set_frame_shift_ms(from.frame_shift_ms);
    to.set_num_mel_bins(from.num_mel_bins);
    to.set_low_freq_hz(from.low_freq_hz);
    to.set_high_freq_hz(from.high_freq_hz);
    to.set_preemphasis(from.preemphasis);
    to.set_stack(from.stack);
  }
  manifest.set_input_fraction_bits(draft.input_fraction_bits);
  manifest.set_wide_input(draft.wide_input);
  for (const LayerDraft& from : draft.layers) {
    model::Layer& to = *manifest.add_layers();
    to.set_inputs(from.inputs);
    to.set_cells(from.cells);
    to.set_projection(from.has_projection ? from.outputs : 0);
    to.set_peepholes(from.has_peepholes);
    to.set_g_activation(from.g_activation == GActivation::kSigmoid ? model::Layer::SIGMOID
                                                                   : model::Layer::TANH);
    to.set_hidden_fraction_bits(from.hidden_fraction_bits);
    to.set_output_fraction_bits(from.output_fraction_bits);
    to.set_gate_entries_per_row(from.gates.entries_per_row);
    to.set_projection_entries_per_row(from.projection.entries_per_row);
    to.set_gate_fine_entries_per_row(from.gates.fine_entries_per_row);
    to.set_projection_fine_entries_per_row(from.projection.fine_entries_per_row);
  }
  for (const std::string& unit : draft.units) manifest.mutable_output()->add_units(unit);
  manifest.mutable_output()->set_blank_plus_one(draft.blank + 1);
  manifest.mutable_output()->set_entries_per_row(draft.output.entries_per_row);
  manifest.mutable_output()->set_fine_entries_per_row(draft.output.fine_entries_per_row);
  manifest.mutable_facts()->insert(draft.facts.begin(), draft.facts.end());
  return manifest;
}

// Whether the model uses what version 3 of the format has added.
bool NeedsFiner(const model::Manifest& manifest) {
  return manifest.wide_input() || manifest.output().fine_entries_per_row() > 0 ||
         std::any_of(manifest.layers().begin(), manifest.layers().end(), [](const auto& layer) {
           return layer.gate_fine_entries_per_row() > 0 ||
                  layer.projection_fine_entries_per_row() > 0;
         });
}

// Serializes maps in a fixed order, so that equal drafts make equal files.
std::string SerializeDeterministically(const model::Manifest& manifest) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  manifest.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

}  // namespace

absl::StatusOr<std::string> SerializeModel(const ModelDraft& draft) {
  if (draft.layers.empty()) return absl::InvalidArgumentError("a model needs at least one layer");
  model::Manifest manifest = DescribeModel(draft);

  absl::Status status = absl::OkStatus();
  VisitSections(draft, [&](const std::string& name, const auto& array, size_t expected) {
    if (array.size() != expected && status.ok()) {
      status = absl::InvalidArgumentError(
          absl::StrCat("section ", name, ": has ", array.size(), " elements; needs ", expected));
    }
    model::Section& section = *manifest.add_sections();
    section.set_name(name);
    section.set_bytes(array.size() * sizeof(array[0]));
    section.set_crc32c(Crc32c(array.data(), section.bytes()));
    section.set_offset(
        UINT32_MAX);  // any value but 0 has the final length, because it is a fixed64
  });
  ESE_RETURN_IF_ERROR(status);

  size_t offset = AlignSection(sizeof(ModelHeader) + manifest.ByteSizeLong());
  for (model::Section& section : *manifest.mutable_sections()) {
    section.set_offset(offset);
    offset = AlignSection(offset + section.bytes());
  }
  const model::Section& last = *manifest.sections().rbegin();

  const std::string manifest_bytes = SerializeDeterministically(manifest);
  ModelHeader header = {};
  std::memcpy(header.magic, kModelMagic, sizeof(header.magic));
  header.version = NeedsFiner(manifest) ? kModelVersion : kPlainModelVersion;
  header.manifest_bytes = static_cast<uint32_t>(manifest_bytes.size());
  header.manifest_crc32c = Crc32c(manifest_bytes.data(), manifest_bytes.size());
  header.file_bytes = last.offset() + last.bytes();
  header.header_crc32c = Crc32c(&header, offsetof(ModelHeader, header_crc32c));

  std::string file(header.file_bytes, '\0');
  std::memcpy(file.data(), &header, sizeof(header));
  std::memcpy(file.data() + sizeof(header), manifest_bytes.data(), manifest_bytes.size());
  int index = 0;
  VisitSections(draft, [&](const std::string&, const auto& array, size_t) {
    const model::Section& section = manifest.sections(index++);
    if (section.bytes() > 0) std::memcpy(&file[section.offset()], array.data(), section.bytes());
  });
  // Only the loader decides what a valid model is.
  ESE_RETURN_IF_ERROR(Model::FromBytes(file).status());
  return file;
}

}  // namespace ese
