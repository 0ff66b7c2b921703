// SPDX-License-Identifier: Apache-2.0
#include "compiler/strict_json.h"

#include <algorithm>
#include <set>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace ese {
namespace {

using Json = nlohmann::json;

// "[json.exception.parse_error.101] parse error at line 1, column 5: ...; last read: '...'" without
// the name of the exception and without the text that was read, which may be arbitrary bytes.
absl::string_view Problem(absl::string_view what) {
  what.remove_prefix(std::min(what.find(']') + 1, what.size()));
  return absl::StripAsciiWhitespace(what.substr(0, what.find("; last read")));
}

}  // namespace

absl::StatusOr<Json> ParseStrictJson(absl::string_view text, const std::string& source) {
  const auto error = [&](const auto&... what) {
    return absl::InvalidArgumentError(absl::StrCat(source, ": ", what...));
  };
  std::vector<std::set<std::string>> keys;  // of the objects that enclose the current position
  std::string twice;
  int deepest = 0;
  const auto on_event = [&](int depth, Json::parse_event_t event, Json& parsed) {
    const bool is_object = event == Json::parse_event_t::object_start;
    if (is_object || event == Json::parse_event_t::array_start) {
      deepest = std::max(deepest, depth + 1);
    }
    if (is_object) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!keys.back().insert(key).second) twice = key;
    }
    return true;
  };
  Json json;
  try {
    json = Json::parse(text.begin(), text.end(), on_event);
  } catch (const Json::exception& e) {
    return error("not valid JSON: ", Problem(e.what()));
  }
  if (deepest > kMaxJsonDepth) {
    return error("objects and lists are nested ", deepest, " levels deep; at most ", kMaxJsonDepth,
                 " levels are accepted");
  }
  if (!twice.empty()) return error("'", twice, "' is given twice; remove one of them");
  return json;
}

}  // namespace ese
