// SPDX-License-Identifier: Apache-2.0
#include "compiler/import.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status.h"
#include "compiler/files.h"
#include "compiler/kaldi/import.h"
#include "compiler/onnx/import.h"
#include "compiler/safetensors.h"
#include "compiler/safetensors_import.h"
#include "compiler/topology.h"

namespace ese {
namespace {

enum class FileKind { kSafetensors, kOnnx, kKaldi, kUnknown };

// Eight bytes of header length and the header's "{".
bool IsSafetensors(absl::string_view bytes) {
  uint64_t length = 0;
  if (bytes.size() <= sizeof(length) || bytes[sizeof(length)] != '{') return false;
  std::memcpy(&length, bytes.data(), sizeof(length));
  return length <= kMaxSafetensorsHeaderBytes;
}

// A Kaldi file begins with a token, and an ONNX file with its IR version, field 1. A safetensors
// file may begin with any byte, including these, and so it is checked first.
FileKind KindOf(absl::string_view bytes, const std::string& path) {
  if (IsSafetensors(bytes)) return FileKind::kSafetensors;
  const bool binary_kaldi = absl::StartsWith(bytes, absl::string_view("\0B", 2));
  const absl::string_view text = absl::StripLeadingAsciiWhitespace(bytes.substr(0, 64));
  if (binary_kaldi || absl::StartsWith(text, "<")) return FileKind::kKaldi;
  const std::string extension = std::filesystem::path(path).extension().string();
  if (extension == ".safetensors") return FileKind::kSafetensors;
  if (extension == ".onnx" || absl::StartsWith(bytes, "\x08")) return FileKind::kOnnx;
  return FileKind::kUnknown;
}

bool NormalisesItsInput(const DenseNetwork& network) {
  return std::any_of(network.input_mean.begin(), network.input_mean.end(),
                     [](float mean) { return mean != 0; }) ||
         std::any_of(network.input_inv_stddev.begin(), network.input_inv_stddev.end(),
                     [](float inv_stddev) { return inv_stddev != 1; });
}

absl::StatusOr<ImportedNetwork> ImportSafetensorsFile(std::string bytes, const std::string& weights,
                                                      const std::string& topology,
                                                      const std::string& json) {
  if (topology.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        weights, " is a safetensors file: give --topology, the JSON that names its tensors"));
  }
  ESE_ASSIGN_OR_RETURN(const Topology parsed, ParseTopology(json, topology));
  ESE_ASSIGN_OR_RETURN(const Safetensors tensors,
                       Safetensors::FromBytes(std::move(bytes), weights));
  return ImportSafetensors(parsed, tensors);
}

// Adds what the optional JSON file says about an ONNX or Kaldi network.
absl::Status AddAnnotations(const std::string& weights, const std::string& topology,
                            const std::string& json, ImportedNetwork* imported) {
  Annotations annotations;
  if (!topology.empty()) {
    ESE_ASSIGN_OR_RETURN(annotations, ParseAnnotations(json, topology));
  }
  DenseNetwork& network = imported->network;
  ESE_RETURN_IF_ERROR(Annotate(annotations, network.output.rows,
                               topology.empty() ? weights : topology, &imported->topology));
  if (imported->topology.name.empty()) {
    imported->topology.name = std::filesystem::path(weights).stem().string();
  }
  if (annotations.input_mean.empty()) return absl::OkStatus();
  if (NormalisesItsInput(network)) {
    return absl::InvalidArgumentError(
        absl::StrCat(topology, ": 'input' is given, but ", weights,
                     " normalises its input itself; take 'input' out"));
  }
  network.input_mean = annotations.input_mean;
  network.input_inv_stddev = annotations.input_inv_stddev;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ImportedNetwork> ImportFile(const std::string& weights,
                                           const std::string& topology) {
  std::string json;
  if (!topology.empty()) {
    ESE_ASSIGN_OR_RETURN(json, ReadFile(topology));
  }
  ESE_ASSIGN_OR_RETURN(std::string bytes, ReadFile(weights));
  absl::StatusOr<ImportedNetwork> imported;
  switch (KindOf(bytes, weights)) {
    case FileKind::kSafetensors:
      return ImportSafetensorsFile(std::move(bytes), weights, topology, json);
    case FileKind::kOnnx:
      imported = ImportOnnx(bytes, weights);
      break;
    case FileKind::kKaldi:
      imported = ImportKaldi(bytes, weights);
      break;
    case FileKind::kUnknown:
      return absl::InvalidArgumentError(
          absl::StrCat(weights,
                       ": its first bytes are neither safetensors nor ONNX nor Kaldi nnet1; "
                       "export the network to one of these formats"));
  }
  if (imported.ok()) {
    ESE_RETURN_IF_ERROR(AddAnnotations(weights, topology, json, &*imported));
  }
  return imported;
}

}  // namespace ese
