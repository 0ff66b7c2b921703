// SPDX-License-Identifier: Apache-2.0
// Many streams, random chunks, several threads, and several channels. One channel fails at times,
// and another completes some batches long after they were given up. Every logit must equal
// ReferenceStep's, and no callback may come after its stream was destroyed.
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "accel/cpu/cpu_channel.h"
#include "base/fake_clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/reference.h"
#include "model/testing.h"
#include "scheduler/scheduler.h"
#include "scheduler/scheduler_metrics.h"
#include "scheduler/testing.h"

namespace ese {
namespace {

constexpr int kThreads = 4;
constexpr int kStreamsPerThread = 30;
constexpr int kFrames = 200;
// The names of the good, the flaky and the late channel, in the style of CreateCpuChannels.
constexpr const char* kChannels[] = {"cpu0", "cpu1", "cpu2"};

// Passes batches to another channel.
class WrappedChannel : public Channel {
 public:
  explicit WrappedChannel(std::unique_ptr<Channel> channel) : channel_(std::move(channel)) {}
  int max_lanes() const override { return channel_->max_lanes(); }
  const std::string& name() const override { return channel_->name(); }
  const std::string& kernel() const override { return channel_->kernel(); }

 protected:
  const std::unique_ptr<Channel> channel_;
};

// Shows what the channel is doing.
class WatchedChannel final : public WrappedChannel {
 public:
  using WrappedChannel::WrappedChannel;
  absl::Status Submit(std::unique_ptr<Batch>* batch, Completion done) override {
    busy_ = true;
    return channel_->Submit(batch, [this, done](std::unique_ptr<Batch> b, absl::Status status) {
      busy_ = false;
      ++completed_;
      done(std::move(b), std::move(status));
    });
  }
  // Returns whether it has completed a batch since the last call.
  bool GotOn() {
    const int completed = completed_;
    return std::exchange(asked_, completed) != completed;
  }
  bool busy() const { return busy_; }

 private:
  std::atomic<bool> busy_ = false;
  std::atomic<int> completed_ = 0;
  int asked_ = 0;
};

// Spoils or refuses one batch in five.
class FlakyChannel final : public WrappedChannel {
 public:
  using WrappedChannel::WrappedChannel;
  absl::Status Submit(std::unique_ptr<Batch>* batch, Completion done) override {
    switch (calls_++ % 10) {
      case 3:
        return absl::UnavailableError("flaky");
      case 7:
        return channel_->Submit(batch, [done](std::unique_ptr<Batch> spoiled, absl::Status) {
          for (Lane& lane : spoiled->lanes) {
            lane.state_out->c[0] ^= 0x55;
            lane.logits[0] ^= 0x55;
          }
          done(std::move(spoiled), absl::DataLossError("flaky"));
        });
      default:
        return channel_->Submit(batch, std::move(done));
    }
  }

 private:
  std::atomic<int> calls_ = 0;
};

// Keeps one batch in seven for a long time and then still reads and writes its buffers.
class LateChannel final : public WrappedChannel {
 public:
  using WrappedChannel::WrappedChannel;
  absl::Status Submit(std::unique_ptr<Batch>* batch, Completion done) override {
    const bool keep = calls_++ % 7 == 6;
    return channel_->Submit(batch,
                            [this, keep, done](std::unique_ptr<Batch> b, absl::Status status) {
                              {
                                const std::lock_guard lock(mutex_);
                                if (keep && !ending_) {
                                  kept_ = std::move(b);
                                  done_ = done;
                                  return;
                                }
                              }
                              done(std::move(b), std::move(status));
                            });
  }

  // Tells the channel that time has passed. Completes a batch that was kept for twice the
  // watchdog's time.
  void Tick(Duration passed) {
    std::unique_lock lock(mutex_);
    if (kept_ == nullptr || (kept_for_ += passed) < std::chrono::seconds(4)) return;
    kept_for_ = Duration::zero();
    std::unique_ptr<Batch> batch = std::move(kept_);
    const Completion done = std::exchange(done_, nullptr);
    lock.unlock();
    for (Lane& lane : batch->lanes) {
      lane.state_out->c[0] = lane.state_in->c[0] ^ 0x55;
      lane.logits[0] ^= 0x55 + lane.frames[0];
    }
    done(std::move(batch), absl::OkStatus());
  }
  void End() {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    Tick(std::chrono::seconds(4));
  }

