// SPDX-License-Identifier: Apache-2.0
// Models that are added, replaced and removed while a server has streams. Every stream gets the
// bits of the version that it began with until its end, even if it resumes from a checkpoint.
#include <atomic>
#include <filesystem>
#include <map>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "gtest/gtest.h"
#include "model/testing.h"
#include "tests/stream_client.h"
#include "tests/temp_folder.h"
#include "tests/test_server.h"

namespace ese {
namespace {

using ::testing::HasSubstr;

class ModelsTest : public testing::Test {
 protected:
  ModelsTest() {
    options_.model_dir = folder_.path();
    options_.model_poll = std::chrono::milliseconds(10);
  }

  static ModelDraft Draft(const std::string& name, uint32_t seed) {
    ModelDraft draft = RandomModelDraft({.inputs = 12, .units = 9, .seed = seed});
    draft.name = name;
    draft.blank = 0;
    return draft;
  }
  static std::shared_ptr<const Model> ModelOf(const ModelDraft& draft) {
    return *Model::FromBytes(*SerializeModel(draft));
  }
  // Installs a file as an operator should: writes it under another name and renames it.
  void Install(const std::string& file, const std::string& bytes) const {
    std::filesystem::rename(folder_.Write(file + ".part", bytes), folder_.Path(file));
  }
  std::shared_ptr<const Model> Install(const std::string& file, const ModelDraft& draft) const {
    Install(file, *SerializeModel(draft));
    return ModelOf(draft);
  }

  static StreamContent Content(const Model& model, uint32_t seed = 1) {
    return MakeContent(model, ContentKind::kInt16, 40, seed);
  }
  static StreamOutcome Run(v1::SpeechInference::Stub* stub, const StreamContent& content) {
    return RunStream(stub, content.config, content.Chunks(1));
  }
  static std::string Serving(TestServer& server, const std::string& name) {
    const auto served = server.server().catalog().Find(name);
    return served.ok() ? (*served)->model->fingerprint() : "";
  }
  static bool WaitUntilServing(TestServer& server, const Model& model) {
    return Eventually([&] { return Serving(server, model.name) == model.fingerprint(); });
  }
  static bool WaitForMetric(TestServer& server, const std::string& line) {
    return Eventually(
        [&] { return server.metrics().Render().find(line + "\n") != std::string::npos; });
  }
  static v1::ListModelsResponse List(v1::SpeechInference::Stub* stub) {
    grpc::ClientContext context;
    v1::ListModelsResponse response;
    EXPECT_TRUE(stub->ListModels(&context, {}, &response).ok());
    return response;
  }

