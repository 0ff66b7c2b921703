// SPDX-License-Identifier: Apache-2.0
// The CPU back end. A channel is a worker thread that executes one batch at a time, or several
// threads that share the work of each step.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "accel/backend.h"
#include "model/model.h"

namespace ese {

struct CpuChannelOptions {
  // The number of channels, which are called cpu0, cpu1 and so on.
  int count = 1;
  // The processor to which the first channel's first thread is pinned; each further thread is
  // pinned to the next processor. -1 leaves the threads to the operating system. If every thread
  // has a core to itself, pinning keeps the model in that core's cache.
  int first_processor = -1;
  // The kernel's name. If empty: the kernel named by ESE_CPU_KERNEL; if that names none either, the
  // fastest one that the processor supports.
  std::string kernel = "";
  // Threads of each channel. Two threads compute a step of few lanes in 0.6 of the time of one, but
  // only while each has a processor to itself. Otherwise they wait for each other, and a step takes
  // many times as long.
  int threads = 1;
};

// Packs the model and makes channels of up to 64 lanes that share it. First measures which of the
// kernel's algorithms is faster for each number of lanes, which takes tens of milliseconds. A
// channel must not be destroyed from within a completion. REQUIRES: count >= 1. INVALID_ARGUMENT:
// the back end cannot take the model; the kernel is unknown or this processor does not support it
// (the message names those it supports); the number of threads is not positive, or is more than the
// kernel can use; or a thread cannot be pinned to its processor.
absl::StatusOr<std::vector<std::unique_ptr<Channel>>> CreateCpuChannels(
    std::shared_ptr<const Model> model, const CpuChannelOptions& options = {});

}  // namespace ese
