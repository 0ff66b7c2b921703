// SPDX-License-Identifier: Apache-2.0
#include "accel/emu/faults.h"

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "accel/card/card_format.h"

namespace ese::emu {
namespace {

struct Kind {
  absl::string_view word;
  Fault fault;
  bool of_unit;
};
constexpr Kind kKinds[] = {
    {"hang", Fault::kHang, true},
    {"error", Fault::kError, true},
    {"flip", Fault::kFlip, true},
    {"kernel", Fault::kKernelError, true},
    {"dma", Fault::kDma, false},
    {"gone", Fault::kGone, false},
    {"sensor", Fault::kSensor, false},
    {"hot", Fault::kHot, false},
    {"permission", Fault::kPermission, false},
    {"busy", Fault::kBusy, false},
};

bool ParseIndex(absl::string_view text, int* index) {
  if (text != "*") return absl::SimpleAtoi(text, index) && *index >= 0;
  *index = kAny;
  return true;
}

// Parses the words of one line. Returns what is wrong with it, or an empty string.
std::string ParseRule(const std::vector<absl::string_view>& words, FaultRule* rule) {
  const std::vector<absl::string_view> target = absl::StrSplit(words[0], '.');
  if (target.size() > 2 || !ParseIndex(target[0], &rule->card) ||
      (target.size() == 2 && !ParseIndex(target[1], &rule->unit))) {
    return absl::StrCat("\"", words[0], "\" is no card, such as 0 or *, or unit, such as 0.3");
  }
  const absl::string_view word = words.size() > 1 ? words[1] : "";
  const auto* const kind = std::find_if(std::begin(kKinds), std::end(kKinds),
                                        [&](const Kind& k) { return k.word == word; });
  if (kind == std::end(kKinds)) {
    std::string known;
    for (const Kind& k : kKinds) absl::StrAppend(&known, known.empty() ? "" : ", ", k.word);
    return absl::StrCat("\"", word, "\" is no fault; there are ", known);
  }
  rule->fault = kind->fault;
  if (target.size() == 2 && !kind->of_unit) {
    return absl::StrCat("\"", word, "\" is a fault of a whole card; name no unit");
  }
  const bool coded = kind->fault == Fault::kKernelError;
  if (words.size() != (coded ? 3 : 2)) {
    return coded ? "\"kernel\" takes one error code, 1 to 8" : "too many words";
  }
  if (coded && !(absl::SimpleAtoi(words[2], &rule->code) && rule->code >= 1 &&
                 rule->code <= static_cast<uint32_t>(kLastCardError))) {
    return absl::StrCat("\"", words[2], "\" is no error code of the kernel, 1 to 8");
  }
  return "";
}

}  // namespace

std::vector<FaultRule> ParseFaults(const std::string& text, std::vector<std::string>* complaints) {
  std::vector<FaultRule> rules;
  int number = 0;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    const std::vector<absl::string_view> words =
        absl::StrSplit(line.substr(0, line.find('#')), absl::ByAnyChar(" \t\r"), absl::SkipEmpty());
    if (words.empty()) continue;
    FaultRule rule;
    const std::string wrong = ParseRule(words, &rule);
    if (wrong.empty()) {
      rules.push_back(rule);
    } else {
      complaints->push_back(absl::StrCat("line ", number, " is ignored: ", wrong));
    }
  }
  return rules;
}

std::optional<FaultRule> FaultFile::Find(Fault fault, int card, int unit) {
  if (path_.empty()) return std::nullopt;
  const MutexLock lock(mutex_);
  ReadIfChanged();
  for (const FaultRule& rule : rules_) {
    if (rule.fault == fault && (rule.card == kAny || rule.card == card) &&
        (rule.unit == kAny || rule.unit == unit)) {
      return rule;
    }
  }
  return std::nullopt;
}

void FaultFile::ReadIfChanged() {
  struct stat now = {};
  if (stat(path_.c_str(), &now) != 0) now = {};
  const auto same = [](const timespec& a, const timespec& b) {
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
  };
  if (!may_change_unseen_ && now.st_ino == seen_.st_ino && now.st_size == seen_.st_size &&
      same(now.st_mtim, seen_.st_mtim)) {
    return;
  }
  seen_ = now;
  // File times have a resolution of some milliseconds, so a second change soon after may not show.
  timespec clock = {};
  clock_gettime(CLOCK_REALTIME, &clock);
  may_change_unseen_ = clock.tv_sec - now.st_mtim.tv_sec < 2;

  std::ifstream file(path_);
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (text == text_) return;
  text_ = std::move(text);
  std::vector<std::string> complaints;
  rules_ = ParseFaults(text_, &complaints);
  for (const std::string& complaint : complaints) {
    std::fprintf(stderr, "emulated cards: %s, %s\n", path_.c_str(), complaint.c_str());
  }
}

}  // namespace ese::emu
