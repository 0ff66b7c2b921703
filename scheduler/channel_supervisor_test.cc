// SPDX-License-Identifier: Apache-2.0
// Tests the supervisor alone, with batches that carry no streams. scheduler_fault_test.cc tests
// what happens to the streams.
#include "scheduler/channel_supervisor.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/fake_clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/testing.h"
#include "scheduler/testing.h"

namespace ese {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

const absl::Status kBroken = absl::InternalError("parity error");

class ChannelSupervisorTest : public ::testing::Test, public ChannelSupervisor::Client {
 protected:
  ChannelSupervisorTest() {
    for (int i = 0; i < 2; ++i) {
      auto puppet = std::make_unique<PuppetChannel>(model_, absl::StrCat("puppet", i), 4);
      puppets_.push_back(puppet.get());
      channels_.push_back(std::move(puppet));
    }
    supervisor_ = std::make_unique<ChannelSupervisor>(model_, std::move(channels_), &options_,
                                                      &clock_, nullptr, this);
    alarm_ = clock_.MakeAlarm([this] {
      if (standing_still_) return;
      supervisor_->GiveUpOverdue();
      supervisor_->StartTests();
      supervisor_->SetAlarm();
    });
    supervisor_->Start(alarm_.get());
  }
  ~ChannelSupervisorTest() override {
    for (PuppetChannel* puppet : puppets_) {
      while (puppet->busy()) puppet->Finish();
    }
    supervisor_->Stop();
    alarm_.reset();
  }

  void PassFirstTests() {
    for (PuppetChannel* puppet : puppets_) {
      while (puppet->busy()) puppet->Finish();
    }
  }

  // Submits a batch of one frame to the fastest channel and returns the channel.
  int SubmitBatch() {
    const auto free = supervisor_->Fastest(1);
    std::shared_ptr<BatchRun> run = supervisor_->Acquire(free.value().channel);
    Lane lane;
    lane.frames = frame_;
    lane.state_in = &state_in_;
    lane.state_out = &state_out_;
    lane.logits = {run->logits.data(), static_cast<size_t>(model_->num_units())};
    run->steps = 1;
    run->batch->lanes.push_back(lane);
    supervisor_->Submit(std::move(run));
    return free->channel;
  }

  void OnCompleted(const std::shared_ptr<BatchRun>& run, const absl::Status& status) override {
    events_.push_back(absl::StrCat("completed ", run->channel, " ", status.message()));
    if (status.ok()) {
      supervisor_->Release(run->channel, run->batch->steps, 1, run->batch->compute_time);
    } else {
      supervisor_->Fail(run->channel, status);
      supervisor_->StartTests();
    }
  }
  void OnRefused(const std::shared_ptr<BatchRun>& run, const absl::Status& error) override {
    events_.push_back(absl::StrCat("refused ", run->channel, " ", error.message()));
    supervisor_->Fail(run->channel, error);
  }
  void OnOverdue(const std::shared_ptr<BatchRun>& run, const absl::Status& error) override {
    events_.push_back(absl::StrCat("overdue ", run->channel, " ", error.message()));
  }
  void OnTested() override { ++tests_; }

