// SPDX-License-Identifier: Apache-2.0
#include "client/audio.h"

#include <samplerate.h>
#include <sndfile.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstddef>

#include "absl/strings/str_cat.h"

namespace ese {
namespace {

constexpr int kBlockFrames = 4096;
constexpr char kConvert[] = "convert it, for example with: ffmpeg -i IN -ac 1 -ar 16000 OUT.wav";

struct CloseSndfile {
  void operator()(SNDFILE* file) const { sf_close(file); }
};

// Converts [-1, 1) to 16 bits. A NaN, which a float file may hold, becomes silence.
int16_t ToInt16(float x) {
  const float scaled = x * 32768.0f;
  if (!(scaled > -32768.0f)) return std::isnan(scaled) ? 0 : -32768;
  return static_cast<int16_t>(std::lrintf(std::min(scaled, 32767.0f)));
}

// Refuses what must not even be opened: opening a named pipe, for example, might never return.
absl::Status CheckRegularFile(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot be read, check the path"));
  }
  if (S_ISDIR(info.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": is a directory; name an audio file inside it"));
  }
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": is not a regular file; record it to a file first"));
  }
  if (info.st_size == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": is empty; was its recording or download cut short?"));
  }
  return absl::OkStatus();
}

absl::Status OpenError(const std::string& path) {
  // If open() failed, libsndfile reports SF_ERR_SYSTEM and leaves errno as it was.
  const int system_error = errno;
  if (sf_error(nullptr) == SF_ERR_SYSTEM && system_error != 0) {
    return absl::ErrnoToStatus(system_error,
                               absl::StrCat(path, ": cannot be opened, check its permissions"));
  }
  return absl::InvalidArgumentError(absl::StrCat(path, ": is not audio that libsndfile can read (",
                                                 sf_strerror(nullptr), "); ", kConvert));
}

}  // namespace

absl::StatusOr<Audio> ReadAudioFile(const std::string& path) {
  if (absl::Status status = CheckRegularFile(path); !status.ok()) return status;
  SF_INFO info = {};
  errno = 0;
  const std::unique_ptr<SNDFILE, CloseSndfile> file(sf_open(path.c_str(), SFM_READ, &info));
  if (file == nullptr) return OpenError(path);

  Audio audio;
  audio.sample_rate_hz = info.samplerate;
  std::vector<float> block(static_cast<size_t>(kBlockFrames) * info.channels);
  while (const sf_count_t frames = sf_readf_float(file.get(), block.data(), kBlockFrames)) {
    if (static_cast<int64_t>(audio.samples.size()) + frames > kMaxAudioSamples) {
      return absl::OutOfRangeError(absl::StrCat(path, ": is longer than ", kMaxAudioSamples,
                                                " samples; split it and send the parts"));
    }
    for (sf_count_t i = 0; i < frames; ++i) {
      float sum = 0;
      for (int c = 0; c < info.channels; ++c) sum += block[i * info.channels + c];
      audio.samples.push_back(ToInt16(sum / static_cast<float>(info.channels)));
    }
  }
  if (sf_error(file.get()) != SF_ERR_NO_ERROR) {
    return absl::DataLossError(absl::StrCat(path, ": is damaged after ", audio.samples.size(),
                                            " samples (", sf_strerror(file.get()),
                                            "); fetch or record it again"));
  }
  if (audio.samples.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": holds no samples; was its recording cut short?"));
  }
  return audio;
}

void Resampler::Delete::operator()(SRC_STATE_tag* state) const { src_delete(state); }

absl::StatusOr<Resampler> Resampler::Create(int from_hz, int to_hz) {
  if (from_hz < 1 || to_hz < 1) {
    return absl::InvalidArgumentError(absl::StrCat("cannot resample from ", from_hz, " Hz to ",
                                                   to_hz, " Hz; both rates must be positive"));
  }
  if (from_hz == to_hz) return Resampler(1.0, nullptr);
  const double ratio = static_cast<double>(to_hz) / from_hz;
  if (!src_is_valid_ratio(ratio)) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot resample from ", from_hz, " Hz to ", to_hz,
                     " Hz; one rate must be at most 256 times the other"));
  }
  int error = 0;
  SRC_STATE* state = src_new(SRC_SINC_MEDIUM_QUALITY, /*channels=*/1, &error);
  if (state == nullptr) {
    return absl::ResourceExhaustedError(absl::StrCat("libsamplerate: ", src_strerror(error)));
  }
  return Resampler(ratio, state);
}

absl::Status Resampler::Process(absl::Span<const int16_t> in, bool last,
                                std::vector<int16_t>* out) {
  if (ended_) {
    return absl::FailedPreconditionError(
        "the resampler's stream has ended; create another resampler for the next stream");
  }
  ended_ = last;
  if (state_ == nullptr) {
    out->insert(out->end(), in.begin(), in.end());
    return absl::OkStatus();
  }
  while (in.size() > kBlockFrames) {
    absl::Status status = ProcessBlock(in.subspan(0, kBlockFrames), /*last=*/false, out);
    if (!status.ok()) return status;
    in.remove_prefix(kBlockFrames);
  }
  absl::Status status = ProcessBlock(in, /*last=*/false, out);
  if (!status.ok() || !last) return status;
  // Signal the end separately from the last samples. Together they may not fit libsamplerate's
  // buffer: at 256000 -> 1000 Hz up to eleven output samples were lost.
  return ProcessBlock({}, /*last=*/true, out);
}

// REQUIRES: block.size() <= kBlockFrames
absl::Status Resampler::ProcessBlock(absl::Span<const int16_t> block, bool last,
                                     std::vector<int16_t>* out) {
  // The order matters. If the output began where the input ends, src_process() would report that
  // a used-up input overlaps the output.
  struct {
    float output[kBlockFrames];
    float input[kBlockFrames];
  } buffers;
  src_short_to_float_array(block.data(), buffers.input, static_cast<int>(block.size()));
  SRC_DATA data = {};
  data.data_in = buffers.input;
  data.input_frames = static_cast<int64_t>(block.size());
  data.data_out = buffers.output;
  data.output_frames = kBlockFrames;
  data.end_of_input = last;
  data.src_ratio = ratio_;
  do {  // until it neither takes nor gives samples: one call may hold some back for the next
    if (const int error = src_process(state_.get(), &data); error != 0) {
      return absl::InternalError(absl::StrCat("libsamplerate: ", src_strerror(error)));
    }
    data.data_in += data.input_frames_used;
    data.input_frames -= data.input_frames_used;
    const size_t before = out->size();
    out->resize(before + data.output_frames_gen);
    src_float_to_short_array(buffers.output, out->data() + before,
                             static_cast<int>(data.output_frames_gen));
  } while (data.input_frames_used > 0 || data.output_frames_gen > 0);
  return absl::OkStatus();
}

}  // namespace ese
