// SPDX-License-Identifier: Apache-2.0
// The input is a checkpoint token. Some tokens are forged, and others have an arbitrary body but
// the right signature, as if a malicious server had made them. What Open accepts must not change
// when it goes through Sign and Open again.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>

#include "openssl/evp.h"
#include "openssl/hmac.h"
#include "server/checkpoint.h"
#include "tests/fuzz/mutation.h"

namespace ese {
namespace {

constexpr size_t kHeaderBytes = 8, kMacBytes = 32;  // docs/checkpoints.md
constexpr UnixSeconds kNow = 1'800'000'000;
constexpr auto kMaxAge = std::chrono::hours(1);

// make_corpus.py signs corpus/checkpoint with the same key.
const std::string& Key() {
  static const auto* const kKey = new std::string(CheckpointSigner::kMinKeyBytes, 'k');
  return *kKey;
}

std::string Token(const std::string& body) {
  const auto size = static_cast<uint32_t>(body.size());
  std::string token("ESC\1", 4);
  token.append(reinterpret_cast<const char*>(&size), sizeof(size));
  token += body;
  std::array<uint8_t, kMacBytes> mac;
  unsigned int mac_bytes = 0;
  HMAC(EVP_sha256(), Key().data(), static_cast<int>(Key().size()),
       reinterpret_cast<const uint8_t*>(token.data()), token.size(), mac.data(), &mac_bytes);
  return token.append(reinterpret_cast<const char*>(mac.data()), mac.size());
}

bool Equal(const StreamCheckpoint& a, const StreamCheckpoint& b) {
  return a.model_fingerprint == b.model_fingerprint && a.stream_id == b.stream_id &&
         a.frame == b.frame && a.input == b.input && a.posteriors == b.posteriors &&
         a.units == b.units && a.last_unit == b.last_unit &&
         std::equal(a.state.c.begin(), a.state.c.end(), b.state.c.begin(), b.state.c.end()) &&
         std::equal(a.state.y.begin(), a.state.y.end(), b.state.y.begin(), b.state.y.end());
}

}  // namespace
}  // namespace ese

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned int seed) {
  constexpr size_t kFrameBytes = ese::kHeaderBytes + ese::kMacBytes;
  if (seed % 16 == 0 || size < kFrameBytes) return LLVMFuzzerMutate(data, size, max_size);
  std::string body(ese::AsText(data, size).substr(ese::kHeaderBytes, size - kFrameBytes));
  ese::MutatePart(&body, max_size - kFrameBytes);
  return ese::Deliver(ese::Token(body), data, max_size);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto* const kSigner = new ese::CheckpointSigner({ese::Key()});
  const auto opened = kSigner->Open(ese::AsText(data, size), ese::kNow, ese::kMaxAge);
  if (!opened.ok()) return 0;
  const auto again = kSigner->Open(kSigner->Sign(*opened, ese::kNow), ese::kNow, ese::kMaxAge);
  if (!again.ok() || !ese::Equal(*opened, *again)) std::abort();
  return 0;
}
