// SPDX-License-Identifier: Apache-2.0
// The ids of the streams that are open on this server. A stream cannot be resumed while it is open
// here.
#pragma once

#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "base/mutex.h"
#include "server/checkpoint.h"

namespace ese {

// Thread-safe.
class StreamIds {
 public:
  // Holds an id until the claim is destroyed. The StreamIds must outlive it.
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

  // Returns nothing if the id is already held.
  std::optional<Claim> TryClaim(StreamId id) {
    const MutexLock lock(mutex_);
    if (!held_.insert(id).second) return std::nullopt;
    return Claim(this, id);
  }

 private:
  void Release(StreamId id) {
    const MutexLock lock(mutex_);
    held_.erase(id);
  }

  Mutex mutex_;
  absl::flat_hash_set<StreamId> held_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ese