  const std::shared_ptr<const Model> model_ = RandomModel({.inputs = 3, .units = 5});
  const SchedulerOptions options_;
  const std::vector<int8_t> frame_ = {1, 2, 3};
  const StreamState state_in_{*model_};
  StreamState state_out_{*model_};
  FakeClock clock_;
  std::vector<PuppetChannel*> puppets_;
  std::vector<std::unique_ptr<Channel>> channels_;
  std::vector<std::string> events_;
  int tests_ = 0;
  bool standing_still_ = false;  // if true, the alarm does nothing
  std::unique_ptr<ChannelSupervisor> supervisor_;
  std::unique_ptr<Alarm> alarm_;
};

TEST_F(ChannelSupervisorTest, NewChannelsAreFreeAfterTheirTests) {
  EXPECT_FALSE(supervisor_->Fastest(1).has_value());
  EXPECT_EQ(supervisor_->working(), 2);
  EXPECT_EQ(supervisor_->proven(), 0);
  EXPECT_EQ(supervisor_->Capacity(), 0);
  PassFirstTests();
  EXPECT_EQ(supervisor_->proven(), 2);
  EXPECT_GT(supervisor_->Capacity(), 0);
  EXPECT_EQ(supervisor_->Fastest(1).value().max_lanes, 4);
  EXPECT_EQ(tests_, 8) << "each channel has four tests";
  EXPECT_THAT(events_, SizeIs(0)) << "the client learns only of its own batches";
}

TEST_F(ChannelSupervisorTest, ACompletedBatchFreesItsChannel) {
  PassFirstTests();
  const int first = SubmitBatch(), second = SubmitBatch();
  EXPECT_NE(first, second);
  EXPECT_FALSE(supervisor_->Fastest(1).has_value());
  puppets_[first]->Finish();
  EXPECT_EQ(supervisor_->Fastest(1).value().channel, first);
  EXPECT_THAT(events_, ElementsAre(absl::StrCat("completed ", first, " ")));
}

TEST_F(ChannelSupervisorTest, AFailedBatchCausesATestBeforeTheNextBatch) {
  PassFirstTests();
  const int channel = SubmitBatch();
  puppets_[channel]->Fail(kBroken);
  EXPECT_THAT(events_, ElementsAre(absl::StrCat("completed ", channel, " parity error")));
  ASSERT_TRUE(puppets_[channel]->busy()) << "it should be running a test";
  EXPECT_EQ(supervisor_->Fastest(1).value().channel, 1 - channel);
  puppets_[channel]->Finish();
  SubmitBatch();
  EXPECT_EQ(supervisor_->Fastest(1).value().channel, channel);
}

TEST_F(ChannelSupervisorTest, ARefusedBatchIsReportedAndItsChannelTested) {
  PassFirstTests();
  puppets_[0]->Refuse(absl::UnavailableError("unplugged"));
  puppets_[1]->Refuse(absl::UnavailableError("unplugged"));
  const int channel = SubmitBatch();
  EXPECT_THAT(events_, ElementsAre(absl::StrCat("refused ", channel, " unplugged")));
  EXPECT_EQ(puppets_[channel]->refused(), 2) << "it refused the batch and a test";
}

TEST_F(ChannelSupervisorTest, GivesUpAnOverdueBatchOnceAndDoesNotReportItsLateEnd) {
  PassFirstTests();
  const int channel = SubmitBatch();
  clock_.Advance(seconds(2) - Duration(1));
  EXPECT_THAT(events_, SizeIs(0));
  clock_.Advance(Duration(1));
  ASSERT_THAT(events_, SizeIs(1));
  EXPECT_THAT(events_[0], HasSubstr(absl::StrCat("overdue ", channel, " channel puppet")));
  EXPECT_EQ(supervisor_->working(), 1);
  clock_.Advance(seconds(10));
  puppets_[channel]->Finish();
  EXPECT_THAT(events_, SizeIs(1));
  ASSERT_TRUE(puppets_[channel]->busy()) << "it should be running a test";
  puppets_[channel]->Finish();
  EXPECT_EQ(supervisor_->working(), 2);
}

// The alarm rang long after the batch was overdue, so the process itself was standing still.
TEST_F(ChannelSupervisorTest, DoesNotBlameTheChannelForAStandstillOfTheProcess) {
  PassFirstTests();
  const int channel = SubmitBatch();
  standing_still_ = true;
  clock_.Advance(seconds(60));
  standing_still_ = false;
  supervisor_->GiveUpOverdue();
  EXPECT_THAT(events_, SizeIs(0));
  puppets_[channel]->Finish();
  EXPECT_THAT(events_, ElementsAre(absl::StrCat("completed ", channel, " ")));
}

TEST_F(ChannelSupervisorTest, WithoutAWorkingChannelTheErrorNamesTheLastFailure) {
  for (PuppetChannel* puppet : puppets_) {
    puppet->Refuse(kBroken);
    puppet->Fail(kBroken);
  }
  clock_.Advance(seconds(1));
  EXPECT_EQ(supervisor_->working(), 0);
  const absl::Status error = supervisor_->NoChannelError();
  EXPECT_EQ(error.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(error.message()), HasSubstr("none of the 2 channels"));
  EXPECT_THAT(std::string(error.message()), HasSubstr("parity error"));
}

}  // namespace
}  // namespace ese
