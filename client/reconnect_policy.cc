// SPDX-License-Identifier: Apache-2.0
#include "client/reconnect_policy.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "base/retry_after.h"

namespace ese {
namespace {

bool IsTransient(absl::StatusCode code) {
  return code == absl::StatusCode::kUnavailable || code == absl::StatusCode::kCancelled ||
         code == absl::StatusCode::kDeadlineExceeded;
}

// This server cannot continue the stream, but another one may be able to.
bool IsRefusalOfOneServer(absl::StatusCode code) {
  return code == absl::StatusCode::kPermissionDenied || code == absl::StatusCode::kNotFound ||
         code == absl::StatusCode::kFailedPrecondition;
}

}  // namespace

ReconnectPolicy::ReconnectPolicy(size_t servers, size_t first_server,
                                 const ReconnectOptions& options, uint32_t seed)
    : servers_(servers),
      options_(options),
      random_(seed),
      server_(first_server),
      last_errors_(servers),
      wait_(options.first_wait) {}

absl::StatusOr<Duration> ReconnectPolicy::Next(const absl::Status& status, Progress progress,
                                               TimePoint now) {
  const absl::StatusCode code = status.code();
  if (progress == Progress::kNews) {
    if (!IsTransient(code)) return status;
    failures_ = refusals_ = 0;
    last_errors_.assign(servers_, absl::OkStatus());
    last_errors_[server_] = status;
    wait_ = options_.first_wait;
    broken_since_ = now;
    server_ = (server_ + 1) % servers_;
    // A single server may be gone for only a moment, so give it that moment.
    return servers_ == 1 ? NextWait() : Duration(0);
  }
  last_errors_[server_] = status;
  const bool resuming = progress == Progress::kNothing;
  const bool refused = resuming && IsRefusalOfOneServer(code);
  if (!IsTransient(code) && !refused && !(resuming && code == absl::StatusCode::kAlreadyExists)) {
    return GiveUp(status);
  }
  if (refused) ++refusals_;
  if (const auto hint = RetryAfter(status)) {
    hint_ = hint_ == Duration(0) ? *hint : std::min(hint_, *hint);
  }
  server_ = (server_ + 1) % servers_;
  if (++failures_ % servers_ != 0) return Duration(0);
  if (!resuming || refusals_ == servers_) return GiveUp(status);
  refusals_ = 0;
  const Duration wait = NextWait();
  if (now + wait - broken_since_ <= options_.give_up_after) return wait;
  const absl::Status error = GiveUp(status);
  return absl::Status(code,
                      absl::StrCat(error.message(), "; no server continued the stream within ",
                                   ToSeconds(options_.give_up_after), " s"));
}

absl::Status ReconnectPolicy::GiveUp(const absl::Status& status) const {
  return ErrorOfAllServers(status, last_errors_);
}

Duration ReconnectPolicy::NextWait() {
  std::uniform_int_distribution<int64_t> jittered(wait_.count() / 2, wait_.count());
  const Duration wait = std::max(Duration(jittered(random_)), hint_);
  wait_ = std::min(2 * wait_, options_.longest_wait);
  hint_ = Duration(0);
  return wait;
}

absl::Status ErrorOfAllServers(const absl::Status& last, const std::vector<absl::Status>& errors) {
  std::vector<absl::string_view> reasons;
  for (const absl::Status& error : errors) {
    if (!error.ok()) reasons.push_back(error.message());
  }
  if (reasons.size() < 2) return last;
  absl::Status all(last.code(),
                   absl::StrCat("all ", reasons.size(), " servers that were tried failed: ",
                                absl::StrJoin(reasons, "; and ")));
  if (const auto hint = RetryAfter(last)) SetRetryAfter(*hint, &all);
  return all;
}

}  // namespace ese
