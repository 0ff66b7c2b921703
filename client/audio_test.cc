// SPDX-License-Identifier: Apache-2.0
#include "client/audio.h"

#include <sndfile.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <numbers>
#include <type_traits>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ese {
namespace {

using ::testing::ElementsAre;

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::vector<int16_t> Sine(double hz, int rate_hz, int samples, double amplitude = 10000) {
  std::vector<int16_t> out(samples);
  for (int i = 0; i < samples; ++i) {
    out[i] = static_cast<int16_t>(
        std::lrint(amplitude * std::sin(2 * std::numbers::pi * hz * i / rate_hz)));
  }
  return out;
}

class AudioFileTest : public testing::Test {
 protected:
  AudioFileTest() {
    std::string name = (std::filesystem::temp_directory_path() / "audio_test_XXXXXX").string();
    directory_ = mkdtemp(name.data());
  }
  ~AudioFileTest() override { std::filesystem::remove_all(directory_); }

  std::string Path(const std::string& name) const { return directory_ / name; }

  std::string WriteBytes(const std::string& name, const std::string& bytes) const {
    std::ofstream(Path(name), std::ios::binary) << bytes;
    return Path(name);
  }

  template <typename T>
  std::string Write(const std::string& name, int format, int rate_hz, int channels,
                    const std::vector<T>& interleaved) const {
    SF_INFO info = {};
    info.samplerate = rate_hz;
    info.channels = channels;
    info.format = format;
    SNDFILE* file = sf_open(Path(name).c_str(), SFM_WRITE, &info);
    EXPECT_NE(file, nullptr) << sf_strerror(nullptr);
    const auto items = static_cast<sf_count_t>(interleaved.size());
    if constexpr (std::is_same_v<T, float>) {
      EXPECT_EQ(sf_write_float(file, interleaved.data(), items), items);
    } else {
      EXPECT_EQ(sf_write_short(file, interleaved.data(), items), items);
    }
    sf_close(file);
    return Path(name);
  }

  // Every error names the path and says what to do.
  static void ExpectError(const std::string& path, absl::StatusCode code, const char* cause) {
    const absl::Status status = ReadAudioFile(path).status();
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_THAT(std::string(status.message()), StartsWith(path + ": "));
    EXPECT_THAT(std::string(status.message()), HasSubstr(cause));
  }

  std::filesystem::path directory_;
};

TEST_F(AudioFileTest, LosslessFilesGiveTheirSamplesAndRate) {
  std::vector<int16_t> samples = Sine(440, 22050, 10000, 30000);
  samples[17] = -32768;
  samples[18] = 32767;
  for (const int format : {SF_FORMAT_WAV, SF_FORMAT_FLAC, SF_FORMAT_AIFF}) {
    const std::string path =
        Write<int16_t>("lossless", format | SF_FORMAT_PCM_16, 22050, 1, samples);
    const absl::StatusOr<Audio> audio = ReadAudioFile(path);
    ASSERT_TRUE(audio.ok()) << audio.status();
    EXPECT_EQ(audio->sample_rate_hz, 22050);
    EXPECT_EQ(audio->samples, samples);
  }
}

TEST_F(AudioFileTest, VorbisComesCloseAndKeepsItsLength) {
  const std::vector<int16_t> samples = Sine(440, 16000, 16000);
  const std::string path =
      Write<int16_t>("a.ogg", SF_FORMAT_OGG | SF_FORMAT_VORBIS, 16000, 1, samples);
  const absl::StatusOr<Audio> audio = ReadAudioFile(path);
  ASSERT_TRUE(audio.ok()) << audio.status();
  ASSERT_EQ(audio->samples.size(), samples.size());
  double square_error = 0;
  for (size_t i = 0; i < samples.size(); ++i) {
    square_error += std::pow(audio->samples[i] - samples[i], 2.0);
  }
  EXPECT_LT(std::sqrt(square_error / 16000), 300);  // rms; of the sine itself, 7071
}

TEST_F(AudioFileTest, ChannelsAreAveragedWithTiesToEven) {
  const std::string path =
      Write<int16_t>("stereo.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 8000, 2,
                     {100, 200, -32768, -32768, 32767, 32767, 0, 1, 1, 2, -1, 0, -32768, 32767});
  const absl::StatusOr<Audio> audio = ReadAudioFile(path);
  ASSERT_TRUE(audio.ok()) << audio.status();
  EXPECT_THAT(audio->samples, ElementsAre(150, -32768, 32767, 0, 2, 0, 0));
}

TEST_F(AudioFileTest, FloatFilesAreClippedAndNansSilenced) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  const std::string path =
      Write<float>("float.wav", SF_FORMAT_WAV | SF_FORMAT_FLOAT, 16000, 1,
                   {0.5f, -1.0f, 1.0f, 3.0f, -3.0f, kInf, -kInf, kNan, 1.4f / 32768, -1e-9f});
  const absl::StatusOr<Audio> audio = ReadAudioFile(path);
  ASSERT_TRUE(audio.ok()) << audio.status();
  EXPECT_THAT(audio->samples,
              ElementsAre(16384, -32768, 32767, 32767, -32768, 32767, -32768, 0, 1, 0));
}

