// SPDX-License-Identifier: Apache-2.0
// The whole path. Streams over gRPC, through the scheduler and CPU channels, return the same bits
// as the normative reference does for each stream alone.
#include <atomic>
#include <random>
#include <thread>

#include "absl/strings/str_cat.h"
#include "accel/cpu/cpu_channel.h"
#include "gmock/gmock.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "grpcpp/generic/generic_stub.h"
#include "gtest/gtest.h"
#include "model/testing.h"
#include "tests/stream_client.h"
#include "tests/test_server.h"

namespace ese {
namespace {

using ::testing::HasSubstr;

TEST(EndToEndTest, OneStream) {
  const auto model = MakeAudioModel("m", 1);
  TestServer server({model});
  const StreamContent content = MakeContent(*model, ContentKind::kFloat32, 20, 1);
  const auto stub = server.NewStub();
  const StreamOutcome outcome = RunStream(stub.get(), content.config, content.Chunks(1));
  ExpectAnswersOf(content, outcome);
  EXPECT_EQ(outcome.chunks_done, static_cast<int64_t>(content.Chunks(1).size()));
}

// Invariant 3: other streams, chunking, encoding and channels make no difference.
TEST(EndToEndTest, SixtyFourStreamsAtOnceEachGetTheirOwnBits) {
  constexpr int kStreams = 64;
  const std::vector<std::shared_ptr<const Model>> models = {MakeAudioModel("a", 1),
                                                            MakeAudioModel("b", 2)};
  ServingOptions options;
  options.scheduler.max_queued_frames = 32;  // so that long chunks are pushed in parts
  TestServer server(models, 2, options);
  std::vector<StreamContent> contents;
  std::mt19937 random(5);
  for (uint32_t i = 0; i < kStreams; ++i) {
    const int frames = i == 0 ? 0 : static_cast<int>(1 + random() % 200);
    contents.push_back(MakeContent(*models[i % 2], kContentKinds[i % 3], frames, i));
  }
  std::vector<StreamOutcome> outcomes(kStreams);
  {
    // Some connections carry several streams.
    std::vector<std::unique_ptr<v1::SpeechInference::Stub>> stubs;
    for (int i = 0; i < 8; ++i) stubs.push_back(server.NewStub());
    std::vector<std::jthread> threads;
    for (int i = 0; i < kStreams; ++i) {
      threads.emplace_back([&, i] {
        outcomes[i] =
            RunStream(stubs[i % stubs.size()].get(), contents[i].config, contents[i].Chunks(i));
      });
    }
  }
  for (int i = 0; i < kStreams; ++i) {
    SCOPED_TRACE(absl::StrCat("stream ", i));
    ExpectAnswersOf(contents[i], outcomes[i]);
    EXPECT_EQ(outcomes[i].chunks_done, static_cast<int64_t>(contents[i].Chunks(i).size()));
  }
  EXPECT_TRUE(Eventually([&] { return server.open_streams() == 0; }));
  EXPECT_TRUE(Eventually([&] {
    return server.metrics().Render().find("ese_rpc_streams_total{code=\"OK\"} 64") !=
           std::string::npos;
  }));
  const std::string metrics = server.metrics().Render();
  size_t chunks = 0;
  for (int i = 0; i < kStreams; ++i) chunks += contents[i].Chunks(i).size();
  EXPECT_THAT(metrics, HasSubstr(absl::StrCat("ese_chunk_seconds_count ", chunks)));
}

TEST(EndToEndTest, AnswersAllChunksOfOneSampleAlthoughMostCompleteNoFrame) {
  const auto model = MakeAudioModel("m", 1);
  TestServer server({model});
  const StreamContent content = MakeContent(*model, ContentKind::kAudio, 4, 1);
  std::vector<std::string> chunks;
  for (size_t at = 0; at < content.bytes.size(); at += 2) {
    chunks.push_back(content.bytes.substr(at, 2));
  }
  const auto stub = server.NewStub();
  const StreamOutcome outcome = RunStream(stub.get(), content.config, chunks);
  ExpectAnswersOf(content, outcome);
  EXPECT_EQ(outcome.chunks_done, static_cast<int64_t>(chunks.size()));
}

TEST(EndToEndTest, AnswersEachChunkBeforeTheNextIsSent) {
  const auto model = MakeAudioModel("m", 1);
  TestServer server({model});
  const StreamContent content = MakeContent(*model, ContentKind::kAudio, 10, 1);
  const auto stub = server.NewStub();
  StreamClient stream(stub.get());
  ASSERT_TRUE(stream.SendConfig(content.config));
  int64_t sent = 0;
  for (const std::string& chunk : content.Chunks(2)) {
    ASSERT_TRUE(stream.SendChunk(chunk));
    ASSERT_TRUE(stream.ReadUntilChunksDone(++sent));
  }
  stream.HalfClose();
  ExpectAnswersOf(content, stream.Finish());
}

TEST(EndToEndTest, SendsOnlyWhatWasRequested) {
  const auto model = MakeAudioModel("m", 1);
  TestServer server({model});
  StreamContent content = MakeContent(*model, ContentKind::kInt16, 30, 1);
  content.config.set_return_posteriors(false);
  const auto stub = server.NewStub();
  const StreamOutcome units = RunStream(stub.get(), content.config, content.Chunks(1));
  EXPECT_TRUE(units.status.ok());
  EXPECT_EQ(units.frames, 30);
  EXPECT_TRUE(units.log_posteriors.empty());
  EXPECT_EQ(units.units, content.units);
  content.config.set_return_posteriors(true);
  content.config.set_return_units(false);
  const StreamOutcome posteriors = RunStream(stub.get(), content.config, content.Chunks(1));
  EXPECT_EQ(posteriors.log_posteriors, content.log_posteriors);
  EXPECT_TRUE(posteriors.units.empty());
}

TEST(EndToEndTest, ListsModels) {
  const auto audio = MakeAudioModel("with audio", 1);
  const auto plain = RandomModel({});
  TestServer server({audio, plain});
  grpc::ClientContext context;
  v1::ListModelsResponse response;
  ASSERT_TRUE(server.NewStub()->ListModels(&context, {}, &response).ok());
  ASSERT_EQ(response.models_size(), 2);
  const v1::Model& first = response.models(0);
  EXPECT_EQ(first.name(), "with audio");
  EXPECT_EQ(first.fingerprint(), audio->fingerprint());
  EXPECT_EQ(first.input_dim(), 12u);
  EXPECT_EQ(first.units_size(), 9);
  EXPECT_EQ(first.blank(), 0);
  EXPECT_EQ(first.features().sample_rate_hz(), 8000u);
  EXPECT_EQ(first.features().num_mel_bins(), 6u);
  EXPECT_EQ(first.features().stack(), 2u);
  EXPECT_FALSE(response.models(1).has_features());
}

namespace health = grpc::health::v1;

TEST(EndToEndTest, HealthShowsServingAndDraining) {
  TestServer server({RandomModel({})}, 1);
  const auto stub = health::Health::NewStub(server.Connect());
  const auto check = [&](const std::string& service) {
    grpc::ClientContext context;
    health::HealthCheckRequest request;
    request.set_service(service);
    health::HealthCheckResponse response;
    EXPECT_TRUE(stub->Check(&context, request, &response).ok());
    return response.status();
  };
  grpc::ClientContext context;
  const auto watch = stub->Watch(&context, {});
  health::HealthCheckResponse seen;
  ASSERT_TRUE(watch->Read(&seen));
  EXPECT_EQ(seen.status(), health::HealthCheckResponse::SERVING);
  EXPECT_EQ(check(""), health::HealthCheckResponse::SERVING);
  EXPECT_EQ(check("ese.v1.SpeechInference"), health::HealthCheckResponse::SERVING);
  server.server().StartDrain();
  ASSERT_TRUE(watch->Read(&seen));
  EXPECT_EQ(seen.status(), health::HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(check(""), health::HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(check("ese.v1.SpeechInference"), health::HealthCheckResponse::NOT_SERVING);
  server.server().Stop();
  EXPECT_FALSE(watch->Read(&seen));
  EXPECT_EQ(watch->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

// Refuses batches while *broken is true.
class BreakableChannel final : public Channel {
 public:
  BreakableChannel(std::unique_ptr<Channel> channel, const std::atomic<bool>* broken)
      : channel_(std::move(channel)), broken_(broken) {}
  absl::Status Submit(std::unique_ptr<Batch>* batch, Completion done) override {
    if (*broken_) return absl::UnavailableError("broken");
    return channel_->Submit(batch, std::move(done));
  }
  int max_lanes() const override { return channel_->max_lanes(); }
  const std::string& name() const override { return channel_->name(); }
  const std::string& kernel() const override { return channel_->kernel(); }

 private:
  const std::unique_ptr<Channel> channel_;
  const std::atomic<bool>* const broken_;
};

TEST(EndToEndTest, HealthShowsThatNoChannelWorks) {
  const auto model = MakeAudioModel("m", 1);
  std::atomic<bool> broken = false;
  MetricsRegistry metrics;
  ServingOptions options;
  options.listen = "127.0.0.1:0";
  const auto server = Server::Start(
      options, {model},
      [&](const std::shared_ptr<const Model>& served)
          -> absl::StatusOr<std::vector<std::unique_ptr<Channel>>> {
        auto channels = CreateCpuChannels(served, {.count = 1});
        if (!channels.ok()) return channels;
        channels->front() =
            std::make_unique<BreakableChannel>(std::move(channels->front()), &broken);
        return channels;
      },
      &metrics);
  ASSERT_TRUE(server.ok()) << server.status();
  const auto connection =
      grpc::CreateChannel((*server)->address(), grpc::InsecureChannelCredentials());
  const auto stub = v1::SpeechInference::NewStub(connection);
  const auto health_stub = health::Health::NewStub(connection);
  const auto status = [&] {
    (*server)->UpdateHealth();
    grpc::ClientContext context;
    health::HealthCheckResponse response;
    EXPECT_TRUE(health_stub->Check(&context, {}, &response).ok());
    return response.status();
  };
  const StreamContent content = MakeContent(*model, ContentKind::kFloat32, 20, 1);
  ExpectAnswersOf(content, RunStream(stub.get(), content.config, content.Chunks(1)));
  EXPECT_EQ(status(), health::HealthCheckResponse::SERVING);

  broken = true;
  const StreamOutcome refused = RunStream(stub.get(), content.config, content.Chunks(1));
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(refused.status.error_message(), HasSubstr("broken"));
  EXPECT_EQ(status(), health::HealthCheckResponse::NOT_SERVING);

  broken = false;
  EXPECT_TRUE(Eventually([&] { return status() == health::HealthCheckResponse::SERVING; }));
  ExpectAnswersOf(content, RunStream(stub.get(), content.config, content.Chunks(1)));
}

TEST(EndToEndTest, HealthOfAnUnknownServiceAndACancelledWatch) {
  TestServer server({RandomModel({})}, 1);
  const auto stub = health::Health::NewStub(server.Connect());
  health::HealthCheckRequest request;
  request.set_service("other");
  health::HealthCheckResponse response;
  {
    grpc::ClientContext context;
    EXPECT_EQ(stub->Check(&context, request, &response).error_code(), grpc::StatusCode::NOT_FOUND);
  }
  grpc::ClientContext context;
  const auto watch = stub->Watch(&context, request);
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), health::HealthCheckResponse::SERVICE_UNKNOWN);
  context.TryCancel();
  EXPECT_EQ(watch->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST(EndToEndTest, NamesThatAreTooLongAreRefused) {
  const auto model = MakeAudioModel("m", 1);
  TestServer server({model}, 1);
  const std::string name(300, 'n');
  StreamContent content = MakeContent(*model, ContentKind::kAudio, 5, 1);
  content.config.set_tenant(name);
  ExpectError(RunStream(server.NewStub().get(), content.config, {content.bytes}).status,
              grpc::StatusCode::INVALID_ARGUMENT, "config.tenant has 300 bytes");
  const auto stub = health::Health::NewStub(server.Connect());
  health::HealthCheckRequest request;
  request.set_service(name);
  health::HealthCheckResponse response;
  grpc::ClientContext check;
  ExpectError(stub->Check(&check, request, &response), grpc::StatusCode::INVALID_ARGUMENT,
              "service has 300 bytes");
  grpc::ClientContext watch;
  ExpectError(stub->Watch(&watch, request)->Finish(), grpc::StatusCode::INVALID_ARGUMENT,
              "service has 300 bytes");
}

TEST(EndToEndTest, UnknownMethod) {
  TestServer server({RandomModel({})}, 1);
  grpc::GenericStub stub(server.Connect());
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  void* tag = nullptr;
  bool ok = false;
  const grpc::Slice nothing;
  const auto call = stub.PrepareUnaryCall(&context, "/ese.v1.SpeechInference/Other",
                                          grpc::ByteBuffer(&nothing, 1), &queue);
  call->StartCall();
  grpc::ByteBuffer answer;
  grpc::Status status;
  call->Finish(&answer, &status, nullptr);
  EXPECT_TRUE(queue.Next(&tag, &ok));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_THAT(status.error_message(), HasSubstr("no method /ese.v1.SpeechInference/Other"));
}

TEST(EndToEndTest, ReflectionListsTheService) {
  TestServer server({RandomModel({})}, 1);
  grpc::GenericStub stub(server.Connect());
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  void* tag = nullptr;
  bool ok = false;
  const auto next = [&] { return queue.Next(&tag, &ok) && ok; };
  const auto call = stub.PrepareCall(
      &context, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &queue);
  call->StartCall(nullptr);
  ASSERT_TRUE(next());
  // ServerReflectionRequest.list_services = 7
  const grpc::Slice list(std::string{0x3A, 0});
  call->Write(grpc::ByteBuffer(&list, 1), nullptr);
  ASSERT_TRUE(next());
  grpc::ByteBuffer answer;
  call->Read(&answer, nullptr);
  ASSERT_TRUE(next());
  grpc::Slice bytes;
  ASSERT_TRUE(answer.DumpToSingleSlice(&bytes).ok());
  EXPECT_THAT(std::string(reinterpret_cast<const char*>(bytes.begin()), bytes.size()),
              HasSubstr("ese.v1.SpeechInference"));
  call->WritesDone(nullptr);
  ASSERT_TRUE(next());
  grpc::Status status;
  call->Finish(&status, nullptr);
  ASSERT_TRUE(next());
  EXPECT_TRUE(status.ok());
}

// Invariant 4: neither a fast writer nor a slow reader makes the server hold more than its limit.
TEST(EndToEndTest, AClientThatDoesNotReadIsHeldBackAndLaterGetsAllItsAnswers) {
  const auto model = RandomModel({.inputs = 800, .units = 1000});
  ServingOptions options;
  options.scheduler.max_queued_frames = 16;
  TestServer server({model}, 1, options);
  // The stream has 13 MB of features and 16 MB of posteriors, more than all buffers on the way
  // hold.
  constexpr int kFrames = 4000;
  const StreamContent content = MakeContent(*model, ContentKind::kFloat32, kFrames, 1);
  const auto stub = server.NewStub();
  StreamClient stream(stub.get());
  ASSERT_TRUE(stream.SendConfig(content.config));
  std::atomic<int> sent = 0;
  const std::jthread writer([&] {
    for (; sent < kFrames; ++sent) {
      const size_t size = content.sample_bytes;
      if (!stream.SendChunk(content.bytes.substr(sent * size, size))) break;
    }
    stream.HalfClose();
  });
  EXPECT_TRUE(EventuallyStandsStill(sent));
  EXPECT_LT(sent, kFrames);
  ExpectAnswersOf(content, stream.Finish());
}

TEST(EndToEndTest, RefusesStreamsAboveTheLimitUntilOneEnds) {
  const auto model = MakeAudioModel("m", 1);
  ServingOptions options;
  options.scheduler.max_streams = 1;
  TestServer server({model}, 1, options);
  const StreamContent content = MakeContent(*model, ContentKind::kFloat32, 5, 1);
  const auto stub = server.NewStub();
  StreamClient first(stub.get());
  ASSERT_TRUE(first.Begin(content.config, content.bytes));
  const StreamOutcome refused = RunStream(stub.get(), content.config, content.Chunks(1));
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(refused.status.error_message(), HasSubstr("in use"));
  EXPECT_EQ(refused.retry_after_ms, "1000");
  first.HalfClose();
  ExpectAnswersOf(content, first.Finish());
  EXPECT_TRUE(Eventually(
      [&] { return RunStream(stub.get(), content.config, content.Chunks(1)).status.ok(); }));
}

TEST(EndToEndTest, ADrainingServerRefusesNewStreamsAndFinishesOldOnes) {
  const auto model = MakeAudioModel("m", 1);
  TestServer server({model});
  const StreamContent content = MakeContent(*model, ContentKind::kAudio, 20, 1);
  const auto stub = server.NewStub();
  StreamClient old(stub.get());
  ASSERT_TRUE(old.Begin(content.config, content.bytes.substr(0, 1000)));
  server.server().StartDrain();
  EXPECT_FALSE(server.server().WaitUntilIdle(Duration(0)));
  const StreamOutcome refused = RunStream(stub.get(), content.config, content.Chunks(1));
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(refused.status.error_message(), HasSubstr("use another replica"));
  ASSERT_TRUE(old.SendChunk(content.bytes.substr(1000)));
  old.HalfClose();
  ExpectAnswersOf(content, old.Finish());
  EXPECT_TRUE(server.server().WaitUntilIdle(std::chrono::seconds(30)));
}

TEST(EndToEndTest, StopEndsOpenStreamsEvenOfClientsThatDoNotRead) {
  const auto model = RandomModel({.units = 2000});
  TestServer server({model}, 1);
  const StreamContent content = MakeContent(*model, ContentKind::kInt16, 1500, 1);
  const auto stub = server.NewStub();
  StreamClient idle(stub.get());
  ASSERT_TRUE(idle.SendConfig(content.config));
  StreamClient slow(stub.get());
  ASSERT_TRUE(slow.SendConfig(content.config));
  ASSERT_TRUE(slow.SendChunk(content.bytes));
  const StreamClient silent(stub.get());
  EXPECT_TRUE(Eventually([&] { return server.open_streams() == 2; }));
  server.server().Stop();
  const grpc::Status status = idle.Finish().status;
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(status.error_message(), HasSubstr("shutting down"));
  EXPECT_FALSE(slow.Finish().status.ok());
  EXPECT_EQ(server.open_streams(), 0);
}

}  // namespace
}  // namespace ese
