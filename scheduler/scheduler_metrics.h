// SPDX-License-Identifier: Apache-2.0
// The metrics of one scheduler.
#pragma once

#include <string>

#include "metrics/registry.h"

namespace ese {

// Metrics of one channel, with the label `channel`.
struct ChannelMetrics {
  Counter* batches;       // ese_batches_total
  Counter* failures;      // ese_batch_failures_total
  Counter* overruns;      // ese_batch_overruns_total
  Counter* busy_seconds;  // ese_channel_busy_seconds_total
  Counter* frames;        // ese_channel_frames_total
};

// Handles into a registry, which must outlive them. Copies share the metrics.
struct SchedulerMetrics {
  // Every metric gets `labels`: the model's name, and its version if there may be several.
  SchedulerMetrics(MetricsRegistry* registry, Labels labels);

  ChannelMetrics ForChannel(const std::string& channel) const;

  Gauge* streams;                 // ese_streams
  Counter* streams_opened;        // ese_streams_opened_total
  Counter* streams_refused;       // ese_streams_refused_total
  Counter* frames;                // ese_frames_total
  Gauge* channels_working;        // ese_channels_working
  Gauge* load;                    // ese_load_ratio, see Scheduler::ShowLoad
  Histogram* batch_lanes;         // ese_batch_lanes
  Histogram* batch_frames;        // ese_batch_frames
  Histogram* queue_wait_seconds;  // ese_queue_wait_seconds
  Histogram* step_seconds;        // ese_step_seconds
  Histogram* batch_seconds;       // ese_batch_seconds

 private:
  MetricsRegistry* registry_;
  Labels labels_;
};

}  // namespace ese
