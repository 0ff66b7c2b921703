// SPDX-License-Identifier: Apache-2.0
// A fixed-size array that is aligned to a cache line, for data that vector instructions read.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace ese {

inline constexpr size_t kCacheLineBytes = 64;

// Holds zero-initialised elements of a trivially copyable type. Copies are deep, and a buffer that
// was moved from is empty.
template <typename T>
class AlignedBuffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(size_t size) : size_(size), data_(Allocate(size)) {
    if (size_ > 0) std::memset(static_cast<void*>(data_.get()), 0, size_ * sizeof(T));
  }
  AlignedBuffer(const AlignedBuffer& other) : size_(other.size_), data_(Allocate(other.size_)) {
    std::copy(other.begin(), other.end(), begin());
  }
  AlignedBuffer(AlignedBuffer&& other) noexcept
      : size_(std::exchange(other.size_, 0)), data_(std::move(other.data_)) {}
  AlignedBuffer& operator=(AlignedBuffer other) noexcept {
    std::swap(size_, other.size_);
    std::swap(data_, other.data_);
    return *this;
  }

  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  size_t size() const { return size_; }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }
  T* begin() { return data(); }
  T* end() { return data() + size_; }
  const T* begin() const { return data(); }
  const T* end() const { return data() + size_; }

 private:
  struct Free {
    void operator()(T* p) const {
      ::operator delete[](static_cast<void*>(p), std::align_val_t{kCacheLineBytes});
    }
  };
  using Pointer = std::unique_ptr<T[], Free>;

  static Pointer Allocate(size_t size) {
    if (size == 0) return nullptr;
    return Pointer(
        static_cast<T*>(::operator new[](size * sizeof(T), std::align_val_t{kCacheLineBytes})));
  }

  size_t size_ = 0;
  Pointer data_;
};

}  // namespace ese
