// SPDX-License-Identifier: Apache-2.0
// Compares the posteriors that streams received with those that undisturbed streams receive.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "load/report.h"
#include "load/source.h"
#include "load/stream.h"

namespace ese {

// Not thread-safe.
class LoadVerifier {
 public:
  // `source` must outlive the verifier.
  LoadVerifier(const LoadSource* source, const LoadBehaviour& behaviour,
               std::vector<std::string> addresses, Duration timeout, AccessOptions access);

  // Adds a stream whose posteriors are to be compared.
  void Expect(const LoadStream& stream);

  // Sends each variant of the source once, without breaks, up to where the streams got, and writes
  // the result of the comparison to the report. If a variant cannot be sent to the end, its streams
  // count as differing.
  void Run(LoadReport* report);

 private:
  struct Expected {
    int variant;
    int64_t frames;
    uint64_t hash;
  };

  const LoadSource& source_;
  LoadBehaviour behaviour_;
  const std::vector<std::string> addresses_;
  const Duration timeout_;
  const AccessOptions access_;
  std::vector<Expected> expected_;
  int64_t max_chunks_ = 0;
};

}  // namespace ese
