// SPDX-License-Identifier: Apache-2.0
#include "accel/cpu/packed_memory.h"

#include <sanitizer/asan_interface.h>
#include <sys/mman.h>

#include <cstdint>
#include <new>

#include "base/aligned_buffer.h"

namespace ese {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

}  // namespace

PackedMemory::~PackedMemory() {
  for (const Mapping& mapping : mappings_) {
    ASAN_UNPOISON_MEMORY_REGION(mapping.begin, mapping.bytes);
    munmap(mapping.begin, mapping.bytes);
  }
}

void* PackedMemory::TakeBytes(size_t bytes) {
  // One cache line more than asked for, so that AddressSanitizer catches reads beyond an array.
  const size_t taken = RoundUp(bytes, kCacheLineBytes) + kCacheLineBytes;
  if (taken > free_bytes_) Map(taken);
  char* const array = free_;
  free_ += taken;
  free_bytes_ -= taken;
  bytes_ += bytes;
  ASAN_UNPOISON_MEMORY_REGION(array, bytes);
  return array;
}

void PackedMemory::Map(size_t bytes) {
  bytes = RoundUp(bytes, kHugePage);
  const size_t mapped = bytes + kHugePage;  // has room to start at a huge page's boundary
  void* const begin =
      mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (begin == MAP_FAILED) throw std::bad_alloc();
  mappings_.push_back({begin, mapped});
  free_ = static_cast<char*>(begin) + (kHugePage - reinterpret_cast<uintptr_t>(begin) % kHugePage);
  free_bytes_ = bytes;
  madvise(free_, bytes, MADV_HUGEPAGE);  // if this is refused, small pages will do
  ASAN_POISON_MEMORY_REGION(begin, mapped);
}

}  // namespace ese
