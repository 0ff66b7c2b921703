// SPDX-License-Identifier: Apache-2.0
// The memory that holds a packed model.
#pragma once

#include <cstddef>
#include <type_traits>
#include <vector>

namespace ese {

// The smallest multiple of `to` that is at least n.
inline size_t RoundUp(size_t n, size_t to) { return (n + to - 1) / to * to; }

// Allocates arrays that live as long as the PackedMemory, side by side, in huge pages if the system
// grants them. Each step reads all of a model. In pages of 4 KB that costs address translations,
// and the processor's prefetching stops at every page: 9 % of a step of one lane, 2 % of a step of
// 64 lanes (Zen 4). Not thread-safe.
class PackedMemory {
 public:
  PackedMemory() = default;
  PackedMemory(PackedMemory&& other) = delete;
  ~PackedMemory();

  // A new array of `size` elements: zeros, aligned to 64 bytes. Throws std::bad_alloc.
  template <typename T>
  T* Take(size_t size) {
    static_assert(std::is_trivial_v<T>);
    return static_cast<T*>(TakeBytes(size * sizeof(T)));
  }
  // The size of all arrays together.
  size_t bytes() const { return bytes_; }

 private:
  struct Mapping {
    void* begin;
    size_t bytes;
  };

  void* TakeBytes(size_t bytes);
  void Map(size_t bytes);

  std::vector<Mapping> mappings_;
  // What is left of the last mapping.
  char* free_ = nullptr;
  size_t free_bytes_ = 0;
  size_t bytes_ = 0;
};

}  // namespace ese
