// Many streams, random chunks, several threads and channels, two of which fail now and then: every
// logit must be what ReferenceStep says.
#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "accel/cpu/cpu_channel.h"
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
// As CreateCpuChannels names them; all but the first are made flaky.
constexpr const char* kChannels[] = {"cpu0", "cpu1", "cpu2"};

// Passes batches to another channel, and spoils or refuses one in five.
class FlakyChannel final : public Channel {
 public:
  explicit FlakyChannel(std::unique_ptr<Channel> channel) : channel_(std::move(channel)) {}

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
  int max_lanes() const override { return channel_->max_lanes(); }
  const std::string& name() const override { return channel_->name(); }
  const std::string& kernel() const override { return channel_->kernel(); }

 private:
  std::atomic<int> calls_ = 0;
  const std::unique_ptr<Channel> channel_;
};

// The frames of a stream and what must come of them.
struct Expected {
  Expected(const Model& model, int seed) : frames(kFrames * model.input_dim()) {
    std::mt19937 random(seed);
    for (int8_t& v : frames) v = static_cast<int8_t>(random());
    logits.resize(kFrames * model.num_units());
    StreamState state(model);
    for (int t = 0; t < kFrames; ++t) {
      ReferenceStep(model, frames.data() + t * model.input_dim(), &state,
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
    for (int i : {1, 2}) channels[i] = std::make_unique<FlakyChannel>(std::move(channels[i]));
    scheduler_ = std::make_unique<Scheduler>(
        model_, std::move(channels),
        SchedulerOptions{
            .max_queued_frames = 20, .max_frames_per_lane = 4, .max_load = 0, .max_attempts = 1000},
        &clock_, &metrics_);
  }

  // A stream's results so far. Not locked: callbacks of one stream must not be concurrent.
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

  // Pushes all streams' frames in random chunks, in random turns. Destroys some streams halfway.
  void PushAll(int thread) {
    std::mt19937 random(thread);
    std::vector<Listener> listeners(kStreamsPerThread);
    for (Listener& listener : listeners) Listen(&listener);
    const int dim = model_->input_dim();
    for (int finished = 0; finished < kStreamsPerThread;) {
      const int i = random() % kStreamsPerThread;
      Listener& listener = listeners[i];
      const Expected& expected = expected_[i];
      if (listener.stream == nullptr) continue;
      const int n = std::min<int>(1 + random() % 9, kFrames - listener.pushed);
      clock_.Advance(std::chrono::milliseconds(10));
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

  const std::shared_ptr<const Model> model_ = RandomModel(
      {.inputs = 5, .layers = {{.cells = 12, .projection = 6}, {.cells = 8}}, .units = 7});
  FakeClock clock_;
  MetricsRegistry registry_;
  SchedulerMetrics metrics_{&registry_, "test"};
  std::vector<Expected> expected_;
  std::unique_ptr<Scheduler> scheduler_;
};

TEST_P(SchedulerStressTest, EveryLogitEqualsTheReference) {
  for (int i = 0; i < kStreamsPerThread; ++i) expected_.emplace_back(*model_, i);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) threads.emplace_back([this, i] { PushAll(i); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(scheduler_->open_streams(), 0);
  scheduler_.reset();
  EXPECT_GE(metrics_.frames->Value(), 0.8 * kThreads * kStreamsPerThread * kFrames);
  EXPECT_GT(metrics_.ForChannel("cpu1").failures->Value(), 0);
  EXPECT_EQ(metrics_.ForChannel("cpu0").failures->Value(), 0);
  EXPECT_EQ(metrics_.streams->Value(), 0);
}

INSTANTIATE_TEST_SUITE_P(, SchedulerStressTest, ::testing::Values(Kind::kReference, Kind::kCpu),
                         [](const auto& info) {
                           return info.param == Kind::kCpu ? "Cpu" : "Reference";
                         });

}  // namespace
}  // namespace ese
