// SPDX-License-Identifier: Apache-2.0
// Hundreds of streams run on four cards and a processor while the cards have every kind of fault.
// No stream is lost, no bit differs, and all units are in use again at the end.
#include <algorithm>
#include <atomic>
#include <mutex>
#include <random>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "accel/cpu/cpu_channel.h"
#include "accel/xrt/card_test_rig.h"
#include "model/reference.h"
#include "scheduler/scheduler.h"
#include "scheduler/scheduler_metrics.h"

namespace ese {
namespace {

using std::chrono::milliseconds;

constexpr int kStreams = 300;
constexpr int kPushers = 2;

// A stream of random frames whose results are compared with the reference as they arrive.
class CheckedStream {
 public:
  CheckedStream(std::shared_ptr<const Model> model, Scheduler* scheduler, uint32_t seed,
                std::atomic<int64_t>* frames_done)
      : model_(std::move(model)), random_(seed), state_(*model_), all_done_(frames_done) {
    auto stream = scheduler->Open({}, [this](const StreamResult& result) { OnResult(result); });
    EXPECT_TRUE(stream.ok()) << stream.status();
    if (stream.ok()) handle_ = *std::move(stream);
  }

  // Pushes a chunk of frames, unless so many are still in progress that all channels have batches.
  // Called by one thread at a time.
  void Push() {
    constexpr int kMost = 32;
    const int n = 1 + static_cast<int>(random_() % kMost);
    if (handle_ == nullptr || in_progress() > kMost) return;
    std::vector<int8_t> frames(static_cast<size_t>(n) * model_->input_columns());
    for (int8_t& v : frames) v = static_cast<int8_t>(random_());
    {
      const std::lock_guard lock(mutex_);
      pushed_.insert(pushed_.end(), frames.begin(), frames.end());
    }
    const absl::Status status = handle_->Push(frames);
    EXPECT_TRUE(status.ok()) << status;
  }

  int64_t in_progress() {
    const std::lock_guard lock(mutex_);
    return static_cast<int64_t>(pushed_.size()) / model_->input_columns() - frames_done_;
  }
  int different() const { return different_; }
  int errors() const { return errors_; }

 private:
  void OnResult(const StreamResult& result) {
    if (!result.status.ok()) {
      ++errors_;
      ADD_FAILURE() << "a stream was lost: " << result.status;
      return;
    }
    const std::lock_guard lock(mutex_);
    std::vector<int32_t> logits(model_->num_units());
    different_ += result.first_frame != frames_done_;
    for (int k = 0; k < result.num_frames; ++k) {
      ReferenceStep(*model_, &pushed_[frames_done_++ * model_->input_columns()], &state_,
                    logits.data());
      different_ += !std::equal(logits.begin(), logits.end(),
                                result.logits.begin() + k * model_->num_units());
    }
    const StreamSnapshot now = handle_->Snapshot();  // may be ahead of the results
    StreamState ahead = state_;
    for (int64_t frame = frames_done_; frame < now.frame; ++frame) {
      ReferenceStep(*model_, &pushed_[frame * model_->input_columns()], &ahead, logits.data());
    }
    different_ += now.frame < frames_done_ ||
                  !std::equal(ahead.c.begin(), ahead.c.end(), now.state.c.begin()) ||
                  !std::equal(ahead.y.begin(), ahead.y.end(), now.state.y.begin());
    *all_done_ += result.num_frames;
  }

  const std::shared_ptr<const Model> model_;
  std::mt19937 random_;
  std::mutex mutex_;
  // Guarded by mutex_.
  std::vector<int8_t> pushed_;
  StreamState state_;
  int64_t frames_done_ = 0;

  std::atomic<int> different_ = 0;
  std::atomic<int> errors_ = 0;
  std::atomic<int64_t>* const all_done_;
  std::unique_ptr<Scheduler::Stream> handle_;  // last, so that it is destroyed first
};

class XrtFaultTest : public CardTestOf<4, 4> {
 protected:
  void SetUp() override {
    auto channels =
        Create(model_, {.watchdog = milliseconds(300), .sensor_interval = milliseconds(20)});
    ASSERT_EQ(channels.size(), size_t{kCards * kUnits * kSlots});
    for (const auto& channel : channels) channel_names_.push_back(channel->name());
    auto processor = CreateCpuChannels(model_);
    ASSERT_TRUE(processor.ok()) << processor.status();
    channels.push_back(std::move(processor->front()));
    SchedulerOptions options;
    options.max_load = 0;  // this test is not about admission
    scheduler_ = std::make_unique<Scheduler>(model_, std::move(channels), options, Clock::Real(),
                                             &scheduler_metrics_);
    for (uint32_t k = 0; k < kStreams; ++k) {
      streams_.push_back(
          std::make_unique<CheckedStream>(model_, scheduler_.get(), k, &frames_done_));
    }
    for (int k = 0; k < kPushers; ++k) pushers_.emplace_back([this, k] { PushUntilStopped(k); });
  }

