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

// True for no name, and for the names that PyTorch's exporters give to every graph.
bool IsGeneric(absl::string_view name) {
  return name.empty() || name == "main_graph" || name == "torch_jit" || name == "torch-jit-export";
}

bool NormalisesItsInput(const DenseNetwork& network) {
  return std::any_of(network.input_mean.begin(), network.input_mean.end(),
                     [](float mean) { return mean != 0; }) ||
         std::any_of(network.input_inv_stddev.begin(), network.input_inv_stddev.end(),
                     [](float inv_stddev) { return inv_stddev != 1; });
}

absl::StatusOr<ImportedNetwork> ImportSafetensorsFile(std::string bytes, const std::string& weights,
                                                      const std::string& topology,
                                                      const std::string& json,
                                                      bool allow_unused_lstm) {
  if (topology.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        weights, " is a safetensors file: give --topology, the JSON that names its tensors"));
  }
  ESE_ASSIGN_OR_RETURN(const Topology parsed, ParseTopology(json, topology));
  ESE_ASSIGN_OR_RETURN(const Safetensors tensors,
                       Safetensors::FromBytes(std::move(bytes), weights));
  return ImportSafetensors(parsed, tensors, allow_unused_lstm);
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
  if (IsGeneric(imported->topology.name)) {
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

// How to save the network of a file that holds it in another form.
std::string Remedy(absl::string_view bytes) {
  if (absl::StartsWith(bytes, "PK\x03\x04") || absl::StartsWith(bytes, "\x80\x02")) {
    return "it looks like a file of torch.save (.pt, .pth); load it in Python and save the weights "
           "with ese_prune.export, or with safetensors.torch.save_file(module.state_dict(), path)";
  }
  if (absl::StartsWith(bytes, "\x89HDF")) {
    return "it looks like HDF5 (Keras, .h5); load it in Python and save the weights with "
           "safetensors.numpy.save_file, in the layout of compiler/README.md";
  }
  return "export the network to one of these formats";
}

// A softmax of one unit is always 1.
absl::Status CheckUnits(const ImportedNetwork& imported, const std::string& weights) {
  if (imported.network.output.rows != 1) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      weights,
      ": its output layer has one unit z, but the server's posteriors are a softmax over all "
      "units, and that of one unit is always 1; add a unit whose weights and bias are zero in "
      "front "
      "of it, because the softmax of [0, z] is [1 - sigmoid(z), sigmoid(z)]"));
}

}  // namespace

absl::StatusOr<ImportedNetwork> ImportFile(const std::string& weights, const std::string& topology,
                                           const ImportOptions& options) {
  std::string json;
  if (!topology.empty()) {
    ESE_ASSIGN_OR_RETURN(json, ReadFile(topology));
  }
  ESE_ASSIGN_OR_RETURN(std::string bytes, ReadFile(weights));
  absl::StatusOr<ImportedNetwork> imported;
  const FileKind kind = KindOf(bytes, weights);
  switch (kind) {
    case FileKind::kSafetensors:
      imported = ImportSafetensorsFile(std::move(bytes), weights, topology, json,
                                       options.allow_unused_lstm);
      break;
    case FileKind::kOnnx:
      imported = ImportOnnx(bytes, weights);
      break;
    case FileKind::kKaldi:
      imported = ImportKaldi(bytes, weights);
      break;
    case FileKind::kUnknown:
      return absl::InvalidArgumentError(absl::StrCat(
          weights, ": its first bytes are neither safetensors nor ONNX nor Kaldi nnet1; ",
          Remedy(bytes)));
  }
  ESE_RETURN_IF_ERROR(imported.status());
  if (kind != FileKind::kSafetensors) {
    ESE_RETURN_IF_ERROR(AddAnnotations(weights, topology, json, &*imported));
  }
  if (!options.name.empty()) imported->topology.name = options.name;
  ESE_RETURN_IF_ERROR(CheckUnits(*imported, weights));
  return imported;
}

}  // namespace ese