  const TempFolder folder_{"models_test"};
  ServingOptions options_;
};

TEST_F(ModelsTest, ServesAModelOnceItIsInTheFolder) {
  TestServer server({}, 1, options_);
  const auto health_stub = grpc::health::v1::Health::NewStub(server.Connect());
  const auto healthy = [&] {
    server.server().UpdateHealth();
    grpc::ClientContext context;
    grpc::health::v1::HealthCheckResponse response;
    EXPECT_TRUE(health_stub->Check(&context, {}, &response).ok());
    return response.status() == grpc::health::v1::HealthCheckResponse::SERVING;
  };
  EXPECT_FALSE(healthy());
  const StreamContent content = Content(*ModelOf(Draft("m", 1)));
  const auto stub = server.NewStub();
  const StreamOutcome refused = Run(stub.get(), content);
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::NOT_FOUND);
  const auto model = Install("m.ese", Draft("m", 1));
  ASSERT_TRUE(WaitUntilServing(server, *model));
  EXPECT_TRUE(healthy());
  ExpectAnswersOf(content, Run(stub.get(), content));
}

TEST_F(ModelsTest, OldStreamsFinishOnTheOldVersionAndNewStreamsGetTheNewOne) {
  options_.model_grace = Duration(0);
  const auto first = Install("m.ese", Draft("m", 1));
  TestServer server({}, 2, options_);
  const auto stub = server.NewStub();
  const StreamContent old_content = Content(*first);
  StreamClient old_stream(stub.get());
  ASSERT_TRUE(old_stream.SendConfig(old_content.config));
  const size_t half = 20 * old_content.sample_bytes;
  ASSERT_TRUE(old_stream.SendChunk(old_content.bytes.substr(0, half)));
  ASSERT_TRUE(old_stream.ReadUntilChunksDone(1));

  const auto second = Install("m.ese", Draft("m", 2));
  ASSERT_TRUE(WaitUntilServing(server, *second));
  const StreamContent new_content = Content(*second);
  const StreamOutcome on_new = Run(stub.get(), new_content);
  ExpectAnswersOf(new_content, on_new);
  EXPECT_EQ(on_new.model.fingerprint(), second->fingerprint());
  const v1::ListModelsResponse listed = List(stub.get());
  ASSERT_EQ(listed.models_size(), 1);
  EXPECT_EQ(listed.models(0).fingerprint(), second->fingerprint());
  ASSERT_EQ(listed.retired_size(), 1);
  EXPECT_EQ(listed.retired(0).fingerprint(), first->fingerprint());
  const std::string old_labels =
      absl::StrCat("{model=\"m\",version=\"", first->fingerprint().substr(0, 8), "\"}");
  EXPECT_TRUE(WaitForMetric(server, absl::StrCat("ese_model_takes_streams", old_labels, " 0")));
  EXPECT_TRUE(WaitForMetric(server, absl::StrCat("ese_streams", old_labels, " 1")));

  ASSERT_TRUE(old_stream.SendChunk(old_content.bytes.substr(half)));
  old_stream.HalfClose();
  ExpectAnswersOf(old_content, old_stream.Finish());
  EXPECT_TRUE(Eventually([&] { return server.server().catalog().size() == 1; }))
      << "the old version was not freed";
  EXPECT_TRUE(
      Eventually([&] { return server.metrics().Render().find(old_labels) == std::string::npos; }));
  EXPECT_TRUE(WaitForMetric(server, "ese_model_loads_total{result=\"ok\"} 2"));
}

TEST_F(ModelsTest, RefusesAMalformedFileAndKeepsTheOldVersion) {
  const auto model = Install("m.ese", Draft("m", 1));
  TestServer server({}, 1, options_);
  Install("m.ese", "not a model");
  ASSERT_TRUE(WaitForMetric(server, "ese_model_loads_total{result=\"refused\"} 1"));
  const auto stub = server.NewStub();
  const StreamContent content = Content(*model);
  ExpectAnswersOf(content, Run(stub.get(), content));
  const auto repaired = Install("m.ese", Draft("m", 2));
  ASSERT_TRUE(WaitUntilServing(server, *repaired));
  EXPECT_TRUE(WaitForMetric(server, "ese_model_loads_total{result=\"refused\"} 1"));
}

TEST_F(ModelsTest, RefusesAModelThatCannotBeServedAndKeepsTheOldVersion) {
  const auto model = Install("m.ese", Draft("m", 1));
  TestServer server({}, 1, options_);
  ModelDraft unfit = Draft("m", 2);
  unfit.features.sample_rate_hz = 8000;
  unfit.features.num_mel_bins = 6;
  unfit.features.stack = 2;
  unfit.features.low_freq_hz = 5000;  // above half the sample rate
  Install("m.ese", unfit);
  ASSERT_TRUE(WaitForMetric(server, "ese_model_loads_total{result=\"refused\"} 1"));
  EXPECT_EQ(Serving(server, "m"), model->fingerprint());
}

TEST_F(ModelsTest, ARemovedModelGetsNoNewStreamsAndItsOpenStreamsFinish) {
  const auto model = Install("m.ese", Draft("m", 1));
  const auto other = Install("other.ese", Draft("other", 2));
  TestServer server({}, 1, options_);
  const auto stub = server.NewStub();
  const StreamContent content = Content(*model);
  StreamClient open(stub.get());
  ASSERT_TRUE(open.Begin(content.config, content.bytes.substr(0, content.sample_bytes)));
  std::filesystem::remove(folder_.Path("m.ese"));
  ASSERT_TRUE(Eventually([&] { return Serving(server, "m").empty(); }));
  const StreamOutcome refused = Run(stub.get(), content);
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(refused.status.error_message(), HasSubstr("this server has: other"));
  ASSERT_TRUE(open.SendChunk(content.bytes.substr(content.sample_bytes)));
  open.HalfClose();
  ExpectAnswersOf(content, open.Finish());
  const StreamContent of_other = Content(*other);
  ExpectAnswersOf(of_other, Run(stub.get(), of_other));
}

TEST_F(ModelsTest, AStreamResumesWithTheVersionThatItBeganWith) {
  const auto first = Install("m.ese", Draft("m", 1));
  TestServer server({}, 1, options_);
  const auto stub = server.NewStub();
  StreamContent content = Content(*first);
  const size_t half = 20 * content.sample_bytes;
  JoinedOutcome joined;
  {
    StreamClient stream(stub.get());
    ASSERT_TRUE(stream.SendConfig(content.config));
    ASSERT_TRUE(stream.SendChunk(content.bytes.substr(0, half)));
    ASSERT_TRUE(stream.RequestCheckpoint());
    ASSERT_TRUE(stream.ReadUntilCheckpoints(1));
    stream.Cancel();
    joined.Add(stream.Finish(), /*last=*/false);
    const auto second = Install("m.ese", Draft("m", 2));
    ASSERT_TRUE(WaitUntilServing(server, *second));
    ASSERT_TRUE(Eventually([&] { return server.open_streams() == 0; }));
    content.config.set_resume_token(stream.outcome().checkpoint.token());
  }
  const StreamOutcome resumed = RunStream(stub.get(), content.config, {content.bytes.substr(half)});
  EXPECT_EQ(resumed.model.fingerprint(), first->fingerprint());
  joined.Add(resumed, /*last=*/true);
  joined.ExpectAnswersOf(content);
}

TEST_F(ModelsTest, ServesTheNewestOfSeveralFilesWithTheSameModelName) {
  const auto given = ModelOf(Draft("m", 1));
  TestServer server({given}, 1, options_);
  const auto second = Install("m-2.ese", Draft("m", 2));
  ASSERT_TRUE(WaitUntilServing(server, *second));
  const auto third = Install("m-3.ese", Draft("m", 3));
  ASSERT_TRUE(WaitUntilServing(server, *third));
  std::filesystem::remove(folder_.Path("m-3.ese"));
  ASSERT_TRUE(WaitUntilServing(server, *second));
  std::filesystem::remove(folder_.Path("m-2.ese"));
  ASSERT_TRUE(WaitUntilServing(server, *given));
}

// Replaces the model while streams open, run and end.
TEST_F(ModelsTest, EveryStreamHasTheBitsOfOneVersionHoweverOftenTheModelIsReplaced) {
  constexpr int kVersions = 4;
  constexpr int kReplacements = 12;
  constexpr int kThreads = 3;
  options_.model_grace = Duration(0);
  options_.loops = 2;
  std::vector<std::shared_ptr<const Model>> models;
  std::map<std::string, StreamContent> contents;  // by fingerprint; all have the same bytes
  for (uint32_t v = 0; v < kVersions; ++v) {
    models.push_back(ModelOf(Draft("m", v)));
    contents.emplace(models.back()->fingerprint(), Content(*models.back()));
  }
  Install("m.ese", Draft("m", 0));
  TestServer server({}, 2, options_);
  std::atomic<bool> done = false;
  std::atomic<int> streams = 0;
  {
    std::vector<std::jthread> threads;
    for (uint32_t t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        const auto stub = server.NewStub();
        const StreamContent& any = contents.begin()->second;
        for (uint32_t i = 0; !done; ++i, ++streams) {
          const StreamOutcome outcome = RunStream(stub.get(), any.config, any.Chunks(i + 100 * t));
          const auto expected = contents.find(outcome.model.fingerprint());
          if (expected == contents.end()) {
            ADD_FAILURE() << outcome.status.error_message();
            return;
          }
          ExpectAnswersOf(expected->second, outcome);
        }
      });
    }
    for (int i = 1; i <= kReplacements; ++i) {
      Install("m.ese", Draft("m", i % kVersions));
      EXPECT_TRUE(WaitUntilServing(server, *models[i % kVersions]));
      const int before = streams;
      EXPECT_TRUE(Eventually([&] { return streams > before + kThreads; }));
    }
    done = true;
  }
  EXPECT_TRUE(Eventually([&] { return server.server().catalog().size() == 1; }));
}

}  // namespace
}  // namespace ese
