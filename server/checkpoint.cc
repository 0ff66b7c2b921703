// SPDX-License-Identifier: Apache-2.0
#include "server/checkpoint.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/regular_file.h"
#include "base/status.h"
#include "ese/internal/checkpoint.pb.h"
#include "openssl/evp.h"
#include "openssl/hmac.h"
#include "openssl/rand.h"

namespace ese {
namespace {

static_assert(std::endian::native == std::endian::little,
              "states are little-endian and are copied without conversion");

// A token consists of the magic bytes, of which the last is the version; the size of the ciphertext
// in 4 bytes, little-endian; the id of the key; the nonce; the ciphertext of an
// ese.internal.CheckpointBody; and the tag. The tag authenticates everything before it.
constexpr absl::string_view kMagic("ESC\2", 4);
constexpr size_t kFrameBytes = 8;  // magic and size
constexpr size_t kKeyIdBytes = 8;
constexpr size_t kNonceBytes = 12;
constexpr size_t kHeaderBytes = kFrameBytes + kKeyIdBytes + kNonceBytes;
constexpr size_t kTagBytes = 16;
constexpr size_t kSecretBytes = 32;
constexpr size_t kMaxKeyBytes = size_t{1} << 16;  // of a file

using Body = internal::CheckpointBody;
using CipherContext = std::unique_ptr<EVP_CIPHER_CTX, void (*)(EVP_CIPHER_CTX*)>;

uint8_t* Bytes(std::string& text) { return reinterpret_cast<uint8_t*>(text.data()); }
const uint8_t* Bytes(absl::string_view text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}
int Size(absl::string_view text) { return static_cast<int>(text.size()); }

// OpenSSL's functions for known algorithms fail only if memory is exhausted. No token may then be
// sent.
void Require(bool ok) {
  if (!ok) std::abort();
}

// Derives bytes from the contents of a key file, independent ones for each purpose.
std::string Derive(const std::string& key, absl::string_view purpose, size_t size) {
  std::string mac(EVP_MAX_MD_SIZE, '\0');
  Require(HMAC(EVP_sha256(), key.data(), Size(key), Bytes(purpose), purpose.size(), Bytes(mac),
               nullptr) != nullptr);
  return mac.substr(0, size);
}

// Returns the ciphertext and the tag.
std::string Encrypt(const std::string& secret, absl::string_view header, absl::string_view body) {
  const CipherContext context(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  std::string out(body.size() + kTagBytes, '\0');
  const absl::string_view nonce = header.substr(header.size() - kNonceBytes);
  int size = 0;
  Require(context != nullptr &&
          EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr,
                             Bytes(absl::string_view(secret)), Bytes(nonce)) == 1 &&
          EVP_EncryptUpdate(context.get(), nullptr, &size, Bytes(header), Size(header)) == 1 &&
          EVP_EncryptUpdate(context.get(), Bytes(out), &size, Bytes(body), Size(body)) == 1 &&
          EVP_EncryptFinal_ex(context.get(), Bytes(out) + size, &size) == 1 &&
          EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, kTagBytes,
                              Bytes(out) + body.size()) == 1);
  return out;
}

// Returns the body, or nothing if the tag does not match. `sealed` is what Encrypt returned.
std::optional<std::string> Decrypt(const std::string& secret, absl::string_view header,
                                   absl::string_view sealed) {
  const CipherContext context(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  const absl::string_view ciphertext = sealed.substr(0, sealed.size() - kTagBytes);
  const absl::string_view nonce = header.substr(header.size() - kNonceBytes);
  std::string tag(sealed.substr(ciphertext.size()));
  std::string body(ciphertext.size(), '\0');
  int size = 0;
  Require(context != nullptr &&
          EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr,
                             Bytes(absl::string_view(secret)), Bytes(nonce)) == 1 &&
          EVP_DecryptUpdate(context.get(), nullptr, &size, Bytes(header), Size(header)) == 1 &&
          EVP_DecryptUpdate(context.get(), Bytes(body), &size, Bytes(ciphertext),
                            Size(ciphertext)) == 1 &&
          EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, kTagBytes, tag.data()) == 1);
  if (EVP_DecryptFinal_ex(context.get(), Bytes(body) + size, &size) != 1) return std::nullopt;
  return body;
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
  if (token.size() < kHeaderBytes + kTagBytes || token.substr(0, 3) != kMagic.substr(0, 3)) {
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
  const size_t body = token.size() - kHeaderBytes - kTagBytes;
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
  body.set_tenant(checkpoint.tenant);
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
  checkpoint.tenant = body.tenant();
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

CheckpointSealer::CheckpointSealer(const std::vector<std::string>& keys) {
  assert(!keys.empty());
  for (const std::string& key : keys) {
    assert(key.size() >= kMinKeyBytes);
    keys_.push_back({.id = Derive(key, "ese checkpoint key id", kKeyIdBytes),
                     .secret = Derive(key, "ese checkpoint AES-256-GCM", kSecretBytes)});
  }
}

absl::StatusOr<CheckpointSealer> CheckpointSealer::FromFiles(
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
  return CheckpointSealer(keys);
}

CheckpointSealer CheckpointSealer::Random() {
  return CheckpointSealer({RandomBytes(kMinKeyBytes)});
}

std::string CheckpointSealer::Seal(const StreamCheckpoint& checkpoint, UnixSeconds now) const {
  return SealBody(ToBody(checkpoint, now).SerializeAsString());
}

std::string CheckpointSealer::SealBody(absl::string_view body) const {
  const Key& key = keys_.front();
  const std::string header =
      absl::StrCat(kMagic, SizeField(body.size()), key.id, RandomBytes(kNonceBytes));
  return absl::StrCat(header, Encrypt(key.secret, header, body));
}

std::optional<std::string> CheckpointSealer::Unseal(absl::string_view token) const {
  const absl::string_view header = token.substr(0, kHeaderBytes);
  for (const Key& key : keys_) {
    if (header.substr(kFrameBytes, kKeyIdBytes) != key.id) continue;
    if (auto body = Decrypt(key.secret, header, token.substr(kHeaderBytes))) return body;
  }
  return std::nullopt;
}

absl::StatusOr<StreamCheckpoint> CheckpointSealer::Open(absl::string_view token, UnixSeconds now,
                                                        Duration max_age) const {
  ESE_RETURN_IF_ERROR(CheckFraming(token));
  const auto bytes = Unseal(token);
  if (!bytes) {
    return absl::PermissionDeniedError(
        "resume_token was altered, or it was not sealed with a key of this server; resume on a "
        "server with the same --checkpoint-key, or start a new stream");
  }
  Body body;
  if (!body.ParseFromString(*bytes) || body.frame() < 0 || body.frame() > kMaxCheckpointFrame ||
      body.made_at_seconds() < 0 || body.input() == Body::UNKNOWN) {
    return absl::InvalidArgumentError(
        "resume_token is genuine but contains no valid checkpoint; start a new stream");
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
