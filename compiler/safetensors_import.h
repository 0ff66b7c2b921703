// SPDX-License-Identifier: Apache-2.0
// Imports a network from the tensors of a safetensors file and the topology that names them.
#pragma once

#include "absl/status/statusor.h"
#include "compiler/network.h"
#include "compiler/safetensors.h"
#include "compiler/topology.h"

namespace ese {

// Reads the tensors that the topology names. They are in PyTorch's layout: gates are four blocks of
// `cells` rows in the order i, f, g, o, and the bias is b_ih + b_hh. A notice lists the tensors
// that the topology does not use.
// Errors: INVALID_ARGUMENT or NOT_FOUND; the message names the tensor and the remedy.
absl::StatusOr<ImportedNetwork> ImportSafetensors(const Topology& topology,
                                                  const Safetensors& tensors);

}  // namespace ese