  void TearDown() override {
    stopping_ = true;
    for (std::thread& pusher : pushers_) pusher.join();
    streams_.clear();
    scheduler_.reset();
    CardTestOf::TearDown();
  }

  void PushUntilStopped(int first) {
    while (!stopping_) {
      for (size_t k = first; k < streams_.size(); k += kPushers) streams_[k]->Push();
      std::this_thread::sleep_for(milliseconds(1));
    }
  }

  // Waits until each stream has advanced by some frames.
  void ExpectProgress() {
    const int64_t before = frames_done_;
    EXPECT_TRUE(Eventually([&] { return frames_done_ >= before + 10 * kStreams; }));
  }
  void ExpectFault(int card, const std::string& kind) {
    EXPECT_TRUE(Eventually([&] { return Faults(card, kind) > 0; })) << card << ": " << kind;
    ExpectProgress();
  }
  // Waits until all channels have passed their tests and every card computes batches of streams.
  void ExpectAllInUse() {
    EXPECT_TRUE(Eventually([&] {
      return scheduler_->working_channels() == static_cast<int>(channel_names_.size()) + 1;
    }));
    for (int card = 0; card < kCards; ++card) {
      const double before = Batches(card);
      EXPECT_TRUE(Eventually([&] { return Batches(card) > before; })) << card;
    }
  }
  double Batches(int card) {
    double batches = 0;
    for (const std::string& name : channel_names_) {
      if (!absl::StartsWith(name, absl::StrCat("xrt", card, "."))) continue;
      batches += metrics_
                     .GetCounter("ese_batches_total", "Batches computed.",
                                 {{"model", "test"}, {"channel", name}})
                     ->Value();
    }
    return batches;
  }

  const std::shared_ptr<const Model> model_ =
      RandomModel({.inputs = 6, .layers = {{.cells = 16, .projection = 8}}, .units = 5});
  SchedulerMetrics scheduler_metrics_{&metrics_, {{"model", "test"}}};
  std::vector<std::string> channel_names_;  // on cards
  std::unique_ptr<Scheduler> scheduler_;
  std::atomic<int64_t> frames_done_ = 0;
  std::atomic<bool> stopping_ = false;
  std::vector<std::unique_ptr<CheckedStream>> streams_;
  std::vector<std::thread> pushers_;
};

TEST_F(XrtFaultTest, NoStreamIsLostAndNoBitDiffers) {
  ExpectAllInUse();

  Inject("1.2 hang");
  ExpectFault(1, "hang");
  Inject("2 gone");
  ExpectFault(2, "gone");
  EXPECT_EQ(Metric("ese_card_up", 2), 0);
  Inject("");
  EXPECT_TRUE(Eventually([&] { return Metric("ese_card_up", 2) == 1; }));

  Inject("3 flip\n0.1 error\n1 kernel 2");
  ExpectFault(3, "checksum");
  ExpectFault(0, "error_state");
  ExpectFault(1, "kernel");
  Inject("0 dma\n1 sensor\n2 hot");
  ExpectFault(0, "transfer");
  ExpectFault(1, "sensor");
  ExpectFault(2, "hot");
  Inject("");
  EXPECT_TRUE(Eventually([&] { return Metric("ese_card_too_hot", 2) == 0; }));

  // All cards are gone at once, so only the processor is left.
  Inject("* gone");
  for (int card = 0; card < kCards; ++card) ExpectFault(card, "gone");
  Inject("");
  ExpectAllInUse();

  stopping_ = true;
  for (std::thread& pusher : pushers_) pusher.join();
  pushers_.clear();
  EXPECT_TRUE(Eventually([&] {
    return std::ranges::all_of(streams_, [](const auto& s) { return s->in_progress() == 0; });
  }));
  int lost = 0, different = 0;
  for (const auto& stream : streams_) {
    lost += stream->errors();
    different += stream->different();
  }
  EXPECT_EQ(lost, 0);
  EXPECT_EQ(different, 0);
  EXPECT_GE(Metric("ese_card_opens_total", 2), 3) << "at the start, and after each loss";
}

}  // namespace
}  // namespace ese
