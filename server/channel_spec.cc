// SPDX-License-Identifier: Apache-2.0
#include "server/channel_spec.h"

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace ese {

absl::StatusOr<ChannelSpec> ParseChannelSpec(const std::string& text) {
  ChannelSpec spec;
  bool all = false;
  for (absl::string_view part : absl::StrSplit(text, ',')) {
    absl::string_view value = part;
    int number = 0;
    if (absl::ConsumePrefix(&value, "xrt:")) {
      spec.cards = true;
      if (value == "all") {
        all = true;
        continue;
      }
      if (absl::SimpleAtoi(value, &number) && number >= 0) {
        spec.cards_only.push_back(number);
        continue;
      }
    } else {
      absl::ConsumePrefix(&value, "cpu:");
      if (absl::SimpleAtoi(value, &number)) {
        spec.cpu += number;
        continue;
      }
    }
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", part,
        "\" does not name channels; give a number, or parts like cpu:2,xrt:all or xrt:0,xrt:1"));
  }
  if (all) spec.cards_only.clear();
  return spec;
}

}  // namespace ese
