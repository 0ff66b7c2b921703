// SPDX-License-Identifier: Apache-2.0
#include "accel/cpu/cpu_channel.h"

#include <sched.h>

#include <cstdlib>
#include <latch>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "accel/cpu/kernels/kernel_registry.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/reference.h"
#include "model/testing.h"

namespace ese {
namespace {

using ::testing::HasSubstr;

// One stream of `frames` frames, with the buffers for its batch and the results of the reference.
struct Work {
  Work(const Model& model, int frames, int seed = 1)
      : x(frames * model.input_columns()),
        logits(frames * model.num_units()),
        expected_logits(logits.size()),
        state(model),
        next_state(model),
        expected_state(model) {
    for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<int8_t>(seed * 37 + i * 11);
    for (int t = 0; t < frames; ++t) {
      ReferenceStep(model, &x[t * model.input_columns()], &expected_state,
                    &expected_logits[t * model.num_units()]);
    }
  }

  std::unique_ptr<Batch> MakeBatch() {
    auto batch = std::make_unique<Batch>();
    batch->lanes.push_back({.frames = x,
                            .state_in = &state,
                            .state_out = &next_state,
                            .logits = absl::MakeSpan(logits)});
    return batch;
  }

  void ExpectDone() const {
    EXPECT_EQ(logits, expected_logits);
    EXPECT_EQ(absl::MakeSpan(next_state.c), absl::MakeSpan(expected_state.c));
    EXPECT_EQ(absl::MakeSpan(next_state.y), absl::MakeSpan(expected_state.y));
  }

  std::vector<int8_t> x;
  std::vector<int32_t> logits, expected_logits;
  StreamState state, next_state, expected_state;
};

class CpuChannelTest : public ::testing::Test {
 protected:
  void SetUp() override {
    unsetenv(kKernelVariable);
    channel_ = MakeChannel();
  }
  void TearDown() override { unsetenv(kKernelVariable); }

  std::unique_ptr<Channel> MakeChannel() { return std::move(CreateCpuChannels(model_)->front()); }

  // Waits for a completion and keeps its arguments.
  struct Answer {
    std::latch called{1};
    std::unique_ptr<Batch> batch;
    absl::Status status;

    Channel::Completion Completion() {
      return [this](std::unique_ptr<Batch> b, absl::Status s) {
        batch = std::move(b);
        status = std::move(s);
        called.count_down();
      };
    }
  };

  std::shared_ptr<const Model> model_ = RandomModel({.layers = {{.cells = 12, .projection = 6}}});
  std::unique_ptr<Channel> channel_;
};

TEST_F(CpuChannelTest, ExecutesABatchAndReturnsIt) {
  Work work(*model_, 3);
  auto batch = work.MakeBatch();
  Batch* const address = batch.get();
  Answer answer;
  ASSERT_TRUE(channel_->Submit(&batch, answer.Completion()).ok());
  EXPECT_EQ(batch, nullptr);
  answer.called.wait();
  EXPECT_TRUE(answer.status.ok()) << answer.status;
  EXPECT_EQ(answer.batch.get(), address);
  EXPECT_EQ(answer.batch->lanes[0].state_out, &work.next_state);
  EXPECT_EQ(answer.batch->steps, 3);
  EXPECT_GT(answer.batch->compute_time, Duration(0));
  work.ExpectDone();
}

TEST_F(CpuChannelTest, HasItsOwnNameAndThatOfItsKernel) {
  EXPECT_EQ(channel_->max_lanes(), 64);
  EXPECT_EQ(channel_->name(), "cpu0");
  EXPECT_EQ(channel_->kernel(), SupportedKernels().front()->name());
}

TEST_F(CpuChannelTest, TheVariableChoosesTheKernel) {
  setenv(kKernelVariable, "portable", 1);
  EXPECT_EQ(MakeChannel()->kernel(), "portable");
}

TEST_F(CpuChannelTest, AnUnknownKernelIsAnErrorThatNamesTheVariable) {
  setenv(kKernelVariable, "fpga", 1);
  const absl::Status status = CreateCpuChannels(model_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("ESE_CPU_KERNEL"));
}

TEST_F(CpuChannelTest, AChannelMayHaveSeveralThreads) {
  auto channels = CreateCpuChannels(model_, {.kernel = "portable", .threads = 2});
  ASSERT_TRUE(channels.ok()) << channels.status();
  for (int i = 0; i < 3; ++i) {
    Work work(*model_, 3);
    auto batch = work.MakeBatch();
    Answer answer;
    ASSERT_TRUE(channels->front()->Submit(&batch, answer.Completion()).ok());
    answer.called.wait();
    EXPECT_TRUE(answer.status.ok()) << answer.status;
    work.ExpectDone();
  }
}

TEST_F(CpuChannelTest, AChannelNeedsAThread) {
  const absl::Status status = CreateCpuChannels(model_, {.threads = 0}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("a channel cannot have 0 threads"));
}

TEST_F(CpuChannelTest, SeveralThreadsNeedAKernelWithLookup) {
  for (const Kernel* kernel : SupportedKernels()) {
    const absl::Status status =
        CreateCpuChannels(model_, {.kernel = kernel->name(), .threads = 2}).status();
    if (kernel->lookup() != nullptr) {
      EXPECT_TRUE(status.ok()) << status;
      continue;
    }
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(status.message(), HasSubstr("cannot divide a step"));
  }
}

TEST_F(CpuChannelTest, AMissingProcessorIsAnError) {
  const absl::Status status = CreateCpuChannels(model_, {.first_processor = 1 << 20}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("cannot pin channel cpu0 to processor 1048576"));
}

// The completion runs on the worker's thread, so it sees on which processors that thread may run.
TEST_F(CpuChannelTest, AWorkerCanBePinned) {
  cpu_set_t allowed;
  ASSERT_EQ(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
  int last = 0;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &allowed)) last = cpu;
  }
  auto channels = CreateCpuChannels(model_, {.first_processor = last});
  ASSERT_TRUE(channels.ok()) << channels.status();
  Work work(*model_, 1);
  auto batch = work.MakeBatch();
  std::latch called{1};
  cpu_set_t worker;
  CPU_ZERO(&worker);
  ASSERT_TRUE(channels->front()
                  ->Submit(&batch,
                           [&](std::unique_ptr<Batch>, absl::Status) {
                             sched_getaffinity(0, sizeof(worker), &worker);
                             called.count_down();
                           })
                  .ok());
  called.wait();
  EXPECT_EQ(CPU_COUNT(&worker), 1);
  EXPECT_TRUE(CPU_ISSET(last, &worker));
}

