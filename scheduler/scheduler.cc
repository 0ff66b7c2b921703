// SPDX-License-Identifier: Apache-2.0
#include "scheduler/scheduler.h"

#include <utility>

#include "base/status.h"
#include "scheduler/core.h"

namespace ese {

Scheduler::Scheduler(std::shared_ptr<const Model> model,
                     std::vector<std::unique_ptr<Channel>> channels,
                     const SchedulerOptions& options, Clock* clock, SchedulerMetrics* metrics)
    : core_(std::make_unique<SchedulerCore>(std::move(model), std::move(channels), options, clock,
                                            metrics)) {}

Scheduler::~Scheduler() = default;

absl::StatusOr<std::unique_ptr<Scheduler::Stream>> Scheduler::Open(StreamOptions options,
                                                                   ResultCallback on_result) {
  ESE_ASSIGN_OR_RETURN(std::shared_ptr<StreamRecord> record,
                       core_->Open(std::move(options), std::move(on_result)));
  return std::unique_ptr<Stream>(new Stream(core_.get(), std::move(record)));
}

const Model& Scheduler::model() const { return core_->model(); }

int Scheduler::open_streams() const { return core_->open_streams(); }

void Scheduler::ShowLoad() { core_->ShowLoad(); }

int Scheduler::working_channels() const { return core_->working_channels(); }

int Scheduler::proven_channels() const { return core_->proven_channels(); }

Scheduler::Stream::Stream(SchedulerCore* core, std::shared_ptr<StreamRecord> record)
    : core_(core), record_(std::move(record)) {}

Scheduler::Stream::~Stream() { core_->Close(record_.get()); }

absl::Status Scheduler::Stream::Push(absl::Span<const int8_t> frames) {
  return core_->Push(record_.get(), frames);
}

int Scheduler::Stream::room() const { return record_->room(); }

StreamSnapshot Scheduler::Stream::Snapshot() const { return record_->Snapshot(); }

}  // namespace ese
