// SPDX-License-Identifier: Apache-2.0
// The CPU back end: a channel is a worker thread that executes a batch at a time, or several that
// make each step together.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "accel/backend.h"
#include "model/model.h"

namespace ese {

struct CpuChannelOptions {
  // Channels are cpu0, cpu1 and so on.
  int count = 1;
  // Processor to pin the first channel's first thread to, the following threads to the next and so
  // on; -1 leaves them to the operating system. Pinning keeps the model in one core's cache where
  // every thread has a core to itself.
  int first_processor = -1;
  // Kernel by name; empty takes the one named by ESE_CPU_KERNEL, else the fastest supported.
  std::string kernel = "";
  // Threads of each channel. Two make a step of few lanes in 0.6 of one's time, but only while each
  // has a processor to itself: otherwise they wait for each other, and a step takes many times as
  // long.
  int threads = 1;
};

// Packs the model and makes channels of up to 64 lanes that share it. Measures the kernel's ways of
// making a step first, some milliseconds of work. A channel must not be destroyed from within a
// completion. REQUIRES: count >= 1.
// Errors: INVALID_ARGUMENT for a model that the back end cannot take, for a kernel that is unknown
// or that this processor lacks, naming those it has, for a number of threads that is not positive
// or that the kernel cannot employ, and for a processor that a worker cannot be pinned to.
absl::StatusOr<std::vector<std::unique_ptr<Channel>>> CreateCpuChannels(
    std::shared_ptr<const Model> model, const CpuChannelOptions& options = {});

}  // namespace ese
