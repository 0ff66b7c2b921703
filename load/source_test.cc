// SPDX-License-Identifier: Apache-2.0
#include "load/source.h"

#include "base/test_paths.h"
#include "client/fake_server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ese {
namespace {

using ::testing::HasSubstr;

const std::string kFolder = SourceDir() + "/tests/data/speech/";

LoadSource Make(const LoadSourceOptions& options, const v1::Model& model = FakeModel()) {
  auto source = LoadSource::Create(model, options);
  EXPECT_TRUE(source.ok()) << source.status();
  return *std::move(source);
}

std::string Chunks(const LoadSource& source, int stream, int64_t first, int64_t count) {
  std::string all;
  for (int64_t i = first; i < first + count; ++i) {
    all += std::string(source.Chunk(stream, i));
  }
  return all;
}

TEST(LoadSourceTest, NoiseFeaturesHaveThreeFramesPerChunkAndLoopWithoutAGap) {
  const LoadSource source = Make({});
  EXPECT_EQ(source.chunk_time(), std::chrono::milliseconds(90));
  EXPECT_EQ(source.frame_time(), std::chrono::milliseconds(30));
  EXPECT_EQ(source.config().features().dim(), 24u);
  const std::string chunks = Chunks(source, 0, 0, 100);
  ASSERT_EQ(chunks.size(), 100u * 3 * 24 * 4);
  const size_t period = 133 * 24 * 4;  // 4 s of frames, which is not a whole number of chunks
  EXPECT_EQ(chunks.substr(period), chunks.substr(0, chunks.size() - period));
  EXPECT_NE(chunks.substr(0, 96), chunks.substr(96, 96));
}

TEST(LoadSourceTest, NoiseDependsOnItsSeed) {
  const std::string one = Chunks(Make({.seed = 1}), 0, 0, 1);
  EXPECT_EQ(one, Chunks(Make({.seed = 1}), 0, 0, 1));
  EXPECT_NE(one, Chunks(Make({.seed = 2}), 0, 0, 1));
}

TEST(LoadSourceTest, StreamsPlayTheSameNoiseOnlyIfTheirVariantIsTheSame) {
  const LoadSource source = Make({});
  ASSERT_EQ(source.variants(), 61);
  EXPECT_EQ(source.VariantOf(61 + 5), 5);
  EXPECT_EQ(Chunks(source, 5, 0, 50), Chunks(source, 61 + 5, 0, 50));
  for (int i = 1; i < 61; ++i) EXPECT_NE(Chunks(source, i, 0, 1), Chunks(source, i - 1, 0, 1));
  // All streams send the same noise. The second stream begins two frames after the first.
  EXPECT_EQ(Chunks(source, 1, 0, 10), Chunks(source, 0, 0, 11).substr(2 * 96, 30 * 96));
}

TEST(LoadSourceTest, RoundsChunksToWholeFramesAndMakesNoneEmpty) {
  EXPECT_EQ(Make({.chunk_ms = 100}).chunk_time(), std::chrono::milliseconds(90));
  EXPECT_EQ(Make({.chunk_ms = 1}).chunk_time(), std::chrono::milliseconds(30));
  EXPECT_EQ(Chunks(Make({.chunk_ms = 1}), 0, 0, 1).size(), 96u);
}

TEST(LoadSourceTest, MakesNoiseAsAudio) {
  const LoadSource source = Make({.input = InputKind::kAudio, .chunk_ms = 100});
  EXPECT_EQ(source.chunk_time(), std::chrono::milliseconds(100));
  EXPECT_TRUE(source.config().has_audio());
  EXPECT_EQ(Chunks(source, 0, 0, 2).size(), 2u * 3200);
}

TEST(LoadSourceTest, AChunkLongerThanTheContentLoopsWithinTheChunk) {
  const LoadSource source = Make({.chunk_ms = 9000});  // 300 frames from a content of 133 frames
  const std::string chunk = Chunks(source, 0, 0, 1);
  ASSERT_EQ(chunk.size(), 300u * 96);
  EXPECT_EQ(chunk.substr(0, 34u * 96), chunk.substr(266u * 96));
}

TEST(LoadSourceTest, GivesRecordingsToStreamsInTurn) {
  const std::vector<std::string> files = {kFolder + "vm-sorry.flac",
                                          kFolder + "conf-placeintoconf.wav"};
  const LoadSource source = Make({.files = files});
  EXPECT_EQ(source.variants(), 2);
  EXPECT_EQ(Chunks(source, 0, 0, 3), Chunks(source, 2, 0, 3));
  EXPECT_EQ(Chunks(source, 1, 0, 3), Chunks(source, 3, 0, 3));
  EXPECT_NE(Chunks(source, 0, 0, 3), Chunks(source, 1, 0, 3));
}

TEST(LoadSourceTest, AModelWithoutAudioGetsNoiseAtTheGivenFrameTime) {
  v1::Model model = FakeModel();
  model.clear_features();
  const LoadSource source = Make({.chunk_ms = 20, .frame_ms = 10}, model);
  EXPECT_EQ(source.chunk_time(), std::chrono::milliseconds(20));
  EXPECT_EQ(LoadSource::Create(model, {.input = InputKind::kAudio}).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(LoadSource::Create(model, {.files = {kFolder + "vm-sorry.flac"}}).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(LoadSourceTest, RefusesUnknownAndUnsuitableFiles) {
  EXPECT_EQ(LoadSource::Create(FakeModel(), {.files = {"/nowhere/x.wav"}}).status().code(),
            absl::StatusCode::kNotFound);
  const absl::Status status =
      LoadSource::Create(FakeModel(), {.files = {kFolder + "references.tsv"}}).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("references.tsv: is not audio"));
}

}  // namespace
}  // namespace ese
