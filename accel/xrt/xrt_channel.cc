// SPDX-License-Identifier: Apache-2.0
#include "accel/xrt/xrt_channel.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "accel/xrt/xrt_error.h"
#include "base/status.h"

namespace ese {
namespace {

// The number of failures in a row after which the card is opened again, if nothing else on it has
// worked in the meantime.
constexpr int kFailuresToReopen = 3;

}  // namespace

XrtChannel::XrtChannel(std::shared_ptr<XrtCard> card, std::shared_ptr<ResidentModel> model,
                       int unit, int slot, Duration watchdog)
    : card_(std::move(card)),
      model_(std::move(model)),
      unit_(unit),
      executor_(absl::StrCat(card_->name(), ".", unit)),
      name_(absl::StrCat(executor_, ".", slot)),
      kernel_(card_->identity().name),
      watchdog_(std::chrono::ceil<std::chrono::milliseconds>(watchdog)),
      alarms_seen_(card_->alarms()),
      worker_(name_, "ese-xrt", [this](Batch* batch) {
        const absl::Status status = Execute(batch);
        if (status.ok()) return status;
        return absl::Status(status.code(), absl::StrCat("channel ", name_, ": ", status.message()));
      }) {}

absl::Status XrtChannel::Submit(std::unique_ptr<Batch>* batch, Completion done) {
  ESE_RETURN_IF_ERROR(ValidateBatch(*model_->packed().model, **batch, max_lanes()));
  if (card_->sensors().too_hot()) {
    return absl::UnavailableError(absl::StrCat("channel ", name_, ": the card is too hot"));
  }
  const uint64_t alarms = card_->alarms();
  if (alarms_seen_.exchange(alarms) != alarms) {
    return absl::UnavailableError(
        absl::StrCat("channel ", name_,
                     ": something on its card has failed, so this channel must be tested first"));
  }
  return worker_.Submit(batch, std::move(done));
}

absl::Status XrtChannel::Execute(Batch* batch) {
  const TimePoint start = Clock::Real()->Now();
  ESE_RETURN_IF_ERROR(Prepare());
  const BatchOutcome outcome = slot_->Run(batch, watchdog_);
  if (!outcome.status.ok()) return Failed(outcome);
  failures_ = 0;
  batch->compute_time = card_->Succeeded(unit_, start);
  return absl::OkStatus();
}

absl::Status XrtChannel::Prepare() {
  if (slot_ != nullptr && failures_ == 0 && !slot_->open()->lost) return CheckUnit();
  // Replaces all objects, because any of them may have been at fault.
  auto opened = card_->Get();
  if (!opened.ok()) return absl::UnavailableError(opened.status().message());
  const std::shared_ptr<OpenCard> open = *std::move(opened);
  const bool reopened = slot_ != nullptr && slot_->open() != open.get();
  const xrt::bo suspect = slot_ == nullptr || reopened ? xrt::bo() : slot_->model();
  slot_ = nullptr;
  const auto model = model_->BufferOn(open, open->units[unit_].group, suspect);
  CardFault fault = CardFault::kMemory;
  absl::Status status = model.status();
  if (status.ok()) {
    fault = CardFault::kStart;
    status = TranslateXrt("creating a run on the compute unit", [&] {
      slot_ = std::make_unique<XrtBatchSlot>(open, unit_, model_->packed().card, *model);
    });
  }
  if (status.ok()) return CheckUnit();
  card_->Report(open.get(), fault, status, /*first=*/false);
  // Whatever the code is, the fault lies with the channel and not with the batch.
  return absl::UnavailableError(status.message());
}

absl::Status XrtChannel::CheckUnit() {
  if (!card_->IsStuck(slot_->open(), unit_)) return absl::OkStatus();
  return absl::UnavailableError(
      "the compute unit has not ended an earlier batch yet; resetting the card (xbutil reset) may "
      "free it");
}

absl::Status XrtChannel::Failed(const BatchOutcome& outcome) {
  const bool first = failures_++ == 0;
  if (first) successes_before_ = card_->successes();
  OpenCard* const open = slot_->open();
  card_->Report(open, outcome.fault, outcome.status, first);
  // If the card's memory is full, opening the card again does not help.
  const bool may_help = outcome.fault != CardFault::kHang && outcome.fault != CardFault::kMemory;
  if (failures_ >= kFailuresToReopen && may_help && card_->successes() == successes_before_) {
    card_->Lose(open, absl::StrCat("nothing on it has worked for ", failures_,
                                   " batches; the last error was: ", outcome.status.message()));
    failures_ = 0;
  }
  // This channel raised the last alarm itself, and its next batch is a test anyway.
  alarms_seen_ = card_->alarms();
  if (slot_->IsStuck()) card_->KeepStuck(std::move(slot_));
  switch (outcome.fault) {
    case CardFault::kHang:
    case CardFault::kErrorState:
    case CardFault::kKernel:
    case CardFault::kChecksum:
      return outcome.status;
    default:
      return absl::UnavailableError(outcome.status.message());
  }
}

}  // namespace ese
