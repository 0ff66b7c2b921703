// SPDX-License-Identifier: Apache-2.0
// Helpers for custom mutators. In a file with lengths, checksums or signatures, flipping bytes
// almost never gives a file that passes those checks. So each of these formats has a custom mutator
// that changes the contents and then repairs the frame around them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "absl/strings/string_view.h"

// libFuzzer's own mutator.
extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace ese {

inline absl::string_view AsText(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// Mutates `part`, which may grow to `max_size` bytes.
inline void MutatePart(std::string* part, size_t max_size) {
  const size_t size = part->size() < max_size ? part->size() : max_size;
  part->resize(max_size);
  part->resize(LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(part->data()), size, max_size));
}

// Copies `file` to `data` and returns its size. Returns 0 if it is longer than max_size, and
// libFuzzer then tries again.
inline size_t Deliver(const std::string& file, uint8_t* data, size_t max_size) {
  if (file.size() > max_size) return 0;
  std::memcpy(data, file.data(), file.size());
  return file.size();
}

}  // namespace ese
