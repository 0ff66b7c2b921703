// SPDX-License-Identifier: Apache-2.0
#include "bench/figures.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "nlohmann/json.hpp"

namespace ese {
namespace {

double Rounded(double value) { return std::round(value * 1000) / 1000; }

void PrintLine(const nlohmann::ordered_json& line) {
  std::printf("%s\n", line.dump().c_str());
  std::fflush(stdout);
}

}  // namespace

void Race::Add(const std::string& name, int units, std::function<void()> run) {
  contenders_.push_back({.name = name, .run = std::move(run), .units = units});
}

const Contender& Race::Find(const std::string& name) const {
  for (const Contender& contender : contenders_) {
    if (contender.name == name) return contender;
  }
  std::fprintf(stderr, "no contender is called %s\n", name.c_str());
  std::abort();
}

void PrintAgainst(const std::string& name, const Contender& ours, const std::string& peer_name,
                  const Contender& peer) {
  PrintLine({{"name", name},
             {"value", Rounded(Quantile(ours.microseconds, 0.5))},
             {"unit", "us"},
             {"p10", Rounded(Quantile(ours.microseconds, 0.1))},
             {"p90", Rounded(Quantile(ours.microseconds, 0.9))},
             {"peer", peer_name},
             {"ratio", Rounded(MedianRatio(peer, ours))}});
}

void PrintFigure(const std::string& name, double value, const std::string& unit) {
  PrintLine({{"name", name}, {"value", Rounded(value)}, {"unit", unit}});
}

void PrintBeside(const std::string& name, double value, const std::string& unit,
                 const std::string& peer, double peer_value, const std::string& source) {
  nlohmann::ordered_json line = {
      {"name", name}, {"value", Rounded(value)},           {"unit", unit},
      {"peer", peer}, {"peer_value", Rounded(peer_value)}, {"ratio", Rounded(peer_value / value)}};
  if (!source.empty()) line["source"] = source;
  PrintLine(line);
}

void Summarise(const Race& race) {
  std::fprintf(stderr, "%-28s %10s %10s %10s   us\n", "", "median", "10 %", "90 %");
  for (const Contender& c : race.contenders()) {
    std::fprintf(stderr, "%-28s %10.1f %10.1f %10.1f\n", c.name.c_str(),
                 Quantile(c.microseconds, 0.5), Quantile(c.microseconds, 0.1),
                 Quantile(c.microseconds, 0.9));
  }
}

}  // namespace ese
