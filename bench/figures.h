// SPDX-License-Identifier: Apache-2.0
// The rivals of a benchmark, and its figures, which go to standard output as a line of JSON each.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bench/interleaved.h"

namespace ese {

// The rivals that take turns in each round. They are found by name.
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

// Prints {"name": .., "value": median us of `ours`, "unit": "us", "p10": .., "p90": .., "peer": ..,
// "ratio": median over the rounds of the peer's time divided by ours}.
void PrintAgainst(const std::string& name, const Contender& ours, const std::string& peer_name,
                  const Contender& peer);
// Prints {"name": .., "value": .., "unit": ..}.
void PrintFigure(const std::string& name, double value, const std::string& unit);
// Prints the same together with a figure that somebody else reports: {.., "peer": ..,
// "peer_value": .., "ratio": peer_value divided by value}. `source` says where a value comes from
// that was not measured. If it is empty, it is left out.
void PrintBeside(const std::string& name, double value, const std::string& unit,
                 const std::string& peer, double peer_value, const std::string& source = "");

// Prints a table of all contenders on standard error.
void Summarise(const Race& race);

}  // namespace ese
