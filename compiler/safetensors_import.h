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
// that the topology does not use. If weights of an LSTM are among them, `allow_unused_lstm` must
// be true.
// Errors: INVALID_ARGUMENT or NOT_FOUND; the message names the tensor and the remedy.
absl::StatusOr<ImportedNetwork> ImportSafetensors(const Topology& topology,
                                                  const Safetensors& tensors,
                                                  bool allow_unused_lstm = false);

}  // namespace ese
