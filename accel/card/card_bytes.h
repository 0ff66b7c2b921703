// SPDX-License-Identifier: Apache-2.0
// Numbers in the bytes of a card's memory, which are little-endian, as this host's are.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

namespace ese {

// Of a packed model's header.
inline constexpr uint32_t kPackedMagic = 0x43455345;  // "ESEC"
inline constexpr uint32_t kPackedVersion = 2;

template <typename T>
void Put(std::vector<uint8_t>* bytes, size_t offset, T value) {
  std::memcpy(bytes->data() + offset, &value, sizeof(T));
}

template <typename T>
T Get(const uint8_t* bytes, size_t offset) {
  T value;
  std::memcpy(&value, bytes + offset, sizeof(T));
  return value;
}

}  // namespace ese
