// SPDX-License-Identifier: Apache-2.0
#include "accel/xrt/xrt_batch_slot.h"

#include <algorithm>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "accel/xrt/xrt_error.h"
#include "base/clock.h"

namespace ese {
namespace {

constexpr uint32_t kNoStatus = ~uint32_t{0};
// How often a wait checks whether the card was lost.
constexpr std::chrono::milliseconds kLookAgain(50);

size_t Align(size_t offset) {
  return (offset + kCardAlignment - 1) / kCardAlignment * kCardAlignment;
}

bool IsUnderWay(ert_cmd_state state) {
  return state == ERT_CMD_STATE_NEW || state == ERT_CMD_STATE_QUEUED ||
         state == ERT_CMD_STATE_RUNNING || state == ERT_CMD_STATE_SUBMITTED;
}

}  // namespace

// Offsets of a batch's parts in one buffer. The parts that go to the card come first, followed by
// those that come back, so that each direction is one transfer.
struct BatchLayout {
  size_t descriptor = 0, state_in, inputs, status, state_out, outputs, end;

  BatchLayout(const CardModel& model, int frames) {
    state_in = Align(model.shape.descriptor_bytes());
    inputs = Align(state_in + model.state_bytes());
    status = BufferSize(inputs + model.input_bytes(frames));
    state_out = status + sizeof(CardStatus);
    outputs = Align(state_out + model.state_bytes());
    end = BufferSize(outputs + model.output_bytes(frames));
  }
};

size_t BatchBytes(const CardModel& packed, int steps) { return BatchLayout(packed, steps).end; }

XrtBatchSlot::XrtBatchSlot(std::shared_ptr<OpenCard> open, int unit, const CardModel& packed,
                           xrt::bo model)
    : open_(std::move(open)),
      unit_(unit),
      packed_(packed),
      model_(std::move(model)),
      run_(open_->units[unit].kernel) {
  // If a run has a callback, XRT's own thread watches it and wakes the thread that waits for it.
  // Without a callback, the waiting threads take turns to ask the card, and a thread whose batch
  // has ended may have to wait for another thread's batch, so that units are idle half of the time.
  run_.add_callback(
      ERT_CMD_STATE_COMPLETED, [](const void*, ert_cmd_state, void*) {}, nullptr);
}

BatchOutcome XrtBatchSlot::Run(Batch* batch, std::chrono::milliseconds watchdog) {
  size_t frames = 0;
  for (const Lane& lane : batch->lanes) {
    frames = std::max(frames, lane.frames.size() / packed_.inputs);
  }
  batch->steps = static_cast<int>(frames);
  const BatchLayout layout(packed_, batch->steps);
  absl::Status status = TranslateXrt("allocating memory for a batch", [&] { Reserve(layout.end); });
  if (!status.ok()) return {status, CardFault::kMemory};
  status = TranslateXrt("transferring a batch to the card", [&] {
    Put(layout, *batch);
    memory_.sync(XCL_BO_SYNC_BO_TO_DEVICE, layout.status + kBufferAlignment, 0);
  });
  if (!status.ok()) return {status, CardFault::kTransfer};
  ert_cmd_state state = ERT_CMD_STATE_NEW;
  status = TranslateXrt("starting a batch", [&] {
    run_.set_arg(0, memory_);
    started_ = true;  // even if start() throws, because XRT's thread may already have seen the run
    run_.start();
    state = Wait(watchdog);
  });
  if (!status.ok()) return {status, CardFault::kStart};
  if (IsUnderWay(state) && open_->lost) {
    return {absl::UnavailableError("the card was lost"), CardFault::kGone};
  }
  if (IsUnderWay(state)) {
    return {absl::DeadlineExceededError(absl::StrCat("the compute unit did not end a batch within ",
                                                     watchdog.count(), " ms")),
            CardFault::kHang};
  }
  started_ = false;
  if (state != ERT_CMD_STATE_COMPLETED) {
    return {absl::InternalError(absl::StrCat("the batch ended in XRT's state ",
                                             static_cast<int>(state), " and not as completed")),
            CardFault::kErrorState};
  }
  status = TranslateXrt("transferring results from the card", [&] {
    memory_.sync(XCL_BO_SYNC_BO_FROM_DEVICE, layout.end - layout.status, layout.status);
  });
  if (!status.ok()) return {status, CardFault::kTransfer};
  return Take(layout, batch);
}

bool XrtBatchSlot::IsStuck() const {
  if (!started_) return false;
  ert_cmd_state state = ERT_CMD_STATE_NEW;
  // If XRT cannot tell, the batch counts as running.
  const absl::Status known =
      TranslateXrt("", [&] { state = run_.wait(std::chrono::milliseconds(1)); });
  return !known.ok() || state == ERT_CMD_STATE_TIMEOUT;
}

// The buffer only grows, and later batches reuse it.
void XrtBatchSlot::Reserve(size_t bytes) {
  if (bytes <= reserved_) return;
  memory_ = xrt::bo(open_->device, bytes, open_->units[unit_].group);
  bytes_ = memory_.map<uint8_t*>();
  reserved_ = bytes;
}

void XrtBatchSlot::Put(const BatchLayout& layout, const Batch& batch) {
  const uint64_t base = memory_.address();
  const BatchAddresses addresses = {.model = model_.address(),
                                    .inputs = base + layout.inputs,
                                    .state_in = base + layout.state_in,
                                    .state_out = base + layout.state_out,
                                    .outputs = base + layout.outputs,
                                    .status = base + layout.status};
  absl::c_copy(PackDescriptor(packed_, batch.lanes, addresses), bytes_ + layout.descriptor);
  PackStates(packed_, batch.lanes, bytes_ + layout.state_in);
  PackInputs(packed_, batch.lanes, bytes_ + layout.inputs);
  // Overwrites the status of the previous batch, so that it is not mistaken for this one's.
  CardStatus none;
  none.error = kNoStatus;
  StoreToCard(none, bytes_ + layout.status);
}

ert_cmd_state XrtBatchSlot::Wait(std::chrono::milliseconds watchdog) {
  const TimePoint end = Clock::Real()->Now() + watchdog;
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::Real()->Now());
    // XRT treats a wait of 0 as one without a limit.
    const ert_cmd_state state =
        run_.wait(std::clamp(left, std::chrono::milliseconds(1), kLookAgain));
    // run_.state() may be ahead of XRT's thread, which would still be using the run.
    if (state != ERT_CMD_STATE_TIMEOUT) return state;
    if (open_->lost || Clock::Real()->Now() >= end) return ERT_CMD_STATE_RUNNING;
  }
}

BatchOutcome XrtBatchSlot::Take(const BatchLayout& layout, Batch* batch) {
  const auto status = LoadFromCard<CardStatus>(bytes_ + layout.status);
  if (status.error != 0) {
    return {absl::InternalError(absl::StrCat(
                "the kernel ended the batch with error ",
                status.error == kNoStatus
                    ? "unknown, without a status record"
                    : absl::StrCat(status.error, " (docs/hardware/programmers_reference.md)"))),
            CardFault::kKernel};
  }
  const uint64_t checksum =
      ResultChecksum(packed_, batch->lanes, bytes_ + layout.state_out, bytes_ + layout.outputs);
  if (checksum != status.checksum) {
    return {absl::DataLossError(absl::StrCat(
                "a bit of the results flipped during the transfer: their checksum is ",
                absl::Hex(checksum), ", but the kernel's is ", absl::Hex(status.checksum))),
            CardFault::kChecksum};
  }
  UnpackStates(packed_, bytes_ + layout.state_out, &batch->lanes);
  UnpackLogits(packed_, bytes_ + layout.outputs, &batch->lanes);
  return {};
}

}  // namespace ese
