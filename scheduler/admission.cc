#include "scheduler/admission.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/retry_after.h"

namespace ese {
namespace {

constexpr Duration kWindow = std::chrono::seconds(1);
// A single long wait, such as that of a machine that stood still, counts as so many target
// latencies at most: new streams are refused for some seconds, not for a minute.
constexpr int kLongestWait = 4;

// Streams refused together must not come back together.
Duration RetryHint(int refusals) { return std::chrono::milliseconds(1000 + 125 * (refusals % 16)); }

}  // namespace

Admission::Admission(double max_load, Duration target_latency, double stream_frames_per_second)
    : max_load_(max_load),
      target_latency_(target_latency),
      stream_frames_per_second_(stream_frames_per_second),
      frames_(kWindow),
      opened_(kWindow) {}

void Admission::Taken(TimePoint now, int frames, Duration wait) {
  frames_.Add(frames, now);
  const auto ns = static_cast<double>(std::min(wait, kLongestWait * target_latency_).count());
  const double old = std::exp(-ToSeconds(now - waited_at_) / ToSeconds(kWindow));
  wait_ns_ = old * wait_ns_ + (1 - old) * ns;
  waited_at_ = now;
}

double Admission::Load(TimePoint now, double capacity) {
  if (capacity <= 0) return 0;
  return (frames_.PerSecond(now) + stream_frames_per_second_ * opened_.Count(now)) / capacity;
}

Duration Admission::Wait(TimePoint now) const {
  // Time without a batch is time without waiting.
  const double old = std::exp(-ToSeconds(now - waited_at_) / ToSeconds(kWindow));
  return Duration(static_cast<int64_t>(old * wait_ns_));
}

absl::Status Admission::Check(TimePoint now, double capacity) {
  if (max_load_ <= 0) return absl::OkStatus();
  const double load =
      Load(now, capacity) + (capacity > 0 ? stream_frames_per_second_ / capacity : 0);
  const Duration wait = Wait(now);
  absl::Status refusal;
  if (load > max_load_) {
    refusal = absl::UnavailableError(
        absl::StrFormat("the open streams need %.0f %% of what this server can compute, and it "
                        "takes new ones up to %.0f %%; try again later, or another server",
                        100 * load, 100 * max_load_));
  } else if (wait > target_latency_ / 2) {
    refusal = absl::UnavailableError(
        absl::StrFormat("frames of the open streams wait for %.0f ms, and new ones are taken up to "
                        "%.0f ms; try again later, or another server",
                        1e3 * ToSeconds(wait), 1e3 * ToSeconds(target_latency_ / 2)));
  } else {
    return absl::OkStatus();
  }
  SetRetryAfter(RetryHint(refusals_++), &refusal);
  return refusal;
}

}  // namespace ese
