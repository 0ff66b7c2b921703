// SPDX-License-Identifier: Apache-2.0
#include "load/verifier.h"

#include <algorithm>
#include <utility>

#include "load/shard.h"

namespace ese {

LoadVerifier::LoadVerifier(const LoadSource* source, const LoadBehaviour& behaviour,
                           std::vector<std::string> addresses, Duration timeout,
                           AccessOptions access)
    : source_(*source),
      behaviour_(behaviour),
      addresses_(std::move(addresses)),
      timeout_(timeout),
      access_(std::move(access)) {
  behaviour_.flat_out = true;
  behaviour_.ends_at_max = true;
  behaviour_.resumes = false;
  behaviour_.checkpoint_every_frames = 0;
  behaviour_.keeps_hashes = true;
}

void LoadVerifier::Expect(const LoadStream& stream) {
  if (stream.hash().frames() == 0) return;
  expected_.push_back(
      {source_.VariantOf(stream.number()), stream.hash().frames(), stream.hash().value()});
  max_chunks_ = std::max(max_chunks_, stream.chunks_sent());
}

void LoadVerifier::Run(LoadReport* report) {
  behaviour_.max_chunks = max_chunks_;
  LoadTally tally;
  LoadSchedule schedule;
  schedule.open_from = schedule.speak_from = Clock::Real()->Now();
  schedule.timeout = timeout_;
  schedule.streams = source_.variants();
  schedule.seed = 0;
  std::vector<std::vector<uint64_t>> hashes;
  // All servers give the same bits, so the first that can be reached is enough.
  for (const std::string& address : addresses_) {
    LoadShard shard(0, 1, &schedule, &behaviour_, &source_, &tally, {address}, 1, access_);
    shard.Run();
    hashes.clear();
    for (const auto& stream : shard.streams()) hashes.push_back(stream->hash().values());
    if (tally.completed() > 0) break;
  }
  report->verified = true;
  for (const Expected& expected : expected_) {
    const std::vector<uint64_t>& values = hashes[expected.variant];
    const bool same = expected.frames <= static_cast<int64_t>(values.size()) &&
                      values[expected.frames - 1] == expected.hash;
    report->differing += same ? 0 : 1;
    report->frames_verified += expected.frames;
  }
}

}  // namespace ese