 private:
  std::atomic<int> calls_ = 0;
  std::mutex mutex_;
  std::unique_ptr<Batch> kept_;
  Completion done_;
  Duration kept_for_{0};
  bool ending_ = false;
};

// The frames of a stream and the logits that they must give.
struct Expected {
  Expected(const Model& model, int seed) : frames(kFrames * model.input_columns()) {
    std::mt19937 random(seed);
    for (int8_t& v : frames) v = static_cast<int8_t>(random());
    logits.resize(kFrames * model.num_units());
    StreamState state(model);
    for (int t = 0; t < kFrames; ++t) {
      ReferenceStep(model, frames.data() + t * model.input_columns(), &state,
                    logits.data() + t * model.num_units());
    }
  }
  std::vector<int8_t> frames;
  std::vector<int32_t> logits;
};

enum class Kind { kReference, kCpu };

std::vector<std::unique_ptr<Channel>> MakeChannels(Kind kind, std::shared_ptr<const Model> model) {
  std::vector<std::unique_ptr<Channel>> channels;
  if (kind == Kind::kReference) {
    for (const char* name : kChannels) {
      channels.push_back(std::make_unique<ReferenceChannel>(model, name, 16));
    }
    return channels;
  }
  auto made = CreateCpuChannels(model, {.count = static_cast<int>(std::size(kChannels))});
  EXPECT_EQ(made.status(), absl::OkStatus());
  return *std::move(made);
}

class SchedulerStressTest : public ::testing::TestWithParam<Kind> {
 protected:
  SchedulerStressTest() {
    std::vector<std::unique_ptr<Channel>> channels = MakeChannels(GetParam(), model_);
    auto good = std::make_unique<WatchedChannel>(std::move(channels[0]));
    auto late = std::make_unique<LateChannel>(std::move(channels[2]));
    good_ = good.get();
    late_ = late.get();
    channels[0] = std::move(good);
    channels[1] = std::make_unique<FlakyChannel>(std::move(channels[1]));
    channels[2] = std::move(late);
    scheduler_ = std::make_unique<Scheduler>(
        model_, std::move(channels),
        SchedulerOptions{
            .max_queued_frames = 20, .max_frames_per_lane = 4, .max_load = 0, .max_attempts = 1000},
        &clock_, &metrics_);
    time_ = std::thread([this] { LetTimePass(); });
  }
  ~SchedulerStressTest() override { End(); }

  // Advances the clock so that the good channel is never overdue. Each batch that it completes
  // advances the clock. While it has no batch, the scheduler may be about to submit one whose time
  // has already begun, on a thread that is waiting for a processor. Therefore the clock then runs
  // at most ten times as fast as real time, which gives such a thread a fifth of a second.
  void LetTimePass() {
    while (!ending_) {
      Duration passed{0};
      if (good_->GotOn()) {
        passed = std::chrono::milliseconds(100);
      } else if (!good_->busy()) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        passed = std::chrono::milliseconds(10);
      }
      clock_.Advance(passed);
      late_->Tick(passed);
      std::this_thread::yield();
    }
  }

  // REQUIRES: all streams have been destroyed.
  void End() {
    if (scheduler_ == nullptr) return;
    EXPECT_EQ(scheduler_->open_streams(), 0);
    ending_ = true;
    time_.join();
    late_->End();
    scheduler_.reset();
  }

  // A stream and its results so far. It has no lock, because callbacks of one stream must not be
  // concurrent.
  struct Listener {
    std::unique_ptr<Scheduler::Stream> stream;
    std::vector<int32_t> logits;
    int pushed = 0;
    std::atomic<int> done = 0;
    std::atomic<bool> running = false;
  };

  void Listen(Listener* listener) {
    auto stream = scheduler_->Open({}, [listener](const StreamResult& result) {
      EXPECT_FALSE(listener->running.exchange(true));
      EXPECT_EQ(result.status, absl::OkStatus());
      EXPECT_EQ(result.first_frame, listener->done);
      listener->logits.insert(listener->logits.end(), result.logits.begin(), result.logits.end());
      listener->running = false;
      listener->done += result.num_frames;
    });
    ASSERT_EQ(stream.status(), absl::OkStatus());
    listener->stream = *std::move(stream);
  }

  // Pushes the frames of all streams in random chunks and random order. Destroys some streams
  // halfway.
  void PushAll(int thread) {
    std::mt19937 random(thread);
    std::vector<Listener> listeners(kStreamsPerThread);
    for (Listener& listener : listeners) Listen(&listener);
    const int dim = model_->input_columns();
    for (int finished = 0; finished < kStreamsPerThread;) {
      const int i = random() % kStreamsPerThread;
      Listener& listener = listeners[i];
      const Expected& expected = expected_[i];
      if (listener.stream == nullptr) continue;
      const int n = std::min<int>(1 + random() % 9, kFrames - listener.pushed);
      if (i % 5 == 0 && listener.pushed > kFrames / 2) {
        listener.stream.reset();
        const std::vector<int32_t> some(expected.logits.begin(),
                                        expected.logits.begin() + listener.logits.size());
        EXPECT_EQ(listener.logits, some);
        ++finished;
      } else if (n > 0) {
        const int room = listener.stream->room();
        const absl::Status status = listener.stream->Push(
            absl::MakeSpan(expected.frames).subspan(listener.pushed * dim, n * dim));
        if (n <= room) {
          ASSERT_EQ(status, absl::OkStatus());
        }
        if (status.ok()) {
          listener.pushed += n;
        } else {
          ASSERT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
          std::this_thread::yield();
        }
      } else if (listener.done == kFrames) {
        listener.stream.reset();
        EXPECT_EQ(listener.logits, expected.logits);
        ++finished;
      } else {
        std::this_thread::yield();
      }
    }
  }

