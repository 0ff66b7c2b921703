// What the streams of a load test play: recordings, decoded and turned into content once, shared by
// all streams and looped without a gap. Without recordings, noise.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "client/content.h"
#include "ese/v1/speech.pb.h"

namespace ese {

struct LoadSourceOptions {
  InputKind input = InputKind::kFeatures;
  // Any that audio.h reads; stream i plays file i modulo their number.
  std::vector<std::string> files = {};
  double chunk_ms = 90;  // rounded to whole frames or samples, at least one
  double frame_ms = 30;  // of models that take features only, which do not tell
  uint64_t seed = 1;     // of the noise
};

// Immutable after Create; thread-safe.
class LoadSource {
 public:
  // The errors of ReadAudioFile and ContentEncoder::Create; INVALID_ARGUMENT if a file is shorter
  // than a frame.
  static absl::StatusOr<LoadSource> Create(const v1::Model& model,
                                           const LoadSourceOptions& options);

  const v1::StreamingConfig& config() const { return config_; }
  // Of audio that a chunk stands for.
  Duration chunk_time() const { return chunk_time_; }
  // Of audio that a frame stands for.
  Duration frame_time() const { return frame_time_; }
  // Content of chunk `chunk`, from 0, of stream `stream`.
  void Fill(int stream, int64_t chunk, std::string* out) const;

 private:
  LoadSource() = default;

  v1::StreamingConfig config_;
  std::vector<std::string> contents_;  // whole elements, none empty
  size_t chunk_bytes_ = 0;             // whole elements
  Duration chunk_time_{0};
  Duration frame_time_{0};
};

}  // namespace ese
