// SPDX-License-Identifier: Apache-2.0
// Text from file names and from peers, made safe for logs, terminals and error messages.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace ese {

// Returns the text with everything escaped that could start a new line, control a terminal or
// reorder what it shows: control characters (as \n, \x1b, \u0085), the invisible characters that
// separate lines or change the direction of text, and bytes that are not valid UTF-8 (as \xff). A
// backslash stays as it is, so that a text may pass through this function more than once.
std::string Printable(absl::string_view text);

// Whether Printable would return the text unchanged.
bool IsPrintable(absl::string_view text);

}  // namespace ese
