// SPDX-License-Identifier: Apache-2.0
// An emulated card's memory: buffers with addresses of their own, separate from the host's memory.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "accel/emu/unit.h"
#include "base/mutex.h"

namespace ese::emu {

// Its bytes do not move during its lifetime.
struct Buffer {
  Buffer() { Written(); }
  // Call this after the host has changed `device`.
  void Written() {
    static std::atomic<uint64_t> writes = 0;
    version = ++writes;
  }

  std::vector<uint8_t> own;  // host memory, unless the user provided it
  uint8_t* host = nullptr;
  std::vector<uint8_t> device;  // empty for a buffer that only the host has
  size_t size = 0;
  unsigned int flags = 0;
  uint64_t address = 0;
  bool Has(uint64_t first, uint64_t bytes) const {
    return first >= address && first - address <= size && bytes <= size - (first - address);
  }
  std::atomic<uint64_t> version;  // of `device`; unique among all buffers
};
using BufferPointer = std::shared_ptr<Buffer>;

// Thread-safe, except for the contents of buffers: host and kernel must order their accesses.
class DeviceMemory {
 public:
  explicit DeviceMemory(uint64_t bytes) : bytes_(bytes) {}

  // Returns a handle. `host` is the user's memory, or null. Throws std::bad_alloc if there is no
  // room. A command buffer (XCL_BO_FLAGS_EXECBUF) takes no memory of the card.
  unsigned int Allocate(size_t size, unsigned int flags, void* host);
  // Does nothing if there is no such buffer.
  void Free(unsigned int handle);
  // Throws std::system_error (ENOENT) if there is no such buffer.
  BufferPointer Find(unsigned int handle);
  // Returns the buffer that holds the `size` bytes from `address` on, or null.
  BufferPointer At(uint64_t address, uint64_t size);
  // Makes all buffers impossible to find. The host memory of each stays until it is freed, because
  // the host may have it mapped.
  void Lose();

 private:
  const uint64_t bytes_;
  Mutex mutex_;
  std::map<unsigned int, BufferPointer> buffers_ ABSL_GUARDED_BY(mutex_);
  std::map<unsigned int, BufferPointer> lost_ ABSL_GUARDED_BY(mutex_);
  std::map<uint64_t, BufferPointer> by_address_ ABSL_GUARDED_BY(mutex_);
  unsigned int next_handle_ ABSL_GUARDED_BY(mutex_) = 1;
};

// The memory during one batch. Buffers that were accessed live as long as this.
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
