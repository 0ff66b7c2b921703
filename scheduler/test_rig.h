// SPDX-License-Identifier: Apache-2.0
// A scheduler with puppet channels and a fake clock, and streams that check their results.
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
  // The channels' batches take what `batch_cost` says: by default 1 ms, whatever their size.
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

  // Finishes the batch of channel i in the time that `cost` predicts.
  void Finish(int i = 0) {
    int steps = 0, frames = 0;
    for (const Lane& lane : puppet(i).batch().lanes) {
      const int n = static_cast<int>(lane.frames.size()) / model->input_columns();
      steps = std::max(steps, n);
      frames += n;
    }
    puppet(i).Finish(cost.Of(steps, frames));
  }
  // Finishes batches until no channel is busy.
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

  // Whether channel i executes the test after a failure, in which lanes share one state_in.
  bool Testing(int i = 0) {
    return puppet(i).busy() &&
           static_cast<int>(puppet(i).batch().lanes.size()) == puppet(i).max_lanes() &&
           puppet(i).batch().lanes.front().state_in == puppet(i).batch().lanes.back().state_in;
  }
  void PassTest(int i = 0) {
    ASSERT_TRUE(Testing(i));
    puppet(i).Finish();
  }

  // The ids of the streams in the batch that channel i executes, and how many frames each has in
  // it.
  std::vector<int> Lanes(int i = 0) {
    std::vector<int> ids;
    for (const Lane& lane : puppet(i).batch().lanes) ids.push_back(lane.frames[0]);
    return ids;
  }
  std::vector<int> LaneFrames(int i = 0) {
    std::vector<int> frames;
    for (const Lane& lane : puppet(i).batch().lanes) {
      frames.push_back(static_cast<int>(lane.frames.size()) / model->input_columns());
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

// A stream that pushes frames [id, number, id ^ number], records the results, and expects every
// result, and the state after it, to be what ReferenceStep computes.
class RecordingStream {
 public:
  RecordingStream(TestRig* rig, int id, StreamOptions options = {})
      : rig_(rig),
        id_(id),
        first_frame_(static_cast<int>(options.first_frame)),
        frames_done_(first_frame_) {
    expected_states_.push_back(options.initial_state.value_or(StreamState(*rig->model)));
    auto stream = rig->scheduler->Open(std::move(options),
                                       [this](const StreamResult& result) { OnResult(result); });
    EXPECT_EQ(stream.status(), absl::OkStatus());
    handle = *std::move(stream);
  }

  absl::Status Push(int n) {
    std::vector<int8_t> frames;
    for (int i = 0; i < n; ++i) AppendFrame(pushed() + i, &frames);
    // Before Push, because a callback may come before it returns.
    ExpectFrames(n);
    const absl::Status status = handle->Push(frames);
    if (!status.ok()) ForgetFrames(n);
    return status;
  }

  int frames_done() const { return frames_done_; }

  std::unique_ptr<Scheduler::Stream> handle;
  std::vector<StreamResult> results;              // without logits
  std::function<void(const StreamResult&)> hook;  // called at the end of every callback

 private:
  int pushed() const { return first_frame_ + static_cast<int>(expected_logits_.size()); }

  void AppendFrame(int number, std::vector<int8_t>* frames) const {
    for (int v : {id_, number, id_ ^ number}) frames->push_back(static_cast<int8_t>(v));
  }

  void ExpectFrames(int n) {
    for (int i = 0; i < n; ++i) {
      std::vector<int8_t> x;
      AppendFrame(pushed(), &x);
      std::vector<int32_t> logits(rig_->model->num_units());
      StreamState state = expected_states_.back();
      ReferenceStep(*rig_->model, x.data(), &state, logits.data());
      expected_states_.push_back(std::move(state));
      expected_logits_.push_back(std::move(logits));
    }
  }
  void ForgetFrames(int n) {
    expected_states_.erase(expected_states_.end() - n, expected_states_.end());
    expected_logits_.erase(expected_logits_.end() - n, expected_logits_.end());
  }

  void OnResult(const StreamResult& result) {
    EXPECT_EQ(result.first_frame, frames_done_);
    const size_t units = rig_->model->num_units();
    EXPECT_EQ(result.logits.size(), result.num_frames * units);
    for (int i = 0; i < result.num_frames; ++i) {
      EXPECT_EQ(expected_logits_[frames_done_++ - first_frame_],
                std::vector<int32_t>(result.logits.begin() + i * units,
                                     result.logits.begin() + (i + 1) * units));
    }
    // The state may be a batch ahead of the results.
    const StreamSnapshot now = handle->Snapshot();
    ASSERT_GE(now.frame, frames_done_);
    ASSERT_LE(now.frame, pushed());
    EXPECT_TRUE(SameState(now.state, expected_states_[now.frame - first_frame_]))
        << "after frame " << now.frame;
    results.push_back(result);
    results.back().logits = {};
    if (hook) hook(result);
  }

  TestRig* const rig_;
  const int id_;
  const int first_frame_;
  std::vector<StreamState> expected_states_;           // before each frame, and after the last
  std::vector<std::vector<int32_t>> expected_logits_;  // of each frame
  int frames_done_;
};

}  // namespace ese
