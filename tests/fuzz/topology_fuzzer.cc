// SPDX-License-Identifier: Apache-2.0
// The input is a JSON file that accompanies weights: a topology, or annotations for a network that
// needs no topology.
#include "compiler/topology.h"
#include "tests/fuzz/mutation.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view json = ese::AsText(data, size);
  (void)ese::ParseTopology(json, "fuzz");
  const auto annotations = ese::ParseAnnotations(json, "fuzz");
  if (annotations.ok()) {
    ese::Topology topology;
    topology.layers = {{.prefix = "l.", .suffix = "", .inputs = 2, .cells = 2}};
    (void)ese::Annotate(*annotations, /*units=*/2, "fuzz", &topology);
  }
  return 0;
}
