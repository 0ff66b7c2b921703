// SPDX-License-Identifier: Apache-2.0
#include "server/stream_session.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "base/fake_clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/log_softmax.h"
#include "model/testing.h"

namespace ese {
namespace {

using ::testing::HasSubstr;

constexpr int kDim = 6;

std::shared_ptr<const Model> Load(const ModelDraft& draft) {
  return *Model::FromBytes(*SerializeModel(draft));
}

// The model "plain" takes features only and has no blank. The model "audio" also takes audio and
// has a blank.
ModelDraft PlainDraft() {
  ModelDraft draft = RandomModelDraft({.inputs = kDim});
  draft.name = "plain";
  draft.blank = -1;
  return draft;
}

ModelDraft AudioDraft() {
  ModelDraft draft = RandomModelDraft({.inputs = kDim});
  draft.name = "audio";
  draft.features.sample_rate_hz = 8000;
  draft.features.num_mel_bins = 3;
  draft.features.stack = 2;
  return draft;
}

ModelCatalog::ServedPtr Serve(const ModelDraft& draft) {
  auto served = std::make_shared<ServedModel>();
  served->model = Load(draft);
  served->fbank = *FbankTablesOf(*served->model);
  return served;
}

template <typename T>
std::string Bytes(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

class StreamSessionTest : public testing::Test {
 protected:
  StreamSessionTest() {
    catalog_.Publish(Serve(PlainDraft()));
    catalog_.Publish(Serve(AudioDraft()));
  }

  static v1::StreamingConfig Features(v1::FeatureInput::Encoding encoding) {
    v1::StreamingConfig config;
    config.set_model("plain");
    config.mutable_features()->set_encoding(encoding);
    return config;
  }
  static v1::StreamingConfig Audio() {
    v1::StreamingConfig config;
    config.set_model("audio");
    config.mutable_audio();
    return config;
  }

  std::unique_ptr<StreamSession> Open(const v1::StreamingConfig& config) {
    auto session = StreamSession::Create(catalog_, config, nullptr);
    EXPECT_TRUE(session.ok()) << session.status();
    return *std::move(session);
  }
  void ExpectRefused(const v1::StreamingConfig& config, absl::StatusCode code,
                     const std::string& message) {
    const absl::Status status = StreamSession::Create(catalog_, config, nullptr).status();
    EXPECT_EQ(status.code(), code);
    EXPECT_THAT(std::string(status.message()), HasSubstr(message));
  }
  void ExpectChunkRefused(const v1::StreamingConfig& config, const std::string& chunk,
                          const std::string& message) {
    std::vector<int8_t> frames;
    const absl::Status status = Open(config)->ReadChunk(chunk, &frames);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(message));
  }

  FakeClock clock_;
  ModelCatalog catalog_{&clock_, Duration(0)};
};

TEST_F(StreamSessionTest, AWideInputTakesTwoBytesForEachFeature) {
  ModelDraft draft = RandomModelDraft({.inputs = kDim, .fine_density = 0.5, .wide_input = true});
  draft.name = "wide";
  const ModelCatalog::ServedPtr served = Serve(draft);
  catalog_.Publish(served);
  auto config = Features(v1::FeatureInput::FLOAT32);
  config.set_model("wide");
  config.mutable_features()->set_dim(kDim);
  std::vector<float> features(2 * kDim);
  for (size_t k = 0; k < features.size(); ++k) features[k] = 0.37f * static_cast<float>(k) - 2;
  std::vector<int8_t> frames(3, 99);  // those of earlier chunks stay
  ASSERT_TRUE(Open(config)->ReadChunk(Bytes(features), &frames).ok());
  std::vector<int8_t> expected(3 + 4 * kDim, 99);
  for (int t = 0; t < 2; ++t) {
    served->model->QuantizeFrame(&features[t * kDim], &expected[3 + t * 2 * kDim]);
  }
  EXPECT_EQ(frames, expected);
}

TEST_F(StreamSessionTest, TheErrorForAnUnknownModelListsTheKnownOnes) {
  auto config = Features(v1::FeatureInput::FLOAT32);
  config.set_model("other");
  ExpectRefused(config, absl::StatusCode::kNotFound, "\"other\"; this server has: plain, audio");
}

TEST_F(StreamSessionTest, TheModelNameMayBeOmittedIfThereIsOnlyOneModel) {
  auto config = Features(v1::FeatureInput::FLOAT32);
  config.clear_model();
  ExpectRefused(config, absl::StatusCode::kInvalidArgument, "set one of: plain, audio");
  ModelCatalog one(&clock_, Duration(0));
  one.Publish(Serve(PlainDraft()));
  EXPECT_TRUE(StreamSession::Create(one, config, nullptr).ok());
}

TEST_F(StreamSessionTest, ConfigsThatDoNotFitTheModelAreRefused) {
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  v1::StreamingConfig config;
  config.set_model("plain");
  ExpectRefused(config, kInvalid, "set config.audio or config.features");
  config.mutable_features();
  ExpectRefused(config, kInvalid, "set FLOAT32 or INT16");
  config.mutable_features()->set_encoding(static_cast<v1::FeatureInput::Encoding>(9));
  ExpectRefused(config, kInvalid, "encoding is 9");
  config = Features(v1::FeatureInput::INT16);
  config.mutable_features()->set_dim(kDim + 1);
  ExpectRefused(config, kInvalid, "dim is 7, but model \"plain\" takes frames of 6 values");
  config = Features(v1::FeatureInput::INT16);
  config.set_return_units(true);
  ExpectRefused(config, kInvalid, "has no CTC blank");
  config = Audio();
  config.set_model("plain");
  ExpectRefused(config, kInvalid, "takes features only");
  config = Audio();
  config.mutable_audio()->set_sample_rate_hz(16000);
  ExpectRefused(config, kInvalid, "16000, but model \"audio\" takes 8000 Hz");
}

TEST_F(StreamSessionTest, AConfigMayStateTheShapeOfTheModel) {
  auto config = Features(v1::FeatureInput::FLOAT32);
  config.mutable_features()->set_dim(kDim);
  EXPECT_TRUE(StreamSession::Create(catalog_, config, nullptr).ok());
  config = Audio();
  config.mutable_audio()->set_sample_rate_hz(8000);
  EXPECT_TRUE(StreamSession::Create(catalog_, config, nullptr).ok());
}

TEST_F(StreamSessionTest, ErrorsForBadChunksNameTheRemedy) {
  const auto floats = Features(v1::FeatureInput::FLOAT32);
  ExpectChunkRefused(floats, "", "chunk is empty");
  ExpectChunkRefused(Audio(), "", "half-close the call to end");
  ExpectChunkRefused(floats, std::string(12, '\0'), "a frame is 6 FLOAT32 values, 24 bytes");
  ExpectChunkRefused(floats, std::string(25, '\0'), "chunk of 25 bytes");
  ExpectChunkRefused(Features(v1::FeatureInput::INT16), std::string(6, '\0'),
                     "a frame is 6 INT16 values, 12 bytes");
  ExpectChunkRefused(Audio(), "abc", "chunk of 3 bytes is not a whole number of samples");
}

TEST_F(StreamSessionTest, TheErrorForANonFiniteValueNamesItsPlaceInTheStream) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
        -std::numeric_limits<float>::infinity()}) {
    const auto session = Open(Features(v1::FeatureInput::FLOAT32));
    std::vector<int8_t> frames;
    std::vector<float> values(3 * kDim, 0.5f);
    ASSERT_TRUE(session->ReadChunk(Bytes(values), &frames).ok());
    values[2 * kDim + 4] = bad;
    const absl::Status status = session->ReadChunk(Bytes(values), &frames);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("frame 5, value 4 is"));
  }
}

