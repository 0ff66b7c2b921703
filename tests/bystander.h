// SPDX-License-Identifier: Apache-2.0
// For tests in which many clients misbehave while one well-behaved stream runs.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <thread>

#include "gtest/gtest.h"
#include "tests/stream_client.h"
#include "tests/test_server.h"

namespace ese {

#ifdef ESE_SANITIZED  // by CMake: gcc and clang define different macros
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

// A stream on a thread of its own. Each chunk has one frame and is sent when the previous one is
// answered. The destructor ends the stream and expects the right results.
class Bystander {
 public:
  Bystander(const TestServer& server, const Model& model);

  int answers() const { return answers_; }
  // Repeats `action` until the bystander has received this many more answers.
  template <typename Action>
  void RepeatForAnswers(int more, Action action) {
    for (const int end = answers_ + more; answers_ < end && !ended_;) action();
    EXPECT_FALSE(ended_);
  }
  void AwaitAnswers(int more) {
    RepeatForAnswers(more, [] { std::this_thread::yield(); });
  }

 private:
  void Run(const std::stop_token& stop);

  const StreamContent content_;
  const std::unique_ptr<v1::SpeechInference::Stub> stub_;
  std::atomic<int> answers_ = 0;
  std::atomic<bool> ended_ = false;
  std::jthread thread_;
};

// A server with one channel, content for clients that misbehave, and a bystander.
class BystanderTest : public testing::Test {
 protected:
  void Start(const ServingOptions& options = {});
  // Expects that only the bystander's stream holds anything in the server, and nothing once it
  // ends.
  void ExpectAllFree();

  const std::shared_ptr<const Model> model_ = MakeAudioModel("m", 1);
  const StreamContent audio_ = MakeContent(*model_, ContentKind::kAudio, 20, 1);
  const StreamContent content_ = MakeContent(*model_, ContentKind::kInt16, 20, 1);
  std::unique_ptr<TestServer> server_;
  std::unique_ptr<v1::SpeechInference::Stub> stub_;
  std::unique_ptr<Bystander> bystander_;
};

}  // namespace ese
