// SPDX-License-Identifier: Apache-2.0
#include "base/retry_after.h"

#include <cassert>
#include <cstdint>
#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace ese {
namespace {

constexpr char kUrl[] = "ese/retry-after-ms";

}  // namespace

void SetRetryAfter(Duration after, absl::Status* status) {
  assert(!status->ok() && after >= Duration(0));
  const int64_t ms = std::chrono::ceil<std::chrono::milliseconds>(after).count();
  status->SetPayload(kUrl, absl::Cord(absl::StrCat(ms)));
}

std::optional<Duration> RetryAfter(const absl::Status& status) {
  const auto payload = status.GetPayload(kUrl);
  int64_t ms = 0;
  if (!payload || !absl::SimpleAtoi(std::string(*payload), &ms)) return std::nullopt;
  return std::chrono::milliseconds(ms);
}

}  // namespace ese