TEST_F(StreamSessionTest, FloatsAndIntegersAreQuantizedByTheModel) {
  const Model& model = *(*catalog_.Find("plain"))->model;
  const std::vector<int16_t> integers = {0, 256, -256, 32767, -32768, 1};
  std::vector<float> floats;
  for (const int16_t value : integers) floats.push_back(static_cast<float>(value) / 256);
  std::vector<int8_t> expected(kDim);
  ASSERT_EQ(model.QuantizeFrame(floats.data(), expected.data()), -1);
  std::vector<int8_t> from_floats, from_integers;
  ASSERT_TRUE(
      Open(Features(v1::FeatureInput::FLOAT32))->ReadChunk(Bytes(floats), &from_floats).ok());
  ASSERT_TRUE(
      Open(Features(v1::FeatureInput::INT16))->ReadChunk(Bytes(integers), &from_integers).ok());
  EXPECT_EQ(from_floats, expected);
  EXPECT_EQ(from_integers, expected);
}

TEST_F(StreamSessionTest, AudioGivesTheSameFramesHoweverItIsDivided) {
  std::mt19937 random(3);
  std::vector<int16_t> samples(4000);
  for (int16_t& sample : samples) sample = static_cast<int16_t>(random());
  std::vector<int8_t> whole;
  ASSERT_TRUE(Open(Audio())->ReadChunk(Bytes(samples), &whole).ok());
  // 48 windows of 200 samples, one every 80 samples and two in a frame.
  EXPECT_EQ(whole.size(), 24u * kDim);
  const auto session = Open(Audio());
  std::vector<int8_t> parts;
  for (size_t at = 0; at < samples.size();) {
    const size_t n = std::min<size_t>(1 + random() % 300, samples.size() - at);
    const auto chunk = Bytes(std::vector<int16_t>(&samples[at], &samples[at] + n));
    ASSERT_TRUE(session->ReadChunk(chunk, &parts).ok());
    at += n;
  }
  EXPECT_EQ(parts, whole);
}