  // Opens streams and destroys them at any moment of a batch's life, some in their own callback.
  void CancelMany(int thread) {
    constexpr int kStreams = 500;
    struct Life {
      std::atomic<bool> ended = false;  // whether the destructor has returned
      std::atomic<bool> pushed = false;
      std::atomic<int> results = 0;
      std::unique_ptr<Scheduler::Stream> stream;
    };
    std::mt19937 random(thread);
    const std::vector<int8_t> frames(6 * model_->input_columns(), 1);
    for (int i = 0; i < kStreams; ++i) {
      auto life = std::make_shared<Life>();
      const bool in_callback = random() % 4 == 0;
      const StreamOptions options = {.tenant = std::string(1, 'a' + random() % 3),
                                     .priority = static_cast<int>(random() % 3)};
      auto stream = scheduler_->Open(options, [life, in_callback](const StreamResult& result) {
        EXPECT_EQ(result.status, absl::OkStatus());
        EXPECT_FALSE(life->ended);
        while (in_callback && !life->pushed) std::this_thread::yield();  // one thread at a time
        if (in_callback) life->stream.reset();
        ++life->results;
      });
      ASSERT_EQ(stream.status(), absl::OkStatus());
      life->stream = *std::move(stream);
      Scheduler::Stream& handle = *life->stream;
      if (in_callback) {
        ASSERT_EQ(handle.Push(frames), absl::OkStatus());
        life->pushed = true;
        while (life->results == 0) std::this_thread::yield();
      } else {
        for (int chunk = random() % 3; chunk >= 0; --chunk) {
          ASSERT_EQ(handle.Push(frames), absl::OkStatus());
        }
        for (int spins = random() % 100; spins > 0; --spins) std::this_thread::yield();
        life->stream.reset();
        life->ended = true;
        const std::weak_ptr<Life> gone = std::exchange(life, nullptr);
        EXPECT_TRUE(gone.expired()) << "its callback should be freed with it";
      }
    }
  }

  void RunThreads(const std::function<void(int)>& work) {
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) threads.emplace_back([&work, i] { work(i); });
    for (std::thread& thread : threads) thread.join();
    End();
  }

  const std::shared_ptr<const Model> model_ = RandomModel(
      {.inputs = 5, .layers = {{.cells = 12, .projection = 6}, {.cells = 8}}, .units = 7});
  FakeClock clock_;
  MetricsRegistry registry_;
  SchedulerMetrics metrics_{&registry_, {{"model", "test"}}};
  std::vector<Expected> expected_;
  std::unique_ptr<Scheduler> scheduler_;
  WatchedChannel* good_;
  LateChannel* late_;
  std::atomic<bool> ending_ = false;
  std::thread time_;
};

TEST_P(SchedulerStressTest, EveryLogitEqualsTheReference) {
  for (int i = 0; i < kStreamsPerThread; ++i) expected_.emplace_back(*model_, i);
  RunThreads([this](int thread) { PushAll(thread); });
  EXPECT_GE(metrics_.frames->Value(), 0.8 * kThreads * kStreamsPerThread * kFrames);
  EXPECT_GT(metrics_.ForChannel("cpu1").failures->Value(), 0);
  EXPECT_GT(metrics_.ForChannel("cpu2").overruns->Value(), 0);
  EXPECT_EQ(metrics_.ForChannel("cpu0").failures->Value(), 0);
  EXPECT_EQ(metrics_.ForChannel("cpu0").overruns->Value(), 0);
  EXPECT_EQ(metrics_.streams->Value(), 0);
}

TEST_P(SchedulerStressTest, ThousandsOfCancelsThatRaceWithCompletions) {
  RunThreads([this](int thread) { CancelMany(thread); });
  EXPECT_EQ(metrics_.streams_opened->Value(), kThreads * 500);
  EXPECT_EQ(metrics_.streams->Value(), 0);
}

INSTANTIATE_TEST_SUITE_P(, SchedulerStressTest, ::testing::Values(Kind::kReference, Kind::kCpu),
                         [](const auto& info) {
                           return info.param == Kind::kCpu ? "Cpu" : "Reference";
                         });

}  // namespace
}  // namespace ese
