#include "scheduler/processor_use.h"

#include <sched.h>
#include <time.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace ese {
namespace {

constexpr Duration kReadEvery = ProcessorUse::kWindow / 8;

class ThisProcess final : public ProcessorBudget {
 public:
  double processors() const override { return processors_; }
  Duration Taken() const override {
    timespec time{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
  }

 private:
  static double Measure() {
    // Not std::thread::hardware_concurrency, which counts those that others are for, too.
    cpu_set_t allowed;
    const bool known = sched_getaffinity(0, sizeof(allowed), &allowed) == 0;
    const double processors = known ? CPU_COUNT(&allowed) : std::thread::hardware_concurrency();
    std::string cpu_max;
    std::ifstream file("/sys/fs/cgroup/cpu.max");  // as a container sees its own
    std::getline(file, cpu_max);
    return QuotaOf(cpu_max, std::max(1.0, processors));
  }

  const double processors_ = Measure();
};

}  // namespace

double QuotaOf(absl::string_view cpu_max, double processors) {
  const std::vector<absl::string_view> parts =
      absl::StrSplit(cpu_max, absl::ByAnyChar(" \n"), absl::SkipEmpty());
  double quota = 0, period = 0;
  if (parts.size() != 2 || !absl::SimpleAtod(parts[0], &quota) ||
      !absl::SimpleAtod(parts[1], &period) || !(quota > 0) || !(period > 0)) {
    return processors;
  }
  return std::min(processors, quota / period);
}

const ProcessorBudget* ProcessorBudget::Process() {
  static const auto* const process = new ThisProcess;
  return process;
}

double ProcessorUse::Share(TimePoint now) {
  if (budget_ == nullptr) return 0;
  if (readings_.empty() || now - readings_.back().at >= kReadEvery) {
    readings_.push_back({now, budget_->Taken()});
  }
  // The oldest is to be a window old; after a time without work, not much older.
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
