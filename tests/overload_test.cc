// SPDX-License-Identifier: Apache-2.0
// More streams than the server can take. It refuses new ones and keeps serving those that it has.
#include <atomic>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/bystander.h"

namespace ese {
namespace {

using ::testing::HasSubstr;

int64_t ResidentBytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    int64_t kilobytes = 0;
    if (line.starts_with("VmRSS:") &&
        absl::SimpleAtoi(line.substr(6, line.size() - 6 - 3), &kilobytes)) {
      return kilobytes << 10;
    }
  }
  return 0;
}

class OverloadTest : public BystanderTest {};

TEST_F(OverloadTest, RefusesAHundredThousandStreamsAboveTheLimit) {
  constexpr int kAttempts = kSanitized ? 4000 : 100000;
  constexpr int kThreads = 4, kAtOnce = 100;
  ServingOptions options;
  options.scheduler.max_streams = 8;
  Start(options);
  bystander_->AwaitAnswers(1);
  std::vector<std::unique_ptr<StreamClient>> open;
  while (open.size() < 7) {
    open.push_back(std::make_unique<StreamClient>(stub_.get()));
    ASSERT_TRUE(open.back()->Begin(content_.config, content_.bytes));
  }
  std::atomic<int> refused = 0, others = 0;
  const auto rush = [&](int attempts) {
    const auto stub = server_->NewStub();
    for (int done = 0; done < attempts; done += kAtOnce) {
      std::vector<std::unique_ptr<StreamClient>> streams;
      for (int i = 0; i < kAtOnce; ++i) {
        streams.push_back(std::make_unique<StreamClient>(stub.get()));
        streams.back()->SendConfig(content_.config);
        streams.back()->HalfClose();
      }
      for (const auto& stream : streams) {
        const StreamOutcome outcome = stream->Finish();
        const bool is_refused = outcome.status.error_code() == grpc::StatusCode::UNAVAILABLE &&
                                !outcome.retry_after_ms.empty();
        ++(is_refused ? refused : others);
      }
    }
  };
  const auto rush_in_threads = [&](int attempts) {
    std::vector<std::jthread> threads;
    for (int i = 0; i < kThreads; ++i) threads.emplace_back(rush, attempts / kThreads);
  };
  const int answers = bystander_->answers();
  rush_in_threads(kAttempts / 2);
  const int64_t before = ResidentBytes();
  rush_in_threads(kAttempts / 2);
  EXPECT_EQ(refused, kAttempts);
  EXPECT_EQ(others, 0);
  EXPECT_GT(bystander_->answers(), answers);
  if (!kSanitized) {
    EXPECT_LT(ResidentBytes() - before, 16 << 20);
  }
  for (const auto& stream : open) {
    stream->HalfClose();
    ExpectAnswersOf(content_, stream->Finish());
  }
  open.clear();
  ExpectAllFree();
}

// A processor that the test makes busy or idle.
class FakeProcessor final : public ProcessorBudget {
 public:
  double processors() const override { return 1; }
  Duration Taken() const override {
    const TimePoint now = Clock::Real()->Now();
    if (busy) taken_ += now - read_at_;
    read_at_ = now;
    return taken_;
  }

  std::atomic<bool> busy = false;

 private:
  mutable TimePoint read_at_ = Clock::Real()->Now();  // used by one thread at a time
  mutable Duration taken_{0};
};

TEST_F(OverloadTest, AServerWithBusyProcessorsRefusesNewStreamsAndServesOpenOnes) {
  FakeProcessor processor;
  ServingOptions options;
  options.scheduler.processors = &processor;
  // Makes admission depend only on the processors, not on the load or on waits.
  options.scheduler.max_load = 1e9;
  options.scheduler.target_latency = std::chrono::seconds(3);
  server_ = std::make_unique<TestServer>(std::vector{model_}, 1, options);
  stub_ = server_->NewStub();
  StreamClient open(stub_.get());
  const size_t half = 10 * content_.sample_bytes;
  ASSERT_TRUE(open.Begin(content_.config, content_.bytes.substr(0, half)));
  const auto attempt = [&] { return RunStream(stub_.get(), content_.config, {content_.bytes}); };
  EXPECT_TRUE(Eventually([&] { return attempt().status.ok(); }));
  processor.busy = true;
  StreamOutcome refused;
  EXPECT_TRUE(Eventually([&] {
    refused = attempt();
    return !refused.status.ok();
  }));
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(refused.status.error_message(), HasSubstr("of this server's processors"));
  EXPECT_NE(refused.retry_after_ms, "");
  ASSERT_TRUE(open.SendChunk(content_.bytes.substr(half)));
  open.HalfClose();
  ExpectAnswersOf(content_, open.Finish());
  processor.busy = false;
  EXPECT_TRUE(Eventually([&] { return attempt().status.ok(); }));
  server_->server().Stop();
  server_.reset();  // before the processor
}

}  // namespace
}  // namespace ese
