// SPDX-License-Identifier: Apache-2.0
// The input is the body of a checkpoint. The fuzzer opens it as it is, like a forged token, and
// sealed with the server's key, as if a malicious server had made it. What Open accepts must not
// change when it goes through Seal and Open again.
#include <algorithm>
#include <cstdlib>
#include <string>

#include "server/checkpoint.h"
#include "tests/fuzz/mutation.h"

namespace ese {
namespace {

constexpr UnixSeconds kNow = 1'800'000'000;
constexpr auto kMaxAge = std::chrono::hours(1);

const std::string& Key() {
  static const auto* const kKey = new std::string(CheckpointSealer::kMinKeyBytes, 'k');
  return *kKey;
}

bool Equal(const StreamCheckpoint& a, const StreamCheckpoint& b) {
  return a.model_fingerprint == b.model_fingerprint && a.stream_id == b.stream_id &&
         a.tenant == b.tenant && a.frame == b.frame && a.input == b.input &&
         a.posteriors == b.posteriors && a.units == b.units && a.last_unit == b.last_unit &&
         std::equal(a.state.c.begin(), a.state.c.end(), b.state.c.begin(), b.state.c.end()) &&
         std::equal(a.state.y.begin(), a.state.y.end(), b.state.y.begin(), b.state.y.end());
}

}  // namespace
}  // namespace ese

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto* const kSealer = new ese::CheckpointSealer({ese::Key()});
  const absl::string_view body = ese::AsText(data, size);
  if (kSealer->Open(body, ese::kNow, ese::kMaxAge).ok()) std::abort();
  const auto opened = kSealer->Open(kSealer->SealBody(body), ese::kNow, ese::kMaxAge);
  if (!opened.ok()) return 0;
  const auto again = kSealer->Open(kSealer->Seal(*opened, ese::kNow), ese::kNow, ese::kMaxAge);
  if (!again.ok() || !ese::Equal(*opened, *again)) std::abort();
  return 0;
}
