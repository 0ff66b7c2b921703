// SPDX-License-Identifier: Apache-2.0
// Import of Kaldi nnet1 networks, text or binary.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "compiler/network.h"

namespace ese {

// A chain of optional <Splice> (of the offset 0, which does nothing), <AddShift> and <Rescale>
// (they become the normalisation of the input), one or more <LstmProjected> (or
// <LstmProjectedStreams>), one <AffineTransform> and an optional <Softmax>, which is dropped. The
// topology has layers only. `source` names the file in errors. INVALID_ARGUMENT naming the
// component, what is wrong, and the remedy: another component, a cell clip that the fixed-point
// cell does not have, wrong sizes, a value that is not finite, a file that ends too early.
absl::StatusOr<ImportedNetwork> ImportKaldi(absl::string_view bytes, const std::string& source);

}  // namespace ese
