// SPDX-License-Identifier: Apache-2.0
// What the streams of a load test play: recordings, decoded and turned into content once, shared by
// all streams and looped without a gap. Without recordings, noise, of which each stream begins at
// one of many places, so that states mixed up between streams show.
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
  // Content of chunk `chunk`, from 0, of stream `stream`; valid as long as the source.
  absl::string_view Chunk(int stream, int64_t chunk) const;
  size_t chunk_bytes() const { return chunk_bytes_; }
  // Streams of the same variant play the same; stream i < variants() plays variant i.
  int variants() const { return variants_; }
  int VariantOf(int stream) const { return stream % variants_; }

 private:
  LoadSource() = default;

  v1::StreamingConfig config_;
  // Makes `content`, of whole elements, one that Chunk finds every chunk in as a whole.
  void Add(std::string content);

  std::vector<std::string> contents_;  // each followed by its own beginning, a chunk's bytes of it
  std::vector<size_t> sizes_;          // without what follows
  int variants_ = 0;
  size_t variant_bytes_ = 0;  // between the places where variants of one content begin
  size_t chunk_bytes_ = 0;    // whole elements
  Duration chunk_time_{0};
  Duration frame_time_{0};
};

}  // namespace ese
