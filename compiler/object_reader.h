// SPDX-License-Identifier: Apache-2.0
// Reads the keys of a JSON object and names the one that is wrong.
#pragma once

#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace ese {

// Reads one JSON object. It keeps the first problem, and later reads return defaults, so that code
// which uses it is a plain list of keys. Finish() returns the problem, or names the keys that
// nobody read.
class ObjectReader {
 public:
  using Json = nlohmann::json;

  // `source` is the file's name in error messages. `path` is "" for the whole file. `json` must
  // outlive the reader.
  ObjectReader(const Json& json, std::string source, std::string path);

  // True if the object has the optional key.
  bool Has(const std::string& key);

  std::string String(const std::string& key, bool may_be_empty = false);
  int Integer(const std::string& key, int low, int high);
  int IntegerOr(const std::string& key, int low, int high, int otherwise);
  float NumberOr(const std::string& key, float otherwise);
  bool BooleanOr(const std::string& key, bool otherwise);
  // The value of `key`, or an empty list.
  const Json& List(const std::string& key, size_t max_items);
  // The value of `key`, for another reader, or null if it is missing.
  const Json& Member(const std::string& key);

  void Fail(const std::string& key, absl::string_view problem);
  // Records the problem of a part that another reader read.
  void Adopt(const absl::Status& status);
  absl::Status Finish();

 private:
  const Json* Get(const std::string& key, absl::string_view kind);
  std::string Path(const std::string& key) const;

  const Json& json_;
  std::string source_;
  std::string path_;
  absl::Status status_;
  std::set<std::string> asked_;
};

}  // namespace ese
