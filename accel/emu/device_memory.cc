// SPDX-License-Identifier: Apache-2.0
#include "accel/emu/device_memory.h"

#include <new>
#include <system_error>
#include <utility>

#include "xrt_mem.h"

namespace ese::emu {
namespace {

constexpr uint64_t kBase = uint64_t{1} << 38;  // so that a host's pointer or 0 is no address
constexpr uint64_t kAlignment = 4096;

}  // namespace

unsigned int DeviceMemory::Allocate(size_t size, unsigned int flags, void* host) {
  auto buffer = std::make_shared<Buffer>();
  buffer->size = size;
  buffer->flags = flags;
  if (host == nullptr) {
    buffer->own.resize(size);
    host = buffer->own.data();
  }
  buffer->host = static_cast<uint8_t*>(host);
  const MutexLock lock(mutex_);
  if ((flags & XCL_BO_FLAGS_EXECBUF) == 0) {
    // The first gap that is wide enough.
    uint64_t address = kBase;
    for (const auto& [start, other] : by_address_) {
      if (address + size <= start) break;
      address = (start + other->size + kAlignment - 1) / kAlignment * kAlignment;
    }
    if (address + size > kBase + bytes_) throw std::bad_alloc();
    buffer->address = address;
    buffer->device.resize(size);
    by_address_[address] = buffer;
  }
  buffers_[next_handle_] = std::move(buffer);
  return next_handle_++;
}

void DeviceMemory::Free(unsigned int handle) {
  const MutexLock lock(mutex_);
  lost_.erase(handle);
  const auto found = buffers_.find(handle);
  if (found == buffers_.end()) return;
  if (!found->second->device.empty()) by_address_.erase(found->second->address);
  buffers_.erase(found);
}

BufferPointer DeviceMemory::Find(unsigned int handle) {
  const MutexLock lock(mutex_);
  const auto found = buffers_.find(handle);
  if (found != buffers_.end()) return found->second;
  throw std::system_error(ENOENT, std::generic_category(), "no such buffer on the emulated card");
}

BufferPointer DeviceMemory::At(uint64_t address, uint64_t size) {
  const MutexLock lock(mutex_);
  auto found = by_address_.upper_bound(address);
  if (found == by_address_.begin()) return nullptr;
  const BufferPointer& buffer = std::prev(found)->second;
  return buffer->Has(address, size) ? buffer : nullptr;
}

void DeviceMemory::Lose() {
  const MutexLock lock(mutex_);
  lost_.merge(buffers_);
  buffers_.clear();
  by_address_.clear();
}

const BufferPointer* PinnedMemory::Find(uint64_t address, uint64_t size) {
  for (const BufferPointer& pin : pins_) {
    if (pin->Has(address, size)) return &pin;
  }
  BufferPointer buffer = memory_.At(address, size);
  if (buffer == nullptr) return nullptr;
  pins_.push_back(std::move(buffer));
  return &pins_.back();
}

uint8_t* PinnedMemory::At(uint64_t address, uint64_t size) {
  const BufferPointer* buffer = Find(address, size);
  return buffer == nullptr ? nullptr : (*buffer)->device.data() + (address - (*buffer)->address);
}

uint64_t PinnedMemory::Version(uint64_t address) {
  const BufferPointer* buffer = Find(address, 1);
  return buffer == nullptr ? 0 : (*buffer)->version.load();
}

}  // namespace ese::emu
