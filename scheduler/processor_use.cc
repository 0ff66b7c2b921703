// SPDX-License-Identifier: Apache-2.0
#include "scheduler/processor_use.h"

#include <time.h>

#include "base/processors.h"

namespace ese {
namespace {

constexpr Duration kReadEvery = ProcessorUse::kWindow / 8;

class ThisProcess final : public ProcessorBudget {
 public:
  double processors() const override { return ProcessorsAllowed(); }
  Duration Taken() const override {
    timespec time{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
  }
};

}  // namespace

const ProcessorBudget* ProcessorBudget::Process() {
  static const auto* const process = new ThisProcess;
  return process;
}

double ProcessorUse::Share(TimePoint now) {
  if (budget_ == nullptr) return 0;
  if (readings_.empty() || now - readings_.back().at >= kReadEvery) {
    readings_.push_back({now, budget_->Taken()});
  }
  // The oldest reading should be one window old, and after a time without work not much older.
  while (readings_.size() > 2 &&
         (readings_[1].at <= now - kWindow || readings_[0].at < now - 2 * kWindow)) {
    readings_.pop_front();
  }
  const Duration passed = readings_.back().at - readings_.front().at;
  if (passed <= Duration(0)) return 0;
  return ToSeconds(readings_.back().taken - readings_.front().taken) /
         (ToSeconds(passed) * budget_->processors());
}

}  // namespace ese
