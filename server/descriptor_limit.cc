// SPDX-License-Identifier: Apache-2.0
#include "server/descriptor_limit.h"

#include <sys/resource.h>

#include <algorithm>
#include <climits>
#include <filesystem>
#include <iterator>

#include "absl/strings/str_cat.h"

namespace ese {

int RaiseDescriptorLimit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  if (limit.rlim_cur < limit.rlim_max) {
    rlimit raised = limit;
    raised.rlim_cur = limit.rlim_max;
    if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  }
  return static_cast<int>(std::min<rlim_t>(limit.rlim_cur, INT_MAX));
}

int OpenDescriptors() {
  std::error_code error;
  const std::filesystem::directory_iterator open("/proc/self/fd", error);
  if (error) return kReservedDescriptors;
  // The iterator has a descriptor of its own.
  return static_cast<int>(std::distance(begin(open), end(open))) - 1;
}

absl::StatusOr<int> ChooseMaxConnections(int wanted, int limit, int open) {
  const int fit = (limit - open - kReservedDescriptors) / kDescriptorsPerConnection;
  if (fit >= std::max(wanted, 1))
    return wanted > 0 ? wanted : std::min(fit, kDefaultMaxConnections);
  return absl::ResourceExhaustedError(
      absl::StrCat(wanted > 0 ? absl::StrCat("--max-connections is ", wanted, ", but ") : "",
                   "the limit of ", limit, " file descriptors leaves room for ", std::max(fit, 0),
                   " connections; raise it (ulimit -n, or LimitNOFILE in a systemd unit)",
                   wanted > 0 ? " or lower --max-connections" : ""));
}

}  // namespace ese
