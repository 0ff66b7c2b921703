// SPDX-License-Identifier: Apache-2.0
// The memory of a packed model.
#pragma once

#include <cstddef>
#include <type_traits>
#include <vector>

namespace ese {

// Arrays that live as long as their owner, side by side in huge pages where the system grants them:
// each step reads all of a model, which in pages of 4 KB costs address translations and stops the
// processor's prefetching at every page (9 % of a step of one lane, 2 % of 64; Zen 4). Not
// thread-safe.
class PackedMemory {
 public:
  PackedMemory() = default;
  PackedMemory(PackedMemory&& other) = delete;
  ~PackedMemory();

  // Zeros, aligned to 64 bytes.
  template <typename T>
  T* Take(size_t size) {
    static_assert(std::is_trivial_v<T>);
    return static_cast<T*>(TakeBytes(size * sizeof(T)));
  }
  // Of all arrays.
  size_t bytes() const { return bytes_; }

 private:
  struct Mapping {
    void* begin;
    size_t bytes;
  };

  void* TakeBytes(size_t bytes);
  void Map(size_t bytes);

  std::vector<Mapping> mappings_;
  // Of the last mapping:
  char* free_ = nullptr;
  size_t free_bytes_ = 0;
  size_t bytes_ = 0;
};

}  // namespace ese
