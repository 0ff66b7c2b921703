// SPDX-License-Identifier: Apache-2.0
// A program's options as a table: one row declares everything that is known about an option. The
// functions below turn the rows into command-line flags, --help text and checks.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <variant>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "base/clock.h"

namespace ese {

// The values that a number may have.
struct OptionRange {
  double least = 0;
  bool above_least = false;  // `least` itself is not allowed
  double most = std::numeric_limits<double>::infinity();
  const char* text = nullptr;  // the range in words; null: it is printed as numbers
};

inline constexpr OptionRange kAboveZero = {.above_least = true};
inline constexpr OptionRange kZeroOrAbove = {};

// A duration whose option is a number of seconds or of milliseconds.
struct DurationMember {
  Duration* member;
  bool zero_is_forever = false;  // the option's 0 is Duration::max()
  Duration unit = std::chrono::seconds(1);
};

struct Option {
  const char* group;  // heading in --help
  const char* name;   // without the dashes
  const char* unit;   // what the value is, in --help; unused for a bool
  std::variant<int*, int64_t*, double*, bool*, std::string*, std::vector<std::string>*,
               DurationMember>
      member;           // where the value goes; holds the default
  const char* help;     // complete sentences; the range and the default are appended
  OptionRange range{};  // of a number
  // The default to show instead of the member's value. An empty text shows none.
  const char* default_text = nullptr;
  // Returns what is wrong with the text, or "". An error counts as a command-line syntax error
  // (exit status 2).
  std::function<std::string(const std::string&)> check_syntax = nullptr;
  // Called after all options have been parsed and the ranges of those above have been checked.
  std::function<absl::Status()> check = nullptr;

  double number = 0;  // the value of a DurationMember, in its unit
};

// Adds a flag for each row. The table must outlive `app` and must not move.
void DeclareOptions(std::vector<Option>& table, CLI::App& app);

// Call this after parsing. It checks each row in turn and fills the durations. INVALID_ARGUMENT: a
// value is not allowed; the message names the option, its value and what is allowed.
absl::Status CheckOptions(std::vector<Option>& table);

}  // namespace ese
