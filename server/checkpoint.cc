// SPDX-License-Identifier: Apache-2.0
#include "server/checkpoint.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <chrono>
#include <cstring>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/regular_file.h"
#include "base/status.h"
#include "ese/internal/checkpoint.pb.h"
#include "openssl/crypto.h"
#include "openssl/evp.h"
#include "openssl/hmac.h"
#include "openssl/rand.h"

namespace ese {
namespace {

static_assert(std::endian::native == std::endian::little,
              "states are little-endian and are copied without conversion");

// A token consists of these bytes, of which the last is the version; the size of the body in 4
// bytes, little-endian; the body, an ese.internal.CheckpointBody; and the HMAC-SHA-256 of
// everything before it.
constexpr absl::string_view kMagic("ESC\1", 4);
constexpr size_t kHeaderBytes = 8;
constexpr size_t kMacBytes = 32;
constexpr size_t kMaxKeyBytes = size_t{1} << 16;  // of a file

using Mac = std::array<uint8_t, kMacBytes>;
using Body = internal::CheckpointBody;

Mac MacOf(const std::string& key, absl::string_view bytes) {
  Mac mac;
  unsigned int size = 0;
  const auto* done =
      HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
           reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), mac.data(), &size);
  // This fails only if memory is exhausted. A token must never be sent with a wrong signature.
  if (done == nullptr || size != kMacBytes) std::abort();
  return mac;
}

std::string RandomBytes(size_t count) {
  std::string bytes(count, '\0');
  // The system's generator does not fail once it has been seeded.
  if (RAND_bytes(reinterpret_cast<uint8_t*>(bytes.data()), static_cast<int>(count)) != 1) {
    std::abort();
  }
  return bytes;
}

std::string SizeField(size_t size) {
  std::string field(4, '\0');
  const auto value = static_cast<uint32_t>(size);
  std::memcpy(field.data(), &value, sizeof value);
  return field;
}

absl::Status CheckFraming(absl::string_view token) {
  if (token.size() < kHeaderBytes + kMacBytes || token.substr(0, 3) != kMagic.substr(0, 3)) {
    return absl::InvalidArgumentError(
        absl::StrCat("resume_token of ", token.size(),
                     " bytes is not a checkpoint; send Checkpoint.token unchanged"));
  }
  if (token[3] != kMagic[3]) {
    return absl::InvalidArgumentError(
        absl::StrCat("resume_token has version ", static_cast<int>(static_cast<uint8_t>(token[3])),
                     ", but this server supports version ", static_cast<int>(kMagic[3]),
                     "; resume on a server of the release that issued it, or start a new stream"));
  }
  const size_t body = token.size() - kHeaderBytes - kMacBytes;
  if (token.substr(4, 4) != SizeField(body)) {
    return absl::InvalidArgumentError(
        absl::StrCat("resume_token of ", token.size(),
                     " bytes is truncated or damaged; send Checkpoint.token unchanged"));
  }
  return absl::OkStatus();
}

StreamState ToState(const std::string& cells, const std::string& outputs) {
  StreamState state;
  state.c = AlignedBuffer<int16_t>(cells.size() / sizeof(int16_t));
  state.y = AlignedBuffer<int8_t>(outputs.size());
  std::copy_n(cells.data(), state.c.size() * sizeof(int16_t),
              reinterpret_cast<char*>(state.c.data()));
  std::copy_n(outputs.data(), state.y.size(), reinterpret_cast<char*>(state.y.data()));
  return state;
}

constexpr std::pair<InputKind, Body::Input> kInputs[] = {{InputKind::kAudio, Body::AUDIO},
                                                         {InputKind::kFloat32, Body::FLOAT32},
                                                         {InputKind::kInt16, Body::INT16}};

Body ToBody(const StreamCheckpoint& checkpoint, UnixSeconds now) {
  Body body;
  body.set_model_fingerprint(checkpoint.model_fingerprint);
  body.set_stream_id_high(absl::Uint128High64(checkpoint.stream_id));
  body.set_stream_id_low(absl::Uint128Low64(checkpoint.stream_id));
  body.set_frame(checkpoint.frame);
  body.set_made_at_seconds(now);
  for (const auto& [ours, theirs] : kInputs) {
    if (ours == checkpoint.input) body.set_input(theirs);
  }
  body.set_posteriors(checkpoint.posteriors);
  body.set_units(checkpoint.units);
  body.set_last_unit(checkpoint.last_unit);
  const StreamState& state = checkpoint.state;
  body.set_cells(state.c.data(), state.c.size() * sizeof(int16_t));
  body.set_outputs(state.y.data(), state.y.size());
  return body;
}

