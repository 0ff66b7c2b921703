// SPDX-License-Identifier: Apache-2.0
// What --channels asks for.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace ese {

struct ChannelSpec {
  int cpu = 0;                  // channels on processors
  bool cards = false;           // channels on cards, too
  std::vector<int> cards_only;  // indices of cards; empty: all there are
};

// "4" or "cpu:4" are processors; "xrt:all" or "xrt:0,xrt:2" cards; several parts have commas
// between. INVALID_ARGUMENT names the part that is none of these.
absl::StatusOr<ChannelSpec> ParseChannelSpec(const std::string& text);

}  // namespace ese
