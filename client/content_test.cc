// SPDX-License-Identifier: Apache-2.0
#include "client/content.h"

#include "client/fake_server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ese {
namespace {

using ::testing::HasSubstr;

std::vector<int16_t> Ramp(size_t count) {
  std::vector<int16_t> samples(count);
  for (size_t i = 0; i < count; ++i) samples[i] = static_cast<int16_t>(37 * i);
  return samples;
}

std::string EncodeIn(const v1::Model& model, InputKind kind, int rate_hz,
                     absl::Span<const int16_t> samples, size_t block) {
  auto encoder = ContentEncoder::Create(model, kind, rate_hz);
  EXPECT_TRUE(encoder.ok()) << encoder.status();
  std::string content;
  while (samples.size() > block) {
    EXPECT_TRUE(encoder->Encode(samples.first(block), false, &content).ok());
    samples.remove_prefix(block);
  }
  EXPECT_TRUE(encoder->Encode(samples, true, &content).ok());
  return content;
}

TEST(ContentTest, AudioAtTheModelsRateIsPassedOnAsItIs) {
  const std::vector<int16_t> samples = {1, -2, 0x1234};
  EXPECT_EQ(EncodeIn(FakeModel(), InputKind::kAudio, 16000, samples, 2),
            std::string("\x01\x00\xFE\xFF\x34\x12", 6));
}

TEST(ContentTest, AudioOfAnotherRateIsResampled) {
  const std::string content = EncodeIn(FakeModel(), InputKind::kAudio, 8000, Ramp(8000), 800);
  EXPECT_NEAR(static_cast<double>(content.size()), 2 * 16000, 4);
}

TEST(ContentTest, FeaturesAreThoseOfTheModelsSettings) {
  FbankOptions options;
  options.num_mel_bins = 8;
  auto fbank = FbankStream::Create(options);
  std::vector<float> expected;
  fbank->Accept(Ramp(16000), &expected);
  const std::string content = EncodeIn(FakeModel(), InputKind::kFeatures, 16000, Ramp(16000), 1600);
  EXPECT_EQ(content, std::string(reinterpret_cast<const char*>(expected.data()),
                                 expected.size() * sizeof(float)));
  EXPECT_EQ(content.size() % ElementBytes(FakeModel(), InputKind::kFeatures), 0u);
}

TEST(ContentTest, BlocksDoNotMatter) {
  for (const InputKind kind : {InputKind::kAudio, InputKind::kFeatures}) {
    const std::string whole = EncodeIn(FakeModel(), kind, 44100, Ramp(44100), 44100);
    for (const size_t block : {1u, 441u, 4410u, 44099u}) {
      EXPECT_EQ(EncodeIn(FakeModel(), kind, 44100, Ramp(44100), block), whole) << block;
    }
  }
}

TEST(ContentTest, ModelOfFeaturesOnlyCannotHear) {
  v1::Model model = FakeModel();
  model.clear_features();
  EXPECT_EQ(FrameSeconds(model), 0);
  const absl::Status status = ContentEncoder::Create(model, InputKind::kAudio, 16000).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("takes features only"));
}

TEST(ContentTest, SettingsThatContradictTheInputsAreRefused) {
  v1::Model model = FakeModel();
  model.set_input_dim(25);
  EXPECT_THAT(
      std::string(ContentEncoder::Create(model, InputKind::kFeatures, 16000).status().message()),
      HasSubstr("24 features per frame, but the model has inputs of 25"));
  model.mutable_features()->set_stack(0);
  EXPECT_EQ(ContentEncoder::Create(model, InputKind::kFeatures, 16000).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(ContentTest, ConfigsAndSizes) {
  const v1::Model model = FakeModel();
  EXPECT_EQ(MakeConfig(model, InputKind::kAudio).audio().sample_rate_hz(), 16000u);
  EXPECT_EQ(MakeConfig(model, InputKind::kFeatures).features().dim(), 24u);
  EXPECT_EQ(MakeConfig(model, InputKind::kFeatures).model(), "fake");
  EXPECT_EQ(ElementBytes(model, InputKind::kAudio), 2u);
  EXPECT_EQ(ElementBytes(model, InputKind::kFeatures), 96u);
  EXPECT_DOUBLE_EQ(FrameSeconds(model), 0.03);
}

}  // namespace
}  // namespace ese
