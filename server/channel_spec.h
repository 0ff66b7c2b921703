// SPDX-License-Identifier: Apache-2.0
// The value of --channels.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace ese {

struct ChannelSpec {
  int cpu = 0;                  // number of channels on processors
  bool cards = false;           // whether to use cards
  std::vector<int> cards_only;  // indices of the cards to use; empty means all
};

// Parses a list of parts that are separated by commas. "4" and "cpu:4" mean 4 channels on
// processors, "xrt:all" means all cards, and "xrt:0" means one card. INVALID_ARGUMENT: a part is
// none of these; the message names it.
absl::StatusOr<ChannelSpec> ParseChannelSpec(const std::string& text);

}  // namespace ese
