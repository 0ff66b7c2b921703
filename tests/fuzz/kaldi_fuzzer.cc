// SPDX-License-Identifier: Apache-2.0
// The input is a Kaldi nnet1 network, in text or binary form.
#include "compiler/kaldi/import.h"
#include "tests/fuzz/mutation.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  (void)ese::ImportKaldi(ese::AsText(data, size), "fuzz");
  return 0;
}
