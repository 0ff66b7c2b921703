// SPDX-License-Identifier: Apache-2.0
#include "scheduler/admission.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_format.h"
#include "base/retry_after.h"

namespace ese {
namespace {

constexpr Duration kDemandWindow = std::chrono::seconds(1);
// The time over which waits and the cost of a frame are averaged. It is short because a rush of new
// streams overloads a server in less than a second.
constexpr Duration kAveraged = std::chrono::milliseconds(250);
// A single long wait, such as after the machine stood still, counts as at most this many target
// latencies, so that new streams are refused for a second and not for a minute.
constexpr int kLongestWait = 4;
// If less of the processors is used than this, most of it is not due to frames.
constexpr double kUseToLearn = 0.25;

// The hints differ so that streams which are refused together do not return together.
Duration RetryHint(int refusals) { return std::chrono::milliseconds(1000 + 125 * (refusals % 16)); }

}  // namespace

Admission::Admission(double max_load, Duration target_latency, double stream_frames_per_second,
                     const ProcessorBudget* processors)
    : max_load_(max_load),
      target_latency_(target_latency),
      stream_frames_per_second_(stream_frames_per_second),
      frames_(kDemandWindow),
      opened_(kDemandWindow),
      wait_ns_(kAveraged),
      use_(processors),
      use_frames_(ProcessorUse::kWindow),
      use_real_time_frames_(ProcessorUse::kWindow),
      use_opened_(ProcessorUse::kWindow),
      frame_cost_(kAveraged) {}

void Admission::Opened(TimePoint now) {
  opened_.Add(1, now);
  use_opened_.Add(1, now);
}

void Admission::Taken(TimePoint now, int frames, int real_time_frames, Duration wait) {
  frames_.Add(real_time_frames, now);
  wait_ns_.Add(static_cast<double>(std::min(wait, kLongestWait * target_latency_).count()), now);
  use_frames_.Add(frames, now);
  use_real_time_frames_.Add(real_time_frames, now);
  LearnCost(now, use_.Share(now));
}

void Admission::LearnCost(TimePoint now, double share) {
  const double rate = use_frames_.PerSecond(now);
  if (share < kUseToLearn || rate <= 0) return;
  frame_cost_.Add(share / rate, now);
}

double Admission::Load(TimePoint now, double capacity) {
  if (capacity <= 0) return 0;
  return (frames_.PerSecond(now) + stream_frames_per_second_ * opened_.Outstanding(now)) / capacity;
}

double Admission::Use(TimePoint now) {
  const double share = use_.Share(now);
  const double frames = use_frames_.Count(now);
  // Without frames, the use is not the streams' but, for example, that of loading a model.
  const double real_time = frames > 0 ? use_real_time_frames_.Count(now) / frames : 0;
  return share * real_time +
         frame_cost_.value() * stream_frames_per_second_ * use_opened_.Outstanding(now);
}

Duration Admission::Wait(TimePoint now) const {
  // Nothing waits while there is no batch.
  return Duration(static_cast<int64_t>(wait_ns_.Decayed(now)));
}

absl::Status Admission::Check(TimePoint now, double capacity, Duration upstream) {
  if (max_load_ <= 0) return absl::OkStatus();
  const double load =
      Load(now, capacity) + (capacity > 0 ? stream_frames_per_second_ / capacity : 0);
  const double use = Use(now);
  const Duration wait = Wait(now) + upstream;
  const bool full_use = full_use_.Holds(use, kMostUse, kUseToReopen);
  const bool long_waits = long_waits_.Holds(ToSeconds(wait), ToSeconds(target_latency_ / 2),
                                            ToSeconds(target_latency_ / 4));
  std::string reason;
  if (load > max_load_) {
    reason = absl::StrFormat(
        "the open streams and this one would need %.0f %% of what this server can compute, and new "
        "ones are refused above %.0f %%",
        100 * load, 100 * max_load_);
  } else if (full_use) {
    reason = absl::StrFormat(
        "the open streams need %.0f %% of this server's processors, and new ones are refused above "
        "%.0f %%",
        100 * use, 100 * full_use_.limit());
  } else if (long_waits) {
    reason = absl::StrFormat(
        "frames of the open streams wait for %.1f ms, and new streams are refused above %.1f ms",
        1e3 * ToSeconds(wait), 1e3 * long_waits_.limit());
  } else {
    return absl::OkStatus();
  }
  const Duration after = RetryHint(refusals_++);
  absl::Status refusal = absl::UnavailableError(
      absl::StrFormat("%s; try again in %.1f s, or use another server", reason, ToSeconds(after)));
  SetRetryAfter(after, &refusal);
  return refusal;
}

}  // namespace ese
