// SPDX-License-Identifier: Apache-2.0
#include "tests/stream_client.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <random>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/eventually.h"
#include "features/model_features.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/log_softmax.h"
#include "model/reference.h"
#include "model/testing.h"
#include "server/model_catalog.h"

namespace ese {
namespace {

template <typename T>
std::string BytesOf(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

// Adds the posteriors and units of features [n][input_dim] to the content.
void ComputeOffline(const Model& model, const std::vector<float>& features,
                    StreamContent* content) {
  const size_t dim = model.input_dim();
  const size_t units = model.num_units();
  StreamState state(model);
  CtcDecoder decoder(model.num_units(), model.blank);
  std::vector<int8_t> x(dim);
  std::vector<int32_t> logits(units);
  for (size_t at = 0; at < features.size(); at += dim) {
    ASSERT_EQ(model.QuantizeFrame(features.data() + at, x.data()), -1);
    ReferenceStep(model, x.data(), &state, logits.data());
    content->log_posteriors.resize(content->log_posteriors.size() + units);
    LogSoftmax(logits, absl::MakeSpan(content->log_posteriors).last(units));
    decoder.Accept(logits, &content->units);
  }
}

// Returns a modulated tone with noise, as loud as speech.
std::vector<int16_t> RandomAudio(int samples, int rate, std::mt19937& random) {
  std::vector<int16_t> audio(samples);
  const double step = 2 * M_PI * (100 + random() % 1000) / rate;
  for (int i = 0; i < samples; ++i) {
    const double tone = 8000 * std::sin(step * i) * std::sin(0.001 * i);
    audio[i] = static_cast<int16_t>(tone + static_cast<int>(random() % 2000) - 1000);
  }
  return audio;
}

}  // namespace

std::vector<std::string> StreamContent::Chunks(uint32_t seed) const {
  std::mt19937 random(seed);
  // Most chunks are small, and some are a large part of the stream.
  const size_t total = bytes.size() / sample_bytes;
  std::vector<std::string> chunks;
  for (size_t at = 0; at < total;) {
    const size_t limit = random() % 8 == 0 ? total : std::max<size_t>(1, total / 32);
    const size_t n = std::min(1 + random() % limit, total - at);
    chunks.push_back(bytes.substr(at * sample_bytes, n * sample_bytes));
    at += n;
  }
  return chunks;
}

StreamContent MakeContent(const Model& model, ContentKind kind, int frames, uint32_t seed) {
  std::mt19937 random(seed);
  StreamContent content;
  content.config.set_model(model.name);
  content.config.set_return_posteriors(true);
  content.config.set_return_units(model.blank >= 0);
  std::vector<float> features;
  if (kind == ContentKind::kAudio) {
    const FbankOptions options = ToFbankOptions(model.features);
    const int samples = static_cast<int>(FrameStartSample(options, frames));
    const auto audio = RandomAudio(samples, options.sample_rate_hz, random);
    content.config.mutable_audio()->set_sample_rate_hz(options.sample_rate_hz);
    content.bytes = BytesOf(audio);
    content.sample_bytes = sizeof(int16_t);
    FbankStream::Create(options)->Accept(audio, &features);
  } else {
    std::vector<int16_t> integers(frames * model.input_dim());
    for (int16_t& value : integers) {
      value = static_cast<int16_t>(static_cast<int>(random() % 2048) - 1024);
      features.push_back(static_cast<float>(value) / 256);
    }
    const bool is_float = kind == ContentKind::kFloat32;
    content.config.mutable_features()->set_encoding(is_float ? v1::FeatureInput::FLOAT32
                                                             : v1::FeatureInput::INT16);
    content.bytes = is_float ? BytesOf(features) : BytesOf(integers);
    content.sample_bytes = model.input_dim() * (is_float ? sizeof(float) : sizeof(int16_t));
  }
  ComputeOffline(model, features, &content);
  return content;
}

std::shared_ptr<const Model> MakeAudioModel(const std::string& name, uint32_t seed) {
  ModelDraft draft = RandomModelDraft(
      {.inputs = 12,
       .layers = {{.cells = 24, .projection = 16, .peepholes = true}, {.cells = 20}},
       .units = 9,
       .seed = seed});
  draft.name = name;
  draft.features.sample_rate_hz = 8000;
  draft.features.num_mel_bins = 6;
  draft.features.stack = 2;
  // Log energies are around 15. This brings them into the range of the quantized input.
  for (float& mean : draft.input_mean) mean += 10;
  return *Model::FromBytes(*SerializeModel(draft));
}

std::string ToBytes(absl::Span<const float> values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

std::vector<float> ToFloats(const std::string& bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  if (!values.empty()) std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  return values;
}

StreamClient::StreamClient(v1::SpeechInference::Stub* stub) {
  context_.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(3));
  call_ = stub->StreamingInfer(&context_);
}

bool StreamClient::SendConfig(const v1::StreamingConfig& config) {
  v1::StreamingInferRequest request;
  *request.mutable_config() = config;
  return call_->Write(request);
}

bool StreamClient::SendChunk(const std::string& chunk) {
  v1::StreamingInferRequest request;
  request.set_chunk(chunk);
  return call_->Write(request);
}

bool StreamClient::RequestCheckpoint() {
  v1::StreamingInferRequest request;
  request.mutable_checkpoint();
  return call_->Write(request);
}

bool StreamClient::ReadOne() {
  v1::StreamingInferResponse response;
  if (!call_->Read(&response)) return false;
  const auto expect = [this](bool ok, const std::string& what) {
    if (!ok && outcome_.defect.empty()) outcome_.defect = what;
  };
  expect(response.has_model() == (outcome_.responses == 0),
         "the model does not come exactly once, in the first response");
  expect(!outcome_.is_final, "a response after the final one");
  if (outcome_.responses == 0) {
    outcome_.first_frame = outcome_.frames = response.first_frame();
  }
  expect(response.first_frame() == outcome_.frames,
         absl::StrCat("frame ", response.first_frame(), " instead of ", outcome_.frames));
  expect(response.chunks_done() >= outcome_.chunks_done, "chunks_done decreased");
  ++outcome_.responses;
  if (response.has_model()) outcome_.model = response.model();
  outcome_.frames += response.num_frames();
  outcome_.chunks_done = response.chunks_done();
  outcome_.is_final = response.is_final();
  if (response.has_checkpoint()) {
    outcome_.checkpoint = response.checkpoint();
    ++outcome_.checkpoints;
    expect(response.checkpoint().frames() == outcome_.frames, "a checkpoint of the wrong frame");
  }
  const auto posteriors = ToFloats(response.log_posteriors());
  outcome_.log_posteriors.insert(outcome_.log_posteriors.end(), posteriors.begin(),
                                 posteriors.end());
  for (const v1::RecognizedUnit& unit : response.units()) {
    const bool known = unit.index() >= 0 && unit.index() < outcome_.model.units_size();
    expect(known && unit.symbol() == outcome_.model.units(unit.index()),
           "a unit with the wrong symbol");
    outcome_.units.push_back({unit.index(), unit.frame()});
  }
  return true;
}

bool StreamClient::ReadUntilChunksDone(int64_t chunks) {
  while (outcome_.chunks_done < chunks) {
    if (!ReadOne()) return false;
  }
  return true;
}

bool StreamClient::ReadUntilCheckpoints(int checkpoints) {
  while (outcome_.checkpoints < checkpoints) {
    if (!ReadOne()) return false;
  }
  return true;
}

bool StreamClient::Begin(const v1::StreamingConfig& config, const std::string& chunk) {
  return SendConfig(config) && SendChunk(chunk) && ReadUntilChunksDone(1);
}

StreamOutcome StreamClient::Finish() {
  while (ReadOne()) {
  }
  outcome_.status = call_->Finish();
  const auto& trailing = context_.GetServerTrailingMetadata();
  const auto hint = trailing.find("retry-after-ms");
  if (hint != trailing.end())
    outcome_.retry_after_ms.assign(hint->second.data(), hint->second.size());
  return outcome_;
}

StreamOutcome RunStream(v1::SpeechInference::Stub* stub, const v1::StreamingConfig& config,
                        const std::vector<std::string>& chunks) {
  StreamClient stream(stub);
  const std::jthread writer([&] {
    bool ok = stream.SendConfig(config);
    for (size_t i = 0; ok && i < chunks.size(); ++i) ok = stream.SendChunk(chunks[i]);
    stream.HalfClose();
  });
  return stream.Finish();
}

v1::StreamingConfig ResumeFrom(v1::StreamingConfig config, const v1::Checkpoint& checkpoint) {
  config.set_resume_token(checkpoint.token());
  return config;
}

void ExpectAnswersOf(const StreamContent& content, const StreamOutcome& outcome) {
  EXPECT_TRUE(outcome.status.ok())
      << outcome.status.error_code() << " " << outcome.status.error_message();
  EXPECT_EQ(outcome.defect, "");
  EXPECT_TRUE(outcome.is_final);
  EXPECT_EQ(outcome.model.name(), content.config.model());
  EXPECT_EQ(outcome.frames * outcome.model.units_size(),
            static_cast<int64_t>(content.log_posteriors.size()));
  // The message names only the first float that differs, because the vectors have thousands.
  ASSERT_EQ(outcome.log_posteriors.size(), content.log_posteriors.size());
  const auto differ = std::mismatch(content.log_posteriors.begin(), content.log_posteriors.end(),
                                    outcome.log_posteriors.begin());
  EXPECT_TRUE(differ.first == content.log_posteriors.end())
      << "posterior " << differ.first - content.log_posteriors.begin();
  EXPECT_EQ(outcome.units, content.units);
}

void ExpectError(const grpc::Status& status, grpc::StatusCode code, const std::string& message) {
  EXPECT_EQ(status.error_code(), code) << status.error_message();
  EXPECT_THAT(status.error_message(), testing::HasSubstr(message));
}

bool EventuallyStandsStill(const std::atomic<int>& count) {
  int before = -1, same = 0;
  return Eventually([&] {
    same = count == before ? same + 1 : 0;
    before = count;
    return same > 100;
  });
}

void JoinedOutcome::Add(const StreamOutcome& outcome, bool last) {
  EXPECT_EQ(outcome.defect, "");
  EXPECT_EQ(outcome.first_frame, frames_);
  frames_ = last ? outcome.frames : outcome.checkpoint.frames();
  const size_t values = (frames_ - outcome.first_frame) * outcome.model.units_size();
  ASSERT_LE(values, outcome.log_posteriors.size());
  log_posteriors_.insert(log_posteriors_.end(), outcome.log_posteriors.begin(),
                         outcome.log_posteriors.begin() + static_cast<int64_t>(values));
  for (const DecodedUnit& unit : outcome.units) {
    if (unit.frame < frames_) units_.push_back(unit);
  }
}

void JoinedOutcome::ExpectAnswersOf(const StreamContent& content) const {
  EXPECT_TRUE(log_posteriors_ == content.log_posteriors);
  EXPECT_EQ(units_, content.units);
}

}  // namespace ese
