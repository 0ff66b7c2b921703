// An emulated card's memory: buffers with addresses, apart from the host's memory.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

namespace ese::emu {

// Its parts stay where they are as long as the buffer lives.
struct Buffer {
  std::vector<uint8_t> own;  // host memory, unless the user gave some
  uint8_t* host = nullptr;
  std::vector<uint8_t> device;  // empty if it is of the host only
  size_t size = 0;
  unsigned int flags = 0;
  uint64_t address = 0;
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

}  // namespace ese::emu
