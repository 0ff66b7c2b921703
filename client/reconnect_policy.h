// SPDX-License-Identifier: Apache-2.0
// Decides when and on which server a stream is opened again after its call has ended.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"

namespace ese {

struct ReconnectOptions {
  // How long to look for a server that continues the stream, counted from the break.
  Duration give_up_after = std::chrono::seconds(60);
  // All servers are tried in turn without a wait. Then comes a wait before the next round; it
  // starts at `first_wait` and doubles with every round up to `longest_wait`. Each wait is
  // shortened at random by up to a half, so that many clients do not return together.
  Duration first_wait = std::chrono::milliseconds(50);
  Duration longest_wait = std::chrono::seconds(5);
};

// Not thread-safe.
class ReconnectPolicy {
 public:
  // How far a call got before it ended.
  enum class Progress {
    kNone,     // no call of the stream has ever been accepted
    kNothing,  // an earlier call was accepted; this one was not, or brought nothing new
    kNews,     // this call brought answers or a checkpoint
  };

  // `seed` is for the random part of the waits. REQUIRES: servers > 0, first_server < servers
  ReconnectPolicy(size_t servers, size_t first_server, const ReconnectOptions& options,
                  uint32_t seed);

  // The server that the stream is on, or is to be opened on next.
  size_t server() const { return server_; }

  // A call on server() has ended with the error `status`. Chooses the next server(), and returns
  // how long to wait before the stream is opened there, or the error to give up with, which names
  // what each server answered last if several have failed. The rules:
  // - A stream that was never accepted is tried once on every server.
  // - An accepted stream continues after UNAVAILABLE, CANCELLED and DEADLINE_EXCEEDED until
  //   give_up_after is over. It also continues while a server still holds an old call of the stream
  //   (ALREADY_EXISTS), and if a server cannot continue it (PERMISSION_DENIED, NOT_FOUND,
  //   FAILED_PRECONDITION) as long as there are others to try.
  absl::StatusOr<Duration> Next(const absl::Status& status, Progress progress, TimePoint now);

 private:
  // The error to give up with: `status`, with the reasons of all servers that failed.
  absl::Status GiveUp(const absl::Status& status) const;
  // The wait at the end of a round over all servers.
  Duration NextWait();

  const size_t servers_;
  const ReconnectOptions options_;
  std::minstd_rand random_;
  size_t server_;
  std::vector<absl::Status> last_errors_;  // by server, since a call last brought news
  size_t failures_ = 0;                    // since a call last brought news
  size_t refusals_ = 0;                    // servers of this round that cannot continue the stream
  Duration wait_;                          // before the next round
  Duration hint_{0};  // the shortest wait that a server of this round asked for; 0: none did
  TimePoint broken_since_;
};

// Combines what several servers answered into one error with the code of `last`. Each message must
// name its server. Errors that are OK are left out; if only one is left, returns `last`.
absl::Status ErrorOfAllServers(const absl::Status& last, const std::vector<absl::Status>& errors);

}  // namespace ese
