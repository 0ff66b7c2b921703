// SPDX-License-Identifier: Apache-2.0
// What clients can do wrong over the wire. Each fault ends its own call, with a code and a message
// that gives the reason and the remedy. It does not affect a stream that runs at the same time.
#include <limits>
#include <memory>

#include "absl/strings/str_cat.h"
#include "grpcpp/generic/generic_stub.h"
#include "gtest/gtest.h"
#include "tests/stream_client.h"
#include "tests/test_server.h"

namespace ese {
namespace {

// A bystander has a stream open during the whole test and sends half of it before the fault and
// half after it.
class FaultTest : public testing::Test {
 protected:
  FaultTest()
      : model_(MakeAudioModel("speech", 1)),
        server_({model_}, 1),
        content_(MakeContent(*model_, ContentKind::kFloat32, 60, 1)),
        bystander_content_(MakeContent(*model_, ContentKind::kAudio, 60, 2)),
        stub_(server_.NewStub()),
        bystander_stub_(server_.NewStub()),
        bystander_(std::make_unique<StreamClient>(bystander_stub_.get())) {}

  void SetUp() override {
    const std::string& bytes = bystander_content_.bytes;
    ASSERT_TRUE(bystander_->SendConfig(bystander_content_.config));
    ASSERT_TRUE(bystander_->SendChunk(bytes.substr(0, bytes.size() / 4 * 2)));
    ASSERT_TRUE(bystander_->ReadUntilChunksDone(1));
  }

  void TearDown() override {
    // Only the bystander is left in the scheduler.
    EXPECT_TRUE(Eventually([&] { return server_.open_streams() == 1; }));
    const std::string& bytes = bystander_content_.bytes;
    ASSERT_TRUE(bystander_->SendChunk(bytes.substr(bytes.size() / 4 * 2)));
    bystander_->HalfClose();
    ExpectAnswersOf(bystander_content_, bystander_->Finish());
  }

  void ExpectConfigRefused(const v1::StreamingConfig& config, grpc::StatusCode code,
                           const std::string& message) {
    ExpectError(RunStream(stub_.get(), config, {content_.bytes}).status, code, message);
  }
  // Sends the bad chunk after good frames, in the middle of a stream.
  void ExpectChunkRefused(const std::string& chunk, const std::string& message) {
    const StreamOutcome outcome =
        RunStream(stub_.get(), content_.config, {content_.bytes, chunk, content_.bytes});
    ExpectError(outcome.status, grpc::StatusCode::INVALID_ARGUMENT, message);
    EXPECT_EQ(outcome.defect, "");
    EXPECT_FALSE(outcome.is_final);
  }

  const std::shared_ptr<const Model> model_;
  TestServer server_;
  const StreamContent content_;
  const StreamContent bystander_content_;
  const std::unique_ptr<v1::SpeechInference::Stub> stub_;
  const std::unique_ptr<v1::SpeechInference::Stub> bystander_stub_;
  const std::unique_ptr<StreamClient> bystander_;
};

TEST_F(FaultTest, UnknownModel) {
  v1::StreamingConfig config = content_.config;
  config.set_model("speach");
  ExpectConfigRefused(config, grpc::StatusCode::NOT_FOUND, "\"speach\"; this server has: speech");
}

TEST_F(FaultTest, WrongFeatureDimension) {
  v1::StreamingConfig config = content_.config;
  config.mutable_features()->set_dim(40);
  ExpectConfigRefused(config, grpc::StatusCode::INVALID_ARGUMENT,
                      "dim is 40, but model \"speech\" takes frames of 12 values");
}

TEST_F(FaultTest, WrongSampleRate) {
  v1::StreamingConfig config = content_.config;
  config.mutable_audio()->set_sample_rate_hz(16000);
  ExpectConfigRefused(config, grpc::StatusCode::INVALID_ARGUMENT, "resample");
}

TEST_F(FaultTest, ConfigWithoutAKindOfInput) {
  v1::StreamingConfig config = content_.config;
  config.clear_input();
  ExpectConfigRefused(config, grpc::StatusCode::INVALID_ARGUMENT, "config has no input");
}

TEST_F(FaultTest, NonFiniteFeatures) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float bad : {nan, infinity, -infinity}) {
    std::vector<float> frames = ToFloats(content_.bytes);
    frames[3 * 12 + 7] = bad;
    ExpectChunkRefused(ToBytes(frames), "frame 63, value 7 is");
  }
}

TEST_F(FaultTest, EmptyChunk) { ExpectChunkRefused("", "chunk is empty"); }

TEST_F(FaultTest, ChunkWithHalfAFrame) {
  ExpectChunkRefused(content_.bytes.substr(0, 24), "a frame is 12 FLOAT32 values, 48 bytes");
  ExpectChunkRefused(content_.bytes.substr(0, 71), "chunk of 71 bytes");
}

TEST_F(FaultTest, ChunkWithHalfASample) {
  const StreamOutcome outcome = RunStream(stub_.get(), bystander_content_.config, {"\1\2", "\3"});
  ExpectError(outcome.status, grpc::StatusCode::INVALID_ARGUMENT, "whole number of samples");
}

