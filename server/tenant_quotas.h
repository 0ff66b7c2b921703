// SPDX-License-Identifier: Apache-2.0
// Counts the open streams of each tenant.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "base/mutex.h"

namespace ese {

// Thread-safe. Must outlive its permits.
class TenantQuotas {
 public:
  // Counts a stream until its permit is destroyed.
  using Permit = std::shared_ptr<const void>;

  // RESOURCE_EXHAUSTED: the tenant has `max_streams` streams open already.
  absl::StatusOr<Permit> Admit(const std::string& tenant, int max_streams)
      ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Leave(const std::string& tenant) ABSL_LOCKS_EXCLUDED(mutex_);

  Mutex mutex_;
  std::unordered_map<std::string, int> open_ ABSL_GUARDED_BY(mutex_);  // without zeros
};

}  // namespace ese
