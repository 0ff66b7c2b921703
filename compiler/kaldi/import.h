// SPDX-License-Identifier: Apache-2.0
// Imports Kaldi nnet1 networks, text or binary.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "compiler/network.h"

namespace ese {

// Imports a chain of these components:
//   <Splice> (optional; only the offset 0, which does nothing),
//   <AddShift> and <Rescale> (optional; they become the normalisation of the input),
//   <LstmProjected> or <LstmProjectedStreams>, one or more,
//   <AffineTransform>, and <Softmax> (optional; dropped).
// The returned topology has only its layers set. `source` is the file's name in error messages.
// Returns INVALID_ARGUMENT for any other component, a cell clip that the fixed-point cell cannot
// reproduce, wrong sizes, a value that is not finite, or a file that ends too early. The message
// names the component, what is wrong, and the remedy.
absl::StatusOr<ImportedNetwork> ImportKaldi(absl::string_view bytes, const std::string& source);

}  // namespace ese
