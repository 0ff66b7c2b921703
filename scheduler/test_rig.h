// SPDX-License-Identifier: Apache-2.0
// A scheduler on puppet channels and a fake clock, and streams that check what they get.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/fake_clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/reference.h"
#include "model/testing.h"
#include "scheduler/channel_cost.h"
#include "scheduler/scheduler.h"
#include "scheduler/scheduler_metrics.h"
#include "scheduler/testing.h"

namespace ese {

struct TestRig {
  // Channels whose batches cost what `batch_cost` says: by default 1 ms, whatever their size.
  explicit TestRig(int num_channels = 1, int max_lanes = 4, const SchedulerOptions& options = {},
                   const ChannelCost& batch_cost = {.per_batch_ns = 1e6})
      : cost(batch_cost) {
    std::vector<std::unique_ptr<Channel>> channels;
    for (int i = 0; i < num_channels; ++i) {
      channels.push_back(
          std::make_unique<PuppetChannel>(model, absl::StrCat("puppet", i), max_lanes));
      puppets.push_back(static_cast<PuppetChannel*>(channels.back().get()));
    }
    scheduler = std::make_unique<Scheduler>(model, std::move(channels), options, &clock, &metrics);
    FinishAll();  // the tests of new channels
  }

  // Finishes the batch of channel i in the time that it costs.
  void Finish(int i = 0) {
    int steps = 0, frames = 0;
    for (const Lane& lane : puppet(i).batch().lanes) {
      const int n = static_cast<int>(lane.frames.size()) / model->input_dim();
      steps = std::max(steps, n);
      frames += n;
    }
    puppet(i).Finish(cost.Of(steps, frames));
  }
  // Until no channel is busy.
  void FinishAll() {
    for (bool busy = true; busy;) {
      busy = false;
      for (size_t i = 0; i < puppets.size(); ++i) {
        if (!puppets[i]->busy()) continue;
        busy = true;
        Finish(static_cast<int>(i));
      }
    }
  }

  PuppetChannel& puppet(int i = 0) { return *puppets[i]; }

  // Whether channel i executes a test after a failure: all its lanes, with four frames.
  bool Testing(int i = 0) {
    return puppet(i).busy() &&
           static_cast<int>(puppet(i).batch().lanes.size()) == puppet(i).max_lanes() &&
           puppet(i).batch().lanes.front().state_in == puppet(i).batch().lanes.back().state_in;
  }
  void PassTest(int i = 0) {
    ASSERT_TRUE(Testing(i));
    puppet(i).Finish();
  }

  // The streams of the batch that channel i executes, and how many frames each has there.
  std::vector<int> Lanes(int i = 0) {
    std::vector<int> ids;
    for (const Lane& lane : puppet(i).batch().lanes) ids.push_back(lane.frames[0]);
    return ids;
  }
  std::vector<int> LaneFrames(int i = 0) {
    std::vector<int> frames;
    for (const Lane& lane : puppet(i).batch().lanes) {
      frames.push_back(static_cast<int>(lane.frames.size()) / model->input_dim());
    }
    return frames;
  }

  std::shared_ptr<const Model> model =
      RandomModel({.inputs = 3, .layers = {{.cells = 4, .projection = 3}}, .units = 5});
  ChannelCost cost;
  FakeClock clock;
  MetricsRegistry registry;
  SchedulerMetrics metrics{&registry, {{"model", "test"}}};
  std::vector<PuppetChannel*> puppets;
  std::unique_ptr<Scheduler> scheduler;
};

inline bool SameState(const StreamState& a, const StreamState& b) {
  return std::equal(a.c.begin(), a.c.end(), b.c.begin(), b.c.end()) &&
         std::equal(a.y.begin(), a.y.end(), b.y.begin(), b.y.end());
}

// Pushes frames [id, number, id ^ number] and expects, in every result, what ReferenceStep says.
class TestStream {
 public:
  TestStream(TestRig* rig, int id, StreamOptions options = {})
      : rig_(rig),
        id_(id),
        expected_state_(options.initial_state.value_or(StreamState(*rig->model))),
        pushed_(static_cast<int>(options.first_frame)),
        frames_done_(pushed_) {
    auto stream = rig->scheduler->Open(std::move(options),
                                       [this](const StreamResult& result) { OnResult(result); });
    EXPECT_EQ(stream.status(), absl::OkStatus());
    handle = *std::move(stream);
  }

  absl::Status Push(int n) {
    std::vector<int8_t> frames;
    for (int i = 0; i < n; ++i) AppendFrame(pushed_ + i, &frames);
    const absl::Status status = handle->Push(frames);
    if (status.ok()) pushed_ += n;
    return status;
  }

  int frames_done() const { return frames_done_; }

  std::unique_ptr<Scheduler::Stream> handle;
  std::vector<StreamResult> results;              // without logits and state
  std::function<void(const StreamResult&)> hook;  // called at the end of every callback

 private:
  void AppendFrame(int number, std::vector<int8_t>* frames) const {
    for (int v : {id_, number, id_ ^ number}) frames->push_back(static_cast<int8_t>(v));
  }

  void OnResult(const StreamResult& result) {
    EXPECT_EQ(result.first_frame, frames_done_);
    const size_t units = rig_->model->num_units();
    EXPECT_EQ(result.logits.size(), result.num_frames * units);
    for (int i = 0; i < result.num_frames; ++i) {
      std::vector<int8_t> x;
      AppendFrame(frames_done_++, &x);
      std::vector<int32_t> logits(units);
      ReferenceStep(*rig_->model, x.data(), &expected_state_, logits.data());
      EXPECT_EQ(logits, std::vector<int32_t>(result.logits.begin() + i * units,
                                             result.logits.begin() + (i + 1) * units));
    }
    EXPECT_EQ(result.state != nullptr, result.status.ok());
    if (result.state != nullptr) {
      EXPECT_TRUE(SameState(*result.state, expected_state_)) << "after frame " << frames_done_;
    }
    results.push_back(result);
    results.back().logits = {};
    results.back().state = nullptr;
    if (hook) hook(result);
  }

  TestRig* const rig_;
  const int id_;
  StreamState expected_state_;
  int pushed_;
  int frames_done_;
};

}  // namespace ese
