// SPDX-License-Identifier: Apache-2.0
// A stream's checkpoint is everything that a server needs to continue the stream. Clients keep it
// as a sealed token, which only the servers can read and make. docs/checkpoints.md describes both.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/numeric/int128.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/clock.h"
#include "model/model.h"
#include "model/model_sections.h"

namespace ese {

// 128 random bits. All checkpoints of a stream have the same id.
using StreamId = absl::uint128;
StreamId RandomStreamId();

enum class InputKind { kAudio, kFloat32, kInt16 };

struct StreamCheckpoint {
  std::string model_fingerprint;
  std::string tenant;  // the stream's owner; empty if the server does not identify callers
  StreamId stream_id = 0;
  int64_t frame = 0;  // number of frames computed
  // What the stream's config asked for.
  InputKind input = InputKind::kAudio;
  bool posteriors = false;
  bool units = false;
  int last_unit = 0;  // last unit of the best path; unused without `units`
  StreamState state;  // after these frames
};

// A checkpoint is at most this many frames into its stream, which is 348 years of 10 ms frames. The
// number of bytes or samples in so many frames still fits in 64 bits.
inline constexpr int64_t kMaxCheckpointFrame = int64_t{1} << 40;

// No token is longer, because no model is larger. The state has three bytes for each cell, and the
// rest of a token needs less than 256 bytes.
inline constexpr size_t kMaxTokenBytes = size_t{3} * kMaxDimension * kMaxLayers + 256;

// Seconds since 1970 on the wall clock, because checkpoints move between machines.
using UnixSeconds = int64_t;
UnixSeconds UnixNow();

// Encrypts checkpoints with AES-256-GCM, and opens those that were sealed with one of its keys.
// Immutable.
class CheckpointSealer {
 public:
  static constexpr size_t kMinKeyBytes = 32;

  // Seals with the first key and opens what was sealed with any of them, so that keys can be
  // changed without losing a stream. REQUIRES: at least one key, each of kMinKeyBytes or more.
  explicit CheckpointSealer(const std::vector<std::string>& keys);

  // Reads one key from each file; the whole file is the key. NOT_FOUND: a file cannot be read.
  // INVALID_ARGUMENT: a key is too short.
  static absl::StatusOr<CheckpointSealer> FromFiles(const std::vector<std::string>& paths);
  // Returns a sealer with a new random key. Its checkpoints are valid in this process only.
  static CheckpointSealer Random();

  std::string Seal(const StreamCheckpoint& checkpoint, UnixSeconds now) const;
  // Seals any bytes. Tests use it to make tokens that no server makes.
  std::string SealBody(absl::string_view body) const;
  // INVALID_ARGUMENT: not a token, truncated, or of another version. PERMISSION_DENIED: altered, or
  // sealed with a key that this sealer does not have. FAILED_PRECONDITION: older than `max_age`.
  absl::StatusOr<StreamCheckpoint> Open(absl::string_view token, UnixSeconds now,
                                        Duration max_age) const;

 private:
  struct Key {
    std::string id;  // tells which key sealed a token, and reveals nothing about the key
    std::string secret;
  };

  // Returns the body of a token, or nothing if none of the keys has sealed it.
  std::optional<std::string> Unseal(absl::string_view token) const;

  std::vector<Key> keys_;
};

}  // namespace ese