TEST_F(FaultTest, ContentBeforeTheConfig) {
  StreamClient stream(stub_.get());
  ASSERT_TRUE(stream.SendChunk(content_.bytes));
  ExpectError(stream.Finish().status, grpc::StatusCode::FAILED_PRECONDITION, "config first");
}

TEST_F(FaultTest, NoConfig) {
  StreamClient stream(stub_.get());
  stream.HalfClose();
  ExpectError(stream.Finish().status, grpc::StatusCode::FAILED_PRECONDITION, "config first");
}

TEST_F(FaultTest, ConfigSentTwice) {
  StreamClient stream(stub_.get());
  ASSERT_TRUE(stream.SendConfig(content_.config));
  ASSERT_TRUE(stream.SendChunk(content_.bytes));
  ASSERT_TRUE(stream.SendConfig(content_.config));
  ExpectError(stream.Finish().status, grpc::StatusCode::FAILED_PRECONDITION, "a second config");
}

TEST_F(FaultTest, RequestWithNeitherConfigNorChunk) {
  grpc::ClientContext context;
  const auto call = stub_->StreamingInfer(&context);
  ASSERT_TRUE(call->Write({}));
  ExpectError(call->Finish(), grpc::StatusCode::INVALID_ARGUMENT, "neither config nor chunk");
}

TEST_F(FaultTest, BytesThatAreNotARequest) {
  grpc::GenericStub generic(server_.Connect());
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  void* tag = nullptr;
  bool ok = false;
  const auto call = generic.PrepareCall(&context, "/ese.v1.SpeechInference/StreamingInfer", &queue);
  call->StartCall(nullptr);
  ASSERT_TRUE(queue.Next(&tag, &ok) && ok);
  const grpc::Slice garbage("\xff\xff\xff\xff");
  call->Write(grpc::ByteBuffer(&garbage, 1), nullptr);
  ASSERT_TRUE(queue.Next(&tag, &ok) && ok);
  grpc::Status status;
  call->Finish(&status, nullptr);
  ASSERT_TRUE(queue.Next(&tag, &ok));
  ExpectError(status, grpc::StatusCode::INVALID_ARGUMENT,
              "is not of the type ese.v1.StreamingInferRequest");
}

TEST_F(FaultTest, MessageThatIsTooLong) {
  const StreamOutcome outcome =
      RunStream(stub_.get(), content_.config, {content_.bytes, std::string(2 << 20, '\0')});
  ExpectError(outcome.status, grpc::StatusCode::RESOURCE_EXHAUSTED, "larger than max");
}

TEST_F(FaultTest, AcceptsTheLargestAllowedMessage) {
  // Eight bytes are for the tag and the length of the field.
  const size_t frames = ((1 << 20) - 8) / content_.sample_bytes;
  const StreamOutcome outcome =
      RunStream(stub_.get(), content_.config, {std::string(frames * content_.sample_bytes, '\0')});
  EXPECT_TRUE(outcome.status.ok()) << outcome.status.error_message();
  EXPECT_EQ(outcome.frames, static_cast<int64_t>(frames));
}

TEST_F(FaultTest, ClientThatCancelsMidStream) {
  StreamClient stream(stub_.get());
  ASSERT_TRUE(stream.Begin(content_.config, content_.bytes));
  EXPECT_EQ(server_.open_streams(), 2);
  stream.Cancel();
  EXPECT_TRUE(Eventually([&] { return server_.open_streams() == 1; }));
  EXPECT_EQ(stream.Finish().status.error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(Eventually([&] {
    return server_.metrics().Render().find("ese_rpc_streams_total{code=\"CANCELLED\"} 1") !=
           std::string::npos;
  }));
}

TEST_F(FaultTest, ClientThatDisconnectsMidStream) {
  {
    const auto stub = server_.NewStub();
    StreamClient stream(stub.get());
    ASSERT_TRUE(stream.Begin(content_.config, content_.bytes));
    EXPECT_EQ(server_.open_streams(), 2);
  }
  EXPECT_TRUE(Eventually([&] { return server_.open_streams() == 1; }));
}

TEST_F(FaultTest, ClientWhoseDeadlinePasses) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(200));
  const auto call = stub_->StreamingInfer(&context);
  v1::StreamingInferRequest request;
  *request.mutable_config() = content_.config;
  call->Write(request);
  v1::StreamingInferResponse response;
  while (call->Read(&response)) {
  }
  EXPECT_EQ(call->Finish().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
}

TEST_F(FaultTest, ManyClientsThatDisappearAtAnyMoment) {
  for (int i = 0; i < 100; ++i) {
    StreamClient stream(stub_.get());
    if (i % 4 == 0) continue;  // destroyed before its config
    stream.SendConfig(content_.config);
    if (i % 4 == 1) continue;
    stream.SendChunk(content_.bytes);
    if (i % 4 == 2) continue;
    stream.ReadUntilChunksDone(1);
  }
}

}  // namespace
}  // namespace ese
