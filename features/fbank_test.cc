// SPDX-License-Identifier: Apache-2.0
#include "features/fbank.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>

#include "base/test_paths.h"
#include "features/fbank_tables.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ese {
namespace {

using ::testing::Each;
using ::testing::FloatNear;
using ::testing::HasSubstr;

constexpr float kLogFloor = -15.942385f;  // ln(2^-23)

// The contents of a golden file, which tests/golden/fbank/make_golden.py makes.
struct Golden {
  FbankOptions options;  // stack = 1
  std::vector<int16_t> samples;
  std::vector<float> energies;  // [windows][num_mel_bins]
};

Golden ReadGolden(const std::string& name) {
  const std::string path = SourceDir() + "/tests/golden/fbank/" + name + ".fbank";
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  size_t at = 0;
  const auto take = [&](auto* to, size_t count) {
    const size_t size = count * sizeof(*to);
    ASSERT_LE(at + size, bytes.size()) << path << " is missing or truncated";
    std::memcpy(to, bytes.data() + at, size);
    at += size;
  };
  Golden g;
  char magic[8] = {};
  int32_t samples = 0;
  int32_t windows = 0;
  take(magic, 8);
  EXPECT_EQ(std::string(magic, 8), "ESEFBNK1") << path;
  take(&g.options.sample_rate_hz, 1);
  take(&g.options.frame_length_ms, 1);
  take(&g.options.frame_shift_ms, 1);
  take(&g.options.num_mel_bins, 1);
  take(&g.options.low_freq_hz, 1);
  take(&g.options.high_freq_hz, 1);
  take(&g.options.preemphasis, 1);
  take(&samples, 1);
  take(&windows, 1);
  g.options.stack = 1;
  g.samples.resize(samples);
  g.energies.resize(static_cast<size_t>(windows) * g.options.num_mel_bins);
  take(g.samples.data(), g.samples.size());
  take(g.energies.data(), g.energies.size());
  EXPECT_EQ(at, bytes.size()) << path;
  return g;
}

FbankStream MakeStream(const FbankOptions& options) {
  absl::StatusOr<FbankStream> stream = FbankStream::Create(options);
  EXPECT_TRUE(stream.ok()) << stream.status();
  return *std::move(stream);
}

// Returns all frames of `samples`, which the stream accepts in chunks of `chunk` samples.
std::vector<float> Features(FbankStream& stream, absl::Span<const int16_t> samples,
                            size_t chunk = std::numeric_limits<size_t>::max()) {
  std::vector<float> out;
  int frames = 0;
  for (; !samples.empty(); samples.remove_prefix(std::min(chunk, samples.size()))) {
    frames += stream.Accept(samples.subspan(0, chunk), &out);
  }
  EXPECT_EQ(out.size(), static_cast<size_t>(frames) * stream.dim());
  return out;
}

std::vector<float> Features(const FbankOptions& options, absl::Span<const int16_t> samples) {
  FbankStream stream = MakeStream(options);
  return Features(stream, samples);
}

class FbankGoldenTest : public testing::TestWithParam<const char*> {};

TEST_P(FbankGoldenTest, AgreesWithTorchaudio) {
  const Golden golden = ReadGolden(GetParam());
  const std::vector<float> out = Features(golden.options, golden.samples);
  ASSERT_EQ(out.size(), golden.energies.size());
  ASSERT_FALSE(out.empty());
  float worst = 0;
  for (size_t i = 0; i < out.size(); ++i) {
    ASSERT_TRUE(std::isfinite(out[i])) << i;
    worst = std::max(worst, std::abs(out[i] - golden.energies[i]));
  }
  EXPECT_LE(worst, 2e-3);
  RecordProperty("worst_deviation", std::to_string(worst));
}

INSTANTIATE_TEST_SUITE_P(All, FbankGoldenTest,
                         testing::Values("chirp_16k", "clipped_16k", "silence_16k", "speech_16k",
                                         "chirp_8k", "clipped_8k", "silence_8k", "speech_8k",
                                         "unusual_11k"),
                         [](const auto& info) { return std::string(info.param); });

TEST(FbankTest, SilenceGivesTheLogOfEpsilon) {
  EXPECT_THAT(Features(FbankOptions(), std::vector<int16_t>(1600, 0)),
              Each(FloatNear(kLogFloor, 1e-6f)));
}

TEST(FbankTest, ConstantInputIsSilenceBecauseTheOffsetIsRemoved) {
  EXPECT_THAT(Features(FbankOptions(), std::vector<int16_t>(1600, -32768)),
              Each(FloatNear(kLogFloor, 1e-6f)));
}

TEST(FbankTest, ChunkingDoesNotChangeAnyBit) {
  const Golden golden = ReadGolden("speech_16k");
  FbankStream stream = MakeStream(FbankOptions());
  const std::vector<float> whole = Features(stream, golden.samples);
  ASSERT_FALSE(whole.empty());
  for (const size_t chunk : {1, 7, 160, 399, 400, 401, 1000}) {
    stream.Reset();
    EXPECT_EQ(Features(stream, golden.samples, chunk), whole) << "chunks of " << chunk;
  }
}

TEST(FbankTest, FramesStackConsecutiveWindowsAndDropAnIncompleteFrame) {
  const Golden golden = ReadGolden("speech_16k");
  ASSERT_EQ(golden.energies.size() % (3 * 51), 0u) << "108 windows";
  FbankOptions options;
  options.stack = 5;
  std::vector<float> windows = Features(golden.options, golden.samples);
  windows.resize(windows.size() / (5 * 51) * (5 * 51));  // 105 windows
  EXPECT_EQ(Features(options, golden.samples), windows);
}

TEST(FbankTest, AFrameIsCompleteWithItsLastSample) {
  FbankStream stream = MakeStream(FbankOptions());
  EXPECT_EQ(stream.dim(), 153);
  std::vector<float> out;
  EXPECT_EQ(stream.Accept(std::vector<int16_t>(400 + 2 * 160 - 1), &out), 0);
  EXPECT_EQ(stream.Accept({}, &out), 0);
  EXPECT_EQ(stream.Accept(std::vector<int16_t>(1), &out), 1);
  EXPECT_EQ(stream.Accept(std::vector<int16_t>(3 * 160 - 1), &out), 0);
  EXPECT_EQ(stream.Accept(std::vector<int16_t>(1 + 2 * 480), &out), 3);
  EXPECT_EQ(out.size(), 4u * 153);
}

TEST(FbankTest, ResetBeginsANewStream) {
  const Golden golden = ReadGolden("chirp_16k");
  FbankStream stream = MakeStream(FbankOptions());
  const std::vector<float> first = Features(stream, golden.samples);
  stream.Reset();
  Features(stream, absl::MakeSpan(golden.samples).subspan(0, 777));
  stream.Reset();
  EXPECT_EQ(Features(stream, golden.samples), first);
}

TEST(FbankTest, AStreamResumedAtAFrameStartGivesTheSameBits) {
  const Golden golden = ReadGolden("speech_16k");
  const FbankOptions options;
  const std::vector<float> whole = Features(options, golden.samples);
  const std::vector<float> resumed =
      Features(options, absl::MakeSpan(golden.samples).subspan(FrameStartSample(options, 7)));
  EXPECT_EQ(resumed, std::vector<float>(whole.begin() + 7 * 153, whole.end()));
}

TEST(FbankTest, ComputesFrameStarts) {
  FbankOptions options;
  EXPECT_EQ(FrameStartSample(options, 0), 0);
  EXPECT_EQ(FrameStartSample(options, 100), 48000);
  EXPECT_EQ(FrameStartMs(options, 100), 3000.0);
  EXPECT_EQ(FrameStartMs(options, int64_t{1} << 40), 30.0 * (int64_t{1} << 40));
  options.sample_rate_hz = 11025;  // 110 samples instead of 110.25
  EXPECT_EQ(FrameStartSample(options, 1), 330);
  EXPECT_NEAR(FrameStartMs(options, 1), 29.932, 1e-3);
}

TEST(FbankTest, StreamsOnManyThreadsShareTheTables) {
  const Golden golden = ReadGolden("speech_16k");
  const auto tables = MakeFbankTables(FbankOptions());
  ASSERT_TRUE(tables.ok()) << tables.status();
  const std::vector<float> expected = Features(FbankOptions(), golden.samples);
  std::vector<std::thread> threads;
  for (size_t chunk : {100, 160, 333, 480}) {
    threads.emplace_back([&, chunk] {
      FbankStream stream(*tables);
      FbankStream other(*tables);
      std::vector<float> out;
      std::vector<float> others;
      for (auto rest = absl::MakeConstSpan(golden.samples); !rest.empty();
           rest.remove_prefix(std::min(chunk, rest.size()))) {
        stream.Accept(rest.subspan(0, chunk), &out);
        other.Accept(rest.subspan(0, chunk / 2), &others);
      }
      EXPECT_EQ(out, expected) << "chunks of " << chunk;
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(PortableLogTest, IsWithinOneUnitInTheLastPlace) {
  const auto check = [](float x) {
    const float expected = static_cast<float>(std::log(static_cast<double>(x)));
    const float log = PortableLog(x);
    EXPECT_GE(log, std::nextafter(expected, -1e9f)) << x;
    EXPECT_LE(log, std::nextafter(expected, 1e9f)) << x;
  };
  for (float x = std::numeric_limits<float>::min(); x < 1e38f; x *= 1.0003f) check(x);
  for (float x = 0.99f; x < 1.01f; x = std::nextafter(x, 2.0f)) check(x);
  EXPECT_EQ(PortableLog(1), 0);
  check(std::numeric_limits<float>::max());
}

static_assert(std::is_nothrow_move_constructible_v<FbankStream>);

template <typename T>
FbankOptions With(T FbankOptions::*option, T value) {
  FbankOptions options;
  options.*option = value;
  return options;
}

TEST(FbankOptionsTest, NamesBadOptionsWithARemedy) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInf = std::numeric_limits<float>::infinity();
  using O = FbankOptions;
  const std::pair<const char*, FbankOptions> cases[] = {
      {"sample_rate_hz is 0;", With(&O::sample_rate_hz, 0)},
      {"sample_rate_hz is 192001;", With(&O::sample_rate_hz, 192001)},
      {"frame_length_ms is 0;", With(&O::frame_length_ms, 0.0f)},
      {"frame_length_ms is 0.1;", With(&O::frame_length_ms, 0.1f)},
      {"frame_length_ms is 201;", With(&O::frame_length_ms, 201.0f)},
      {"frame_length_ms is nan;", With(&O::frame_length_ms, kNan)},
      {"frame_shift_ms is -10;", With(&O::frame_shift_ms, -10.0f)},
      {"frame_shift_ms is 0.01;", With(&O::frame_shift_ms, 0.01f)},
      {"frame_shift_ms is 26;", With(&O::frame_shift_ms, 26.0f)},
      {"num_mel_bins is 2;", With(&O::num_mel_bins, 2)},
      {"num_mel_bins is 257;", With(&O::num_mel_bins, 257)},
      {"num_mel_bins is 200, so many that bin 2 covers ", With(&O::num_mel_bins, 200)},
      {"low_freq_hz is -1;", With(&O::low_freq_hz, -1.0f)},
      {"low_freq_hz is 8000;", With(&O::low_freq_hz, 8000.0f)},
      {"high_freq_hz is 8001;", With(&O::high_freq_hz, 8001.0f)},
      {"high_freq_hz is -8000;", With(&O::high_freq_hz, -8000.0f)},
      {"high_freq_hz is -inf;", With(&O::high_freq_hz, -kInf)},
      {"preemphasis is 1.1;", With(&O::preemphasis, 1.1f)},
      {"preemphasis is nan;", With(&O::preemphasis, kNan)},
      {"stack is 0;", With(&O::stack, 0)},
      {"stack is 33;", With(&O::stack, 33)},
  };
  for (const auto& [message, options] : cases) {
    const absl::Status status = Validate(options);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << message;
    EXPECT_THAT(std::string(status.message()), HasSubstr(message));
    EXPECT_THAT(std::string(status.message()), HasSubstr("; set "));
    EXPECT_EQ(FbankStream::Create(options).status(), status);
  }
}

TEST(FbankOptionsTest, AcceptsTheBoundsThemselves) {
  FbankOptions options;
  EXPECT_TRUE(Validate(options).ok());
  options.sample_rate_hz = 192000;
  options.frame_length_ms = 200;
  options.frame_shift_ms = 200;
  options.num_mel_bins = 256;
  options.low_freq_hz = 0;
  options.high_freq_hz = 96000;
  options.preemphasis = 1;
  options.stack = 1;
  ASSERT_TRUE(Validate(options).ok()) << Validate(options);
  EXPECT_EQ(Features(options, std::vector<int16_t>(2 * 38400)).size(), 2u * 256);
  options = FbankOptions();
  options.preemphasis = 0;
  options.stack = 32;
  EXPECT_TRUE(Validate(options).ok()) << Validate(options);
}

}  // namespace
}  // namespace ese
