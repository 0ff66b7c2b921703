// SPDX-License-Identifier: Apache-2.0
// An emulated card's memory: buffers with addresses, apart from the host's memory.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "accel/emu/unit.h"

namespace ese::emu {

// Its parts stay where they are as long as the buffer lives.
struct Buffer {
  Buffer() { Written(); }
  // The host has changed `device`.
  void Written() {
    static std::atomic<uint64_t> writes = 0;
    version = ++writes;
  }

  std::vector<uint8_t> own;  // host memory, unless the user gave some
  uint8_t* host = nullptr;
  std::vector<uint8_t> device;  // empty if it is of the host only
  size_t size = 0;
  unsigned int flags = 0;
  uint64_t address = 0;
  bool Has(uint64_t first, uint64_t bytes) const {
    return first >= address && first - address <= size && bytes <= size - (first - address);
  }
  std::atomic<uint64_t> version;  // of `device`; no other buffer's, either
};
using BufferPointer = std::shared_ptr<Buffer>;

// Thread-safe, but for what is in the buffers: that is the host's and the kernel's to order.
class DeviceMemory {
 public:
  explicit DeviceMemory(uint64_t bytes) : bytes_(bytes) {}

  // `host` is the user's memory, or null. Throws std::bad_alloc if there is no room. A command
  // buffer (XCL_BO_FLAGS_EXECBUF) is of the host only.
  unsigned int Allocate(size_t size, unsigned int flags, void* host);
  // Nothing, if there is no such buffer.
  void Free(unsigned int handle);
  // Throws std::system_error (ENOENT) if there is none.
  BufferPointer Find(unsigned int handle);
  // The buffer with `size` bytes from `address` on, or null.
  BufferPointer At(uint64_t address, uint64_t size);
  // No buffer can be found any more. The host's memory of each stays until it is freed, because the
  // host may have it mapped.
  void Lose();

 private:
  const uint64_t bytes_;
  std::mutex mutex_;
  // Guarded by mutex_.
  std::map<unsigned int, BufferPointer> buffers_;
  std::map<unsigned int, BufferPointer> lost_;
  std::map<uint64_t, BufferPointer> by_address_;
  unsigned int next_handle_ = 1;
};

// As one batch sees it.
class PinnedMemory final : public KernelMemory {
 public:
  explicit PinnedMemory(DeviceMemory* memory) : memory_(*memory) {}

  uint8_t* At(uint64_t address, uint64_t size) override;
  uint64_t Version(uint64_t address) override;

 private:
  const BufferPointer* Find(uint64_t address, uint64_t size);

  DeviceMemory& memory_;
  std::vector<BufferPointer> pins_;
};

}  // namespace ese::emu