TEST_F(CpuChannelTest, RefusesABadBatchAndLeavesItToTheCaller) {
  Work work(*model_, 2);
  auto batch = work.MakeBatch();
  batch->lanes[0].logits.remove_suffix(1);
  const absl::Status status = channel_->Submit(
      &batch, [](std::unique_ptr<Batch>, absl::Status) { ADD_FAILURE() << "completion called"; });
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  ASSERT_NE(batch, nullptr);
  EXPECT_EQ(batch->lanes.size(), 1u);
}

TEST_F(CpuChannelTest, RefusesMoreLanesThanItHas) {
  Work work(*model_, 1);
  auto batch = work.MakeBatch();
  batch->lanes.resize(65, batch->lanes[0]);
  EXPECT_EQ(channel_->Submit(&batch, nullptr).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(batch, nullptr);
}

// While a completion blocks the worker, the channel accepts one more batch and refuses the next.
TEST_F(CpuChannelTest, ABusyChannelRefusesABatchAndLeavesItAlone) {
  Work first(*model_, 1), second(*model_, 2), third(*model_, 1);
  std::latch in_completion{1}, go_on{1};
  auto batch = first.MakeBatch();
  ASSERT_TRUE(channel_
                  ->Submit(&batch,
                           [&](std::unique_ptr<Batch>, absl::Status) {
                             in_completion.count_down();
                             go_on.wait();
                           })
                  .ok());
  in_completion.wait();

  Answer answer;
  batch = second.MakeBatch();
  ASSERT_TRUE(channel_->Submit(&batch, answer.Completion()).ok());
  batch = third.MakeBatch();
  const absl::Status status = channel_->Submit(
      &batch, [](std::unique_ptr<Batch>, absl::Status) { ADD_FAILURE() << "completion called"; });
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr("cpu0 is busy"));
  EXPECT_NE(batch, nullptr);

  go_on.count_down();
  answer.called.wait();
  second.ExpectDone();
}

TEST_F(CpuChannelTest, ACompletionMaySubmitTheNextBatch) {
  constexpr int kBatches = 100;
  Work work(*model_, 1);
  std::latch finished{1};
  int completed = 0;
  Channel::Completion again = [&](std::unique_ptr<Batch> batch, absl::Status status) {
    EXPECT_TRUE(status.ok()) << status;
    if (++completed == kBatches) {
      finished.count_down();
      return;
    }
    EXPECT_TRUE(channel_->Submit(&batch, again).ok());
  };
  auto batch = work.MakeBatch();
  ASSERT_TRUE(channel_->Submit(&batch, again).ok());
  finished.wait();
  EXPECT_EQ(completed, kBatches);
  work.ExpectDone();
}

TEST_F(CpuChannelTest, TheDestructorFinishesAcceptedBatches) {
  for (int i = 0; i < 50; ++i) {
    Work work(*model_, 20, i);
    bool called = false;
    auto batch = work.MakeBatch();
    ASSERT_TRUE(channel_
                    ->Submit(&batch,
                             [&](std::unique_ptr<Batch>, absl::Status status) {
                               EXPECT_TRUE(status.ok());
                               called = true;
                             })
                    .ok());
    channel_.reset();
    EXPECT_TRUE(called);
    work.ExpectDone();
    channel_ = MakeChannel();
  }
}

TEST_F(CpuChannelTest, ChannelsWorkAtTheSameTime) {
  const auto channels = *CreateCpuChannels(model_, {.count = 2});
  ASSERT_EQ(channels.size(), 2u);
  EXPECT_EQ(channels[1]->name(), "cpu1");
  Work one(*model_, 4, 1), two(*model_, 5, 2);
  Answer first, second;
  auto batch = one.MakeBatch();
  ASSERT_TRUE(channels[0]->Submit(&batch, first.Completion()).ok());
  batch = two.MakeBatch();
  ASSERT_TRUE(channels[1]->Submit(&batch, second.Completion()).ok());
  first.called.wait();
  second.called.wait();
  one.ExpectDone();
  two.ExpectDone();
}

}  // namespace
}  // namespace ese
