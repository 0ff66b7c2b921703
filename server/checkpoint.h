// SPDX-License-Identifier: Apache-2.0
// A stream's checkpoint: all that a server needs to go on with it, and the signed token that
// clients keep it in. docs/checkpoints.md describes both.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/numeric/int128.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/clock.h"
#include "model/model.h"

namespace ese {

// 128 random bits, the same in all checkpoints of a stream.
using StreamId = absl::uint128;
StreamId RandomStreamId();

enum class InputKind { kAudio, kFloat32, kInt16 };

struct StreamCheckpoint {
  std::string model_fingerprint;
  StreamId stream_id = 0;
  int64_t frame = 0;  // frames computed
  // What the stream asked for.
  InputKind input = InputKind::kAudio;
  bool posteriors = false;
  bool units = false;
  int last_unit = 0;  // of the best path; if units
  StreamState state;  // after those frames
};

// A checkpoint lies at most this many frames into its stream, which is 348 years of 10 ms frames.
// The bytes and samples of so many frames still fit in 64 bits.
inline constexpr int64_t kMaxCheckpointFrame = int64_t{1} << 40;

// Seconds since 1970, by the wall clock: checkpoints move between machines.
using UnixSeconds = int64_t;
UnixSeconds UnixNow();

// Signs checkpoints and believes those that it, or another with the same key, has signed.
// Immutable.
class CheckpointSigner {
 public:
  static constexpr size_t kMinKeyBytes = 32;

  // Signs with the first key and accepts what any of them has signed, so that keys can be changed
  // with no stream lost. REQUIRES: at least one key, each of kMinKeyBytes or more.
  explicit CheckpointSigner(std::vector<std::string> keys);

  // The whole of each file is a key. NOT_FOUND: it cannot be read; INVALID_ARGUMENT: it is too
  // short.
  static absl::StatusOr<CheckpointSigner> FromFiles(const std::vector<std::string>& paths);
  // With a random key of its own: the checkpoints are good for this process only.
  static CheckpointSigner Random();

  std::string Sign(const StreamCheckpoint& checkpoint, UnixSeconds now) const;
  // INVALID_ARGUMENT: not a token, truncated, or of another version; PERMISSION_DENIED: altered, or
  // signed with a key that is not here; FAILED_PRECONDITION: older than `max_age`.
  absl::StatusOr<StreamCheckpoint> Open(absl::string_view token, UnixSeconds now,
                                        Duration max_age) const;

 private:
  std::vector<std::string> keys_;
};

}  // namespace ese