StreamCheckpoint FromBody(const Body& body) {
  StreamCheckpoint checkpoint;
  checkpoint.model_fingerprint = body.model_fingerprint();
  checkpoint.stream_id = absl::MakeUint128(body.stream_id_high(), body.stream_id_low());
  checkpoint.frame = body.frame();
  for (const auto& [ours, theirs] : kInputs) {
    if (theirs == body.input()) checkpoint.input = ours;
  }
  checkpoint.posteriors = body.posteriors();
  checkpoint.units = body.units();
  checkpoint.last_unit = body.last_unit();
  checkpoint.state = ToState(body.cells(), body.outputs());
  return checkpoint;
}

}  // namespace

StreamId RandomStreamId() {
  uint64_t halves[2];
  std::memcpy(halves, RandomBytes(sizeof halves).data(), sizeof halves);
  return absl::MakeUint128(halves[0], halves[1]);
}

UnixSeconds UnixNow() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

CheckpointSigner::CheckpointSigner(std::vector<std::string> keys) : keys_(std::move(keys)) {
  assert(!keys_.empty());
  for ([[maybe_unused]] const std::string& key : keys_) assert(key.size() >= kMinKeyBytes);
}

absl::StatusOr<CheckpointSigner> CheckpointSigner::FromFiles(
    const std::vector<std::string>& paths) {
  std::vector<std::string> keys;
  for (const std::string& path : paths) {
    const auto read = ReadRegularFile(path, kMaxKeyBytes);
    if (!read.ok()) {
      return absl::Status(read.status().code(),
                          absl::StrCat("the checkpoint key: ", read.status().message(),
                                       "; create one with: head -c 32 /dev/urandom > ", path));
    }
    const std::string& key = *read;
    if (key.size() < kMinKeyBytes) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the checkpoint key ", path, " has ", key.size(), " bytes, but needs at least ",
          kMinKeyBytes, "; create one with: head -c 32 /dev/urandom > ", path));
    }
    keys.push_back(key);
  }
  return CheckpointSigner(std::move(keys));
}

CheckpointSigner CheckpointSigner::Random() {
  return CheckpointSigner({RandomBytes(kMinKeyBytes)});
}

std::string CheckpointSigner::Sign(const StreamCheckpoint& checkpoint, UnixSeconds now) const {
  const std::string body = ToBody(checkpoint, now).SerializeAsString();
  std::string token = absl::StrCat(kMagic, SizeField(body.size()), body);
  const Mac mac = MacOf(keys_.front(), token);
  token.append(reinterpret_cast<const char*>(mac.data()), mac.size());
  return token;
}

absl::StatusOr<StreamCheckpoint> CheckpointSigner::Open(absl::string_view token, UnixSeconds now,
                                                        Duration max_age) const {
  ESE_RETURN_IF_ERROR(CheckFraming(token));
  const absl::string_view signed_part = token.substr(0, token.size() - kMacBytes);
  const absl::string_view signature = token.substr(signed_part.size());
  const bool genuine = std::any_of(keys_.begin(), keys_.end(), [&](const std::string& key) {
    return CRYPTO_memcmp(MacOf(key, signed_part).data(), signature.data(), kMacBytes) == 0;
  });
  if (!genuine) {
    return absl::PermissionDeniedError(
        "resume_token was altered, or it was not signed with a key of this server; resume on a "
        "server with the same --checkpoint-key, or start a new stream");
  }
  Body body;
  const absl::string_view bytes = signed_part.substr(kHeaderBytes);
  if (!body.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) || body.frame() < 0 ||
      body.frame() > kMaxCheckpointFrame || body.made_at_seconds() < 0 ||
      body.input() == Body::UNKNOWN) {
    return absl::InvalidArgumentError(
        "resume_token has a valid signature but contains no valid checkpoint; start a new stream");
  }
  const int64_t age = now - body.made_at_seconds();
  // Compare in seconds, because a time far in the future does not fit in nanoseconds.
  if (age > std::chrono::duration_cast<std::chrono::seconds>(max_age).count()) {
    return absl::FailedPreconditionError(
        absl::StrCat("resume_token is ", age, " s old, but this server accepts at most ",
                     ToSeconds(max_age), " s (--checkpoint-max-age-seconds); start a new stream"));
  }
  return FromBody(body);
}

}  // namespace ese
