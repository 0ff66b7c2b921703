// SPDX-License-Identifier: Apache-2.0
// The input is a safetensors file. This reads the header and every tensor's values, and imports the
// file with a fixed topology.
#include <algorithm>
#include <string>

#include "compiler/safetensors.h"
#include "compiler/safetensors_import.h"
#include "compiler/topology.h"
#include "tests/fuzz/mutation.h"

namespace ese {
namespace {

constexpr size_t kLengthBytes = 8;

// The topology of corpus/safetensors (make_corpus.py).
const Topology& FixedTopology() {
  static const auto* const kTopology = new Topology{.name = "fuzz",
                                                    .features = {},
                                                    .layers = {{.prefix = "l.",
                                                                .suffix = "",
                                                                .inputs = 2,
                                                                .cells = 2,
                                                                .projection = 1,
                                                                .peepholes = true}},
                                                    .output_weight = "o.w",
                                                    .output_bias = "o.b",
                                                    .units = {"a", "b"},
                                                    .input_mean = "mean",
                                                    .input_inv_stddev = "inv_stddev"};
  return *kTopology;
}

}  // namespace
}  // namespace ese

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned int seed) {
  if (seed % 16 == 0 || size < ese::kLengthBytes) return LLVMFuzzerMutate(data, size, max_size);
  uint64_t length;
  std::memcpy(&length, data, sizeof(length));
  const absl::string_view rest = ese::AsText(data, size).substr(ese::kLengthBytes);
  length = std::min<uint64_t>(length, rest.size());
  std::string header(rest.substr(0, length)), values(rest.substr(length));
  ese::MutatePart(seed % 4 ? &header : &values, max_size - ese::kLengthBytes);
  length = header.size();
  std::string file(reinterpret_cast<const char*>(&length), sizeof(length));
  return ese::Deliver(file + header + values, data, max_size);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = ese::Safetensors::FromBytes(std::string(ese::AsText(data, size)), "fuzz");
  if (!file.ok()) return 0;
  for (const std::string& name : file->names()) {
    (void)file->Floats(name, *file->Shape(name));
    (void)file->Integers(name);
  }
  (void)ese::ImportSafetensors(ese::FixedTopology(), *file);
  return 0;
}