TEST_F(AudioFileTest, ErrorsNameThePathAndTheRemedy) {
  using absl::StatusCode;
  ExpectError(Path("none.wav"), StatusCode::kNotFound, "check the path");
  ExpectError(directory_, StatusCode::kInvalidArgument, "name an audio file inside it");
  ExpectError("/dev/null", StatusCode::kInvalidArgument, "not a regular file");
  ExpectError(WriteBytes("empty.wav", ""), StatusCode::kInvalidArgument, "is empty");
  ExpectError(WriteBytes("text.wav", std::string(1000, 'x')), StatusCode::kInvalidArgument,
              "ffmpeg -i");
  ExpectError(WriteBytes("short.wav", "RIFF"), StatusCode::kInvalidArgument, "ffmpeg -i");
  ExpectError(Write<int16_t>("header.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 1, {}),
              StatusCode::kInvalidArgument, "holds no samples");
  ASSERT_EQ(mkfifo(Path("pipe").c_str(), 0600), 0);
  ExpectError(Path("pipe"), StatusCode::kInvalidArgument, "not a regular file");
}

TEST_F(AudioFileTest, DamagedFlacIsDataLossNotAShorterFile) {
  // Noise, which FLAC cannot shrink, so that the middle of the file is samples.
  std::vector<int16_t> samples(100000);
  uint32_t state = 1;
  for (int16_t& x : samples) x = static_cast<int16_t>((state = state * 1664525 + 1013904223) >> 16);
  const std::string path =
      Write<int16_t>("a.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 16000, 1, samples);
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(100000);
  file << std::string(50000, '\0');
  file.close();
  ExpectError(path, absl::StatusCode::kDataLoss, "fetch or record it again");
}

TEST_F(AudioFileTest, WithoutPermission) {
  const std::string path =
      Write<int16_t>("secret.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 1, {1, 2, 3});
  ASSERT_EQ(chmod(path.c_str(), 0), 0);
  ASSERT_EQ(chmod(directory_.c_str(), 0755), 0);
  // Root may read all files, so as root the child becomes nobody first.
  EXPECT_EXIT(
      {
        if (geteuid() == 0 && setuid(65534) != 0) std::abort();
        const absl::Status status = ReadAudioFile(path).status();
        fprintf(stderr, "%s", status.ToString().c_str());
        std::exit(status.code() == absl::StatusCode::kPermissionDenied ? 0 : 1);
      },
      testing::ExitedWithCode(0), "secret.wav: cannot be opened, check its permissions");
}

std::vector<int16_t> Resample(int from_hz, int to_hz, absl::Span<const int16_t> in,
                              size_t chunk = std::numeric_limits<size_t>::max()) {
  absl::StatusOr<Resampler> resampler = Resampler::Create(from_hz, to_hz);
  EXPECT_TRUE(resampler.ok()) << resampler.status();
  std::vector<int16_t> out;
  for (bool last = false; !last; in.remove_prefix(std::min(chunk, in.size()))) {
    last = chunk >= in.size();
    const absl::Status status = resampler->Process(in.subspan(0, chunk), last, &out);
    EXPECT_TRUE(status.ok()) << status;
  }
  return out;
}

class ResamplerRatesTest : public testing::TestWithParam<std::pair<int, int>> {};

TEST_P(ResamplerRatesTest, ASineKeepsFrequencyAmplitudeAndTime) {
  const auto [from_hz, to_hz] = GetParam();
  for (const double hz : {200.0, 1000.0, 3000.0}) {
    const std::vector<int16_t> out = Resample(from_hz, to_hz, Sine(hz, from_hz, 2 * from_hz));
    const std::vector<int16_t> expected = Sine(hz, to_hz, 2 * to_hz);
    ASSERT_EQ(out.size(), expected.size());
    const int edge = to_hz / 20;  // where the filter reaches beyond the signal
    int worst = 0;
    for (int i = edge; i < 2 * to_hz - edge; ++i) {
      worst = std::max(worst, std::abs(out[i] - expected[i]));
    }
    EXPECT_LE(worst, 3) << hz << " Hz";  // of 10000: two roundings and the filter's ripple
  }
}

TEST_P(ResamplerRatesTest, ChunkingDoesNotChangeABit) {
  const auto [from_hz, to_hz] = GetParam();
  std::vector<int16_t> in = Sine(700, from_hz, from_hz + 123);
  for (size_t i = 0; i < in.size(); ++i) in[i] += static_cast<int16_t>(i * i * 31 % 5003);
  const std::vector<int16_t> whole = Resample(from_hz, to_hz, in);
  EXPECT_EQ(whole.size(), in.size() * to_hz / from_hz);
  for (const size_t chunk : {1, 7, 160, 1000, 4096, 5000}) {
    EXPECT_EQ(Resample(from_hz, to_hz, in, chunk), whole) << "chunks of " << chunk;
  }
}

INSTANTIATE_TEST_SUITE_P(Rates, ResamplerRatesTest,
                         testing::Values(std::pair(44100, 16000), std::pair(8000, 16000),
                                         std::pair(48000, 16000), std::pair(22050, 16000),
                                         std::pair(16000, 8000)),
                         [](const auto& info) {
                           return std::to_string(info.param.first) + "to" +
                                  std::to_string(info.param.second);
                         });

TEST(ResamplerTest, WhatTheLowerRateCannotHoldIsGoneNotFoldedBack) {
  const std::vector<int16_t> out = Resample(44100, 16000, Sine(12000, 44100, 44100));
  for (size_t i = 800; i < out.size() - 800; ++i) ASSERT_LE(std::abs(out[i]), 1) << i;
}

TEST(ResamplerTest, EqualRatesPassSamplesThrough) {
  const std::vector<int16_t> in = Sine(440, 16000, 1000, 32767);
  EXPECT_EQ(Resample(16000, 16000, in), in);
  EXPECT_EQ(Resample(16000, 16000, in, 7), in);
}

TEST(ResamplerTest, LoudSamplesAreClippedNotWrapped) {
  std::vector<int16_t> in(8000);
  for (size_t i = 0; i < in.size(); ++i) in[i] = i / 20 % 2 == 0 ? 32767 : -32768;
  const std::vector<int16_t> out = Resample(8000, 16000, in);
  for (size_t i = 40; i + 80 < out.size(); i += 80) {  // mid of each half-wave
    EXPECT_GT(out[i - 20], 30000) << i;
    EXPECT_LT(out[i + 20], -30000) << i;
  }
}

TEST(ResamplerTest, TheEndIsNotLostAtTheLargestRatio) {
  EXPECT_EQ(Resample(256000, 1000, std::vector<int16_t>(768123)).size(), 3000u);
}

TEST(ResamplerTest, EmptyInput) {
  EXPECT_TRUE(Resample(8000, 16000, {}).empty());
  EXPECT_TRUE(Resample(16000, 16000, {}).empty());
}

TEST(ResamplerTest, RatesThatCannotBe) {
  for (const auto& [from_hz, to_hz] :
       {std::pair(0, 16000), std::pair(16000, 0), std::pair(-8000, 16000), std::pair(10, 16000),
        std::pair(16000000, 16000)}) {
    EXPECT_EQ(Resampler::Create(from_hz, to_hz).status().code(), absl::StatusCode::kInvalidArgument)
        << from_hz << " to " << to_hz;
  }
}

TEST(ResamplerTest, NothingFollowsTheLast) {
  for (const int to_hz : {8000, 16000}) {
    absl::StatusOr<Resampler> resampler = Resampler::Create(8000, to_hz);
    ASSERT_TRUE(resampler.ok());
    std::vector<int16_t> out;
    ASSERT_TRUE(resampler->Process(Sine(440, 8000, 800), true, &out).ok());
    const std::vector<int16_t> before = out;
    EXPECT_EQ(resampler->Process({}, false, &out).code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(out, before);
  }
}

}  // namespace
}  // namespace ese
