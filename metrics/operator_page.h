// SPDX-License-Identifier: Apache-2.0
// The page for operators: a browser reads /metrics with it and draws charts and tables. Its files
// are part of the program and load nothing from elsewhere.
#pragma once

#include "absl/strings/string_view.h"

namespace ese {

// Who may read the page.
enum class OperatorPage { kOff, kLocal, kAll };

struct OperatorPageFile {
  absl::string_view path;  // of the URL
  absl::string_view content_type;
  absl::string_view content;
};

// Lets a browser load only what this server serves, and forbids scripts and styles in the HTML.
inline constexpr char kOperatorPagePolicy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

// Returns the file of the page at this path, or null.
const OperatorPageFile* FindOperatorPageFile(absl::string_view path);

}  // namespace ese
