// SPDX-License-Identifier: Apache-2.0
#include "scheduler/scheduler_metrics.h"

#include <utility>
#include <vector>

namespace ese {

SchedulerMetrics::SchedulerMetrics(MetricsRegistry* registry, Labels labels_of_all)
    : registry_(registry), labels_(std::move(labels_of_all)) {
  const Labels& labels = labels_;
  const auto counter = [&](const char* name, const char* help) {
    return registry->GetCounter(name, help, labels);
  };
  const auto histogram = [&](const char* name, const char* help,
                             const std::vector<double>& buckets) {
    return registry->GetHistogram(name, help, buckets, labels);
  };
  streams = registry->GetGauge("ese_streams", "Open streams.", labels);
  streams_opened = counter("ese_streams_opened_total", "Streams opened.");
  streams_refused =
      counter("ese_streams_refused_total",
              "Streams refused because too many were open, the open ones needed too much, or no "
              "channel worked.");
  frames = counter("ese_frames_total", "Frames computed.");
  channels_working = registry->GetGauge(
      "ese_channels_working", "Channels that work, or may be expected to shortly.", labels);
  load = registry->GetGauge("ese_load_ratio",
                            "What the open streams need, as a share of what the channels can "
                            "compute or of the processors, whichever is higher.",
                            labels);
  batch_lanes = histogram("ese_batch_lanes", "Lanes (streams) of a computed batch.",
                          {1, 2, 4, 8, 16, 24, 32, 48, 64});
  batch_frames = histogram("ese_batch_frames", "Frames of a computed batch, over all its lanes.",
                           {1, 2, 4, 8, 16, 32, 64, 128, 256, 512});
  queue_wait_seconds = histogram(
      "ese_queue_wait_seconds",
      "Time from the arrival of a lane's oldest frame to its batch, for each lane of a batch.",
      LatencyBuckets());
  step_seconds = histogram("ese_step_seconds",
                           "Compute time of a batch divided by its steps (frames of its longest "
                           "lane).",
                           LatencyBuckets());
  batch_seconds = histogram("ese_batch_seconds", "Compute time of a batch, over all its steps.",
                            LatencyBuckets());
}

ChannelMetrics SchedulerMetrics::ForChannel(const std::string& channel) const {
  Labels labels = labels_;
  labels["channel"] = channel;
  return {
      .batches = registry_->GetCounter("ese_batches_total", "Batches computed.", labels),
      .failures = registry_->GetCounter(
          "ese_batch_failures_total",
          "Batches that the channel refused or failed; their frames are computed again.", labels),
      .overruns = registry_->GetCounter(
          "ese_batch_overruns_total",
          "Batches that the channel did not finish in time; their frames are computed again.",
          labels),
      .busy_seconds = registry_->GetCounter("ese_channel_busy_seconds_total",
                                            "Time that the channel has spent computing.", labels),
      .frames = registry_->GetCounter("ese_channel_frames_total",
                                      "Frames that the channel has computed.", labels),
  };
}

}  // namespace ese
