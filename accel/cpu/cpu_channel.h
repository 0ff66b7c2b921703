// The CPU back end: one channel is one worker thread that executes a batch at a time.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "accel/backend.h"
#include "accel/cpu/packed_model.h"

namespace ese {

struct CpuChannelOptions {
  std::string name = "cpu0";
  // Processor to pin the worker thread to; -1 leaves it to the operating system. Pinning keeps the
  // model in one core's cache where every channel has a core to itself.
  int pinned_cpu = -1;
  // Kernel by name; empty takes the one named by ESE_CPU_KERNEL, else the fastest supported.
  std::string kernel = "";
};

// Makes a channel of up to 64 lanes. All channels of a process share one PackedModel. The channel
// must not be destroyed from within a completion.
// Errors: INVALID_ARGUMENT for a kernel that is unknown or that this processor lacks, naming those
// it has, and for a processor the worker cannot be pinned to.
absl::StatusOr<std::unique_ptr<Channel>> CreateCpuChannel(std::shared_ptr<const PackedModel> model,
                                                          const CpuChannelOptions& options);

}  // namespace ese
