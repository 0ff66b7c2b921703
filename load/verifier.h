// SPDX-License-Identifier: Apache-2.0
// Compares the posteriors that streams were given with those that undisturbed streams are given.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "load/generator.h"
#include "load/stream.h"

namespace ese {

// Not thread-safe.
class LoadVerifier {
 public:
  // `source` must outlive the verifier.
  LoadVerifier(const LoadSource* source, const LoadBehaviour& behaviour,
               std::vector<std::string> addresses, Duration timeout);

  // What the stream was given is to be compared.
  void Expect(const LoadStream& stream);

  // Plays each variant of the source once, as far as the streams that played it got, with neither
  // breaks nor resumptions, and writes what it finds to the report. A variant that cannot be played
  // to the end counts its streams as differing.
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
  std::vector<Expected> expected_;
  int64_t max_chunks_ = 0;
};

}  // namespace ese
