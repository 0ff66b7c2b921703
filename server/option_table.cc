// SPDX-License-Identifier: Apache-2.0
#include "server/option_table.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/status.h"

namespace ese {
namespace {

constexpr size_t kHelpColumns = 64;
// Longer durations are cut to this one, so that they fit into a Duration.
constexpr double kMaxSeconds = 1e9;

template <typename Member>
constexpr bool kIsNumber = std::is_same_v<Member, int*> || std::is_same_v<Member, int64_t*> ||
                           std::is_same_v<Member, double*>;

double ToNumber(const DurationMember& duration) {
  if (duration.zero_is_forever && *duration.member == Duration::max()) return 0;
  return ToSeconds(*duration.member) / ToSeconds(duration.unit);
}

Duration ToDuration(double number, const DurationMember& duration) {
  if (duration.zero_is_forever && number == 0) return Duration::max();
  const double seconds = std::min(number * ToSeconds(duration.unit), kMaxSeconds);
  return std::chrono::round<Duration>(std::chrono::duration<double>(seconds));
}

std::string RangeText(const OptionRange& range) {
  if (range.text != nullptr) return range.text;
  std::string text = range.above_least ? absl::StrCat("above ", range.least)
                                       : absl::StrCat(range.least, " or above");
  if (std::isfinite(range.most)) absl::StrAppend(&text, " and at most ", range.most);
  return text;
}

// Returns the option's default as it would be written on the command line.
std::string DefaultText(const Option& option) {
  if (option.default_text != nullptr) return option.default_text;
  return std::visit(
      [](const auto& member) -> std::string {
        using Member = std::decay_t<decltype(member)>;
        if constexpr (kIsNumber<Member> || std::is_same_v<Member, std::string*>) {
          return absl::StrCat(*member);
        } else if constexpr (std::is_same_v<Member, DurationMember>) {
          return absl::StrCat(ToNumber(member));
        } else {
          return "";
        }
      },
      option.member);
}

bool IsNumber(const Option& option) {
  return std::visit(
      [](const auto& member) {
        using Member = std::decay_t<decltype(member)>;
        return kIsNumber<Member> || std::is_same_v<Member, DurationMember>;
      },
      option.member);
}

std::string Wrap(const std::string& text) {
  std::string wrapped;
  size_t column = 0;
  for (const absl::string_view word : absl::StrSplit(text, ' ')) {
    if (column > 0 && column + 1 + word.size() > kHelpColumns) {
      absl::StrAppend(&wrapped, "\n");
      column = 0;
    }
    absl::StrAppend(&wrapped, column > 0 ? " " : "", word);
    column += (column > 0 ? 1 : 0) + word.size();
  }
  return wrapped;
}

std::string HelpText(const Option& option) {
  std::vector<std::string> notes;
  if (IsNumber(option)) notes.push_back(RangeText(option.range));
  const std::string standard = DefaultText(option);
  if (!standard.empty()) notes.push_back(absl::StrCat("default ", standard));
  if (notes.empty()) return Wrap(option.help);
  return Wrap(absl::StrCat(option.help, " (", absl::StrJoin(notes, "; "), ")"));
}

absl::Status CheckRange(const Option& option) {
  const auto check = [&option](auto value) {
    const OptionRange& range = option.range;
    const double number = static_cast<double>(value);
    const bool enough = range.above_least ? number > range.least : number >= range.least;
    if (std::isfinite(number) && enough && number <= range.most) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("--", option.name, " is ", value, "; it must be ", RangeText(range)));
  };
  return std::visit(
      [&](const auto& member) {
        using Member = std::decay_t<decltype(member)>;
        if constexpr (kIsNumber<Member>) {
          return check(*member);
        } else if constexpr (std::is_same_v<Member, DurationMember>) {
          return check(option.number);
        } else {
          return absl::OkStatus();
        }
      },
      option.member);
}

CLI::Option* Declare(Option& option, CLI::App& app) {
  const std::string flag = absl::StrCat("--", option.name);
  const std::string help = HelpText(option);
  return std::visit(
      [&](auto& member) -> CLI::Option* {
        using Member = std::decay_t<decltype(member)>;
        if constexpr (std::is_same_v<Member, bool*>) {
          return app.add_flag(flag, *member, help);
        } else if constexpr (std::is_same_v<Member, DurationMember>) {
          option.number = ToNumber(member);
          return app.add_option(flag, option.number, help)->type_name(option.unit);
        } else {
          return app.add_option(flag, *member, help)->type_name(option.unit);
        }
      },
      option.member);
}

}  // namespace

void DeclareOptions(std::vector<Option>& table, CLI::App& app) {
  for (Option& option : table) {
    CLI::Option* const declared = Declare(option, app)->group(option.group);
    if (option.check_syntax) declared->check(option.check_syntax);
  }
}

absl::Status CheckOptions(std::vector<Option>& table) {
  for (Option& option : table) {
    ESE_RETURN_IF_ERROR(CheckRange(option));
    if (option.check) ESE_RETURN_IF_ERROR(option.check());
    if (auto* duration = std::get_if<DurationMember>(&option.member)) {
      *duration->member = ToDuration(option.number, *duration);
    }
  }
  return absl::OkStatus();
}

}  // namespace ese