TEST_F(StreamSessionTest, AnswersContainWhatTheConfigAsksFor) {
  const Model& model = *(*catalog_.Find("audio"))->model;
  const int units = model.num_units();
  std::vector<int32_t> logits(2 * units, -1000);
  logits[3] = 1 << 19;          // unit 3 in frame 10
  logits[units + 2] = 1 << 19;  // unit 2 in frame 11
  StreamResult result;
  result.num_frames = 2;
  result.logits = logits;
  result.queue_time = std::chrono::milliseconds(2);
  result.compute_time = std::chrono::milliseconds(3);

  const auto silent = Open(Audio())->Answer(result);
  EXPECT_EQ(silent.num_frames(), 2);
  EXPECT_EQ(silent.queue_seconds(), 0.002);
  EXPECT_EQ(silent.compute_seconds(), 0.003);
  EXPECT_EQ(silent.log_posteriors(), "");
  EXPECT_EQ(silent.units_size(), 0);

  auto config = Audio();
  config.set_return_posteriors(true);
  config.set_return_units(true);
  const auto full = Open(config)->Answer(result);
  std::vector<float> expected(2 * units);
  LogSoftmax(absl::MakeSpan(logits).first(units), absl::MakeSpan(expected).first(units));
  LogSoftmax(absl::MakeSpan(logits).last(units), absl::MakeSpan(expected).last(units));
  EXPECT_EQ(full.log_posteriors(), Bytes(expected));
  ASSERT_EQ(full.units_size(), 2);
  EXPECT_EQ(full.units(0).symbol(), "U3");
  EXPECT_EQ(full.units(0).index(), 3);
  EXPECT_EQ(full.units(1).frame(), 1);
  EXPECT_DOUBLE_EQ(full.units(1).start_seconds(), 0.02);
}

TEST_F(StreamSessionTest, AStreamResumesOnlyWithTheConfigOfItsCheckpoint) {
  auto config = Audio();
  config.set_return_units(true);
  const auto session = Open(config);
  const Model& model = *session->served().model;
  const StreamCheckpoint checkpoint = session->CheckpointAt(12, 5, StreamState(model));
  EXPECT_EQ(checkpoint.frame, 12);
  EXPECT_EQ(checkpoint.stream_id, 5);
  EXPECT_EQ(checkpoint.last_unit, model.blank);
  EXPECT_TRUE(StreamSession::Create(catalog_, config, &checkpoint).ok());
  config.clear_model();
  EXPECT_TRUE(StreamSession::Create(catalog_, config, &checkpoint).ok())
      << "the checkpoint names the model";

  const auto expect_refused = [&](const v1::StreamingConfig& other, absl::StatusCode code) {
    EXPECT_EQ(StreamSession::Create(catalog_, other, &checkpoint).status().code(), code);
  };
  config.set_model("plain");
  expect_refused(config, absl::StatusCode::kFailedPrecondition);
  config = Audio();
  expect_refused(config, absl::StatusCode::kInvalidArgument);
  config.set_return_units(true);
  config.set_return_posteriors(true);
  expect_refused(config, absl::StatusCode::kInvalidArgument);
  config.set_return_posteriors(false);
  config.mutable_features()->set_encoding(v1::FeatureInput::INT16);
  expect_refused(config, absl::StatusCode::kInvalidArgument);

  StreamCheckpoint foreign = checkpoint;
  foreign.model_fingerprint = "0";
  config = Audio();
  config.set_return_units(true);
  EXPECT_EQ(StreamSession::Create(catalog_, config, &foreign).status().code(),
            absl::StatusCode::kFailedPrecondition);
  foreign = checkpoint;
  foreign.state = StreamState();
  EXPECT_EQ(StreamSession::Create(catalog_, config, &foreign).status().code(),
            absl::StatusCode::kInvalidArgument);
  foreign = checkpoint;
  foreign.last_unit = model.num_units();
  EXPECT_EQ(StreamSession::Create(catalog_, config, &foreign).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(StreamSessionTest, ContentContinuesWhereTheNextFrameBegins) {
  EXPECT_EQ(Open(Audio())->ContentBytesBefore(3), 3 * 2 * 80 * 2);
  EXPECT_EQ(Open(Features(v1::FeatureInput::FLOAT32))->ContentBytesBefore(3), 3 * kDim * 4);
  EXPECT_EQ(Open(Features(v1::FeatureInput::INT16))->ContentBytesBefore(3), 3 * kDim * 2);
}

}  // namespace
}  // namespace ese
