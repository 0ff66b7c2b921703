// SPDX-License-Identifier: Apache-2.0
// The input is an ONNX model.
#include <string>

#include "compiler/onnx/import.h"
#include "tests/fuzz/mutation.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  (void)ese::ImportOnnx(std::string(ese::AsText(data, size)), "fuzz");
  return 0;
}
