// SPDX-License-Identifier: Apache-2.0
// Which streams are open here, so that none is resumed while it still goes on.
#pragma once

#include <mutex>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "server/checkpoint.h"

namespace ese {

// Thread-safe.
class StreamIds {
 public:
  // Holds an id until its destruction. The StreamIds must outlive it.
  class Claim {
   public:
    Claim(StreamIds* ids, StreamId id) : ids_(ids), id_(id) {}
    Claim(Claim&& other) noexcept : ids_(std::exchange(other.ids_, nullptr)), id_(other.id_) {}
    Claim& operator=(Claim&&) = delete;
    ~Claim() {
      if (ids_ != nullptr) ids_->Release(id_);
    }
    StreamId id() const { return id_; }

   private:
    StreamIds* ids_;
    StreamId id_;
  };

  // Nothing where the id is held already.
  std::optional<Claim> TryClaim(StreamId id) {
    const std::lock_guard lock(mutex_);
    if (!held_.insert(id).second) return std::nullopt;
    return Claim(this, id);
  }

 private:
  void Release(StreamId id) {
    const std::lock_guard lock(mutex_);
    held_.erase(id);
  }

  std::mutex mutex_;
  absl::flat_hash_set<StreamId> held_;
};

}  // namespace ese
