// SPDX-License-Identifier: Apache-2.0
// What the streams of a load test send: recordings, which are decoded and encoded once, shared by
// all streams, and looped without a gap. Without recordings they send noise, and start at different
// points of it, so that the run reveals a server that confuses their states.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/clock.h"
#include "client/content.h"
#include "ese/v1/speech.pb.h"

namespace ese {

struct LoadSourceOptions {
  InputKind input = InputKind::kFeatures;
  // In any format that audio.h reads. Stream i sends file i modulo their number.
  std::vector<std::string> files = {};
  double chunk_ms = 90;  // rounded to whole frames or samples, at least one
  double frame_ms = 30;  // for models that take features only, which do not define a frame's length
  uint64_t seed = 1;     // for the noise
};

// Immutable after Create; thread-safe.
class LoadSource {
 public:
  // Returns the errors of ReadAudioFile and ContentEncoder::Create, or INVALID_ARGUMENT if a file
  // is shorter than a frame.
  static absl::StatusOr<LoadSource> Create(const v1::Model& model,
                                           const LoadSourceOptions& options);

  const v1::StreamingConfig& config() const { return config_; }
  // The duration of the audio in a chunk.
  Duration chunk_time() const { return chunk_time_; }
  // The duration of the audio in a frame.
  Duration frame_time() const { return frame_time_; }
  // The content of chunk `chunk` (counted from 0) of stream `stream`. Valid as long as the source.
  absl::string_view Chunk(int stream, int64_t chunk) const;
  size_t chunk_bytes() const { return chunk_bytes_; }
  // Streams of the same variant send the same content. Stream i < variants() sends variant i.
  int variants() const { return variants_; }
  int VariantOf(int stream) const { return stream % variants_; }

 private:
  LoadSource() = default;

  // Adds `content`, which holds whole elements, and repeats its beginning at its end, so that every
  // chunk is contiguous.
  void Add(std::string content);

  v1::StreamingConfig config_;
  std::vector<std::string> contents_;  // each followed by one chunk that repeats its beginning
  std::vector<size_t> sizes_;          // of contents_ without that chunk
  int variants_ = 0;
  size_t variant_bytes_ = 0;  // between the starting points of variants in one content
  size_t chunk_bytes_ = 0;    // a multiple of the element size
  Duration chunk_time_{0};
  Duration frame_time_{0};
};

}  // namespace ese
