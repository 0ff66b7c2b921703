// SPDX-License-Identifier: Apache-2.0
// A benchmark's rivals, and its figures: a line of JSON each on standard output.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bench/interleaved.h"

namespace ese {

// Rivals of one round, found by name.
class Race {
 public:
  void Add(const std::string& name, int units, std::function<void()> run);
  void Run(int rounds) { RunInterleaved(rounds, &contenders_); }
  // REQUIRES: there is one of this name.
  const Contender& Find(const std::string& name) const;
  const std::vector<Contender>& contenders() const { return contenders_; }

 private:
  std::vector<Contender> contenders_;
};

// {"name": .., "value": median us of `ours`, "unit": "us", "p10": .., "p90": .., "peer": ..,
// "ratio": median over the rounds of the peer's to ours}.
void PrintAgainst(const std::string& name, const Contender& ours, const std::string& peer_name,
                  const Contender& peer);
// {"name": .., "value": .., "unit": ..}
void PrintFigure(const std::string& name, double value, const std::string& unit);
// The same beside what somebody else reports: {.., "peer": .., "peer_value": .., "ratio":
// peer_value to value}, and with "source", unless that is empty, of what was not measured.
void PrintBeside(const std::string& name, double value, const std::string& unit,
                 const std::string& peer, double peer_value, const std::string& source = "");

// A table of all contenders on standard error.
void Summarise(const Race& race);

}  // namespace ese
