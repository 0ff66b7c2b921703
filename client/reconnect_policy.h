// SPDX-License-Identifier: Apache-2.0
// When and where a stream whose call has ended is opened again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>

#include "absl/status/statusor.h"
#include "base/clock.h"

namespace ese {

struct ReconnectOptions {
  // From the break on, without a server that goes on with the stream.
  Duration give_up_after = std::chrono::seconds(60);
  // All servers in turn at once, then a wait that doubles from the first to the last of these with
  // every round; each is shortened at random by up to a half, so that many clients do not return
  // together.
  Duration first_wait = std::chrono::milliseconds(50);
  Duration longest_wait = std::chrono::seconds(5);
};

// Not thread-safe.
class ReconnectPolicy {
 public:
  // How far a call got before it ended.
  enum class Progress {
    kNone,     // no call of the stream has ever been accepted
    kNothing,  // earlier ones were; this one was not, or brought nothing new
    kNews,     // this one brought answers or a checkpoint
  };

  // REQUIRES: servers > 0, first_server < servers
  ReconnectPolicy(size_t servers, size_t first_server, const ReconnectOptions& options,
                  uint32_t seed);

  // Where the stream is, or is to be opened next.
  size_t server() const { return server_; }

  // A call on server() has ended with `status` (an error). How long to wait before the stream is
  // opened on what is server() from now on; or the error to give up with:
  // - a stream that was never accepted is tried once on every server;
  // - one that was goes on after UNAVAILABLE, CANCELLED and DEADLINE_EXCEEDED, until give_up_after;
  //   and also where one server holds a call of it still (ALREADY_EXISTS) or cannot go on with it
  //   (PERMISSION_DENIED, NOT_FOUND, FAILED_PRECONDITION) as long as another server might.
  absl::StatusOr<Duration> Next(const absl::Status& status, Progress progress, TimePoint now);

 private:
  // At the end of a round over all servers.
  Duration NextWait();

  const size_t servers_;
  const ReconnectOptions options_;
  std::minstd_rand random_;
  size_t server_;
  size_t failures_ = 0;  // since the last news
  size_t refusals_ = 0;  // for good, in this round
  Duration wait_;        // the next round's
  Duration hint_{0};     // the shortest that a server of this round asked for
  TimePoint broken_since_;
};

}  // namespace ese
