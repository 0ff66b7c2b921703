// One card with a model in its memory, and its translation of XRT's exceptions.
#pragma once

#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "accel/rtl/card_model.h"
#include "accel/xrt/xrt_channel.h"
#include "xrt/xrt_bo.h"
#include "xrt/xrt_device.h"
#include "xrt/xrt_kernel.h"

namespace ese {

// Calls function(); what XRT throws becomes a status with `what` in front.
template <typename Function>
absl::Status TranslateXrt(const std::string& what, Function&& function) {
  try {
    function();
    return absl::OkStatus();
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(absl::StrCat(what, ": the card's memory is full"));
  } catch (const std::exception& error) {
    return absl::UnavailableError(absl::StrCat(what, ": ", error.what()));
  }
}

// Shared by the card's channels; constant once made.
struct LoadedCard {
  std::string name;  // xrt0
  std::string kernel;
  std::shared_ptr<const Model> model;
  CardModel packed;
  xrt::device device;
  std::vector<xrt::kernel> units;
  xrt::bo model_memory;
  xrt::memory_group group = 0;
};

// Opens card `index`. From one thread at a time: XRT's own maps have no lock.
absl::StatusOr<std::shared_ptr<LoadedCard>> LoadCard(int index, std::shared_ptr<const Model> model,
                                                     const XrtOptions& options);

// XRT rejects sizes that are no multiple of this.
inline constexpr size_t kBufferAlignment = 4096;
inline size_t BufferSize(size_t bytes) {
  return (bytes + kBufferAlignment - 1) / kBufferAlignment * kBufferAlignment;
}

}  // namespace ese
