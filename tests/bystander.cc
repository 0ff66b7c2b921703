// SPDX-License-Identifier: Apache-2.0
#include "tests/bystander.h"

#include <chrono>
#include <vector>

namespace ese {

Bystander::Bystander(const TestServer& server, const Model& model)
    : content_(MakeContent(model, ContentKind::kInt16, kSanitized ? 20000 : 100000, 77)),
      stub_(server.NewStub()),
      thread_([this](std::stop_token stop) { Run(stop); }) {}

void Bystander::Run(const std::stop_token& stop) {
  StreamClient stream(stub_.get());
  bool ok = stream.SendConfig(content_.config);
  const auto frames = static_cast<int64_t>(content_.bytes.size() / content_.sample_bytes);
  while (ok && !stop.stop_requested() && answers_ < frames) {
    ok = stream.SendChunk(
             content_.bytes.substr(answers_ * content_.sample_bytes, content_.sample_bytes)) &&
         stream.ReadUntilChunksDone(answers_ + 1);
    if (ok) ++answers_;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ended_ = true;
  stream.HalfClose();
  StreamContent answered = content_;
  answered.log_posteriors.resize(answered.log_posteriors.size() / frames * answers_);
  std::erase_if(answered.units, [&](const DecodedUnit& unit) { return unit.frame >= answers_; });
  ExpectAnswersOf(answered, stream.Finish());
}

void BystanderTest::Start(const ServingOptions& options) {
  server_ = std::make_unique<TestServer>(std::vector{model_}, 1, options);
  stub_ = server_->NewStub();
  bystander_ = std::make_unique<Bystander>(*server_, *model_);
}

void BystanderTest::ExpectAllFree() {
  bystander_->AwaitAnswers(20);
  EXPECT_TRUE(Eventually([&] { return server_->open_streams() <= 1; }));
  bystander_.reset();
  EXPECT_TRUE(server_->server().WaitUntilIdle(std::chrono::seconds(30)));
  EXPECT_EQ(server_->open_streams(), 0);
}

}  // namespace ese
