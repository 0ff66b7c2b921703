// SPDX-License-Identifier: Apache-2.0
// Mutations that keep a format's frame intact. A mutator that flips bytes of a file with lengths,
// checksums or signatures almost never gets past them, so each of these formats has a custom
// mutator that changes what is inside and then repairs the frame around it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "absl/strings/string_view.h"

// libFuzzer's own mutations; in its library.
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

// Copies `file` to `data` and returns its size, or 0 (libFuzzer then tries again) if it is longer
// than max_size.
inline size_t Deliver(const std::string& file, uint8_t* data, size_t max_size) {
  if (file.size() > max_size) return 0;
  std::memcpy(data, file.data(), file.size());
  return file.size();
}

}  // namespace ese
