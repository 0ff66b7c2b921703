// SPDX-License-Identifier: Apache-2.0
#include "compiler/object_reader.h"

#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace ese {

using Json = nlohmann::json;

ObjectReader::ObjectReader(const Json& json, std::string source, std::string path)
    : json_(json), source_(std::move(source)), path_(std::move(path)) {
  if (!json.is_object()) Fail("", "must be an object");
}

bool ObjectReader::Has(const std::string& key) {
  asked_.insert(key);
  return json_.is_object() && json_.contains(key);
}

std::string ObjectReader::String(const std::string& key, bool may_be_empty) {
  const Json* value = Get(key, "a string");
  if (value == nullptr) return "";
  if (!value->is_string()) return Fail(key, "must be a string"), "";
  auto text = value->get<std::string>();
  if (text.empty() && !may_be_empty) Fail(key, "must not be empty");
  return text;
}

int ObjectReader::Integer(const std::string& key, int low, int high) {
  const Json* value = Get(key, "an integer");
  if (value == nullptr) return low;
  const std::string range = absl::StrCat("must be an integer from ", low, " to ", high);
  if (!value->is_number_integer()) return Fail(key, range), low;
  const auto number = value->get<int64_t>();
  const bool wraps = value->is_number_unsigned() && number < 0;
  if (wraps || number < low || number > high) return Fail(key, range), low;
  return static_cast<int>(number);
}

int ObjectReader::IntegerOr(const std::string& key, int low, int high, int otherwise) {
  return Has(key) ? Integer(key, low, high) : otherwise;
}

float ObjectReader::NumberOr(const std::string& key, float otherwise) {
  if (!Has(key)) return otherwise;
  const Json& value = *Get(key, "a number");
  if (!value.is_number()) return Fail(key, "must be a number"), otherwise;
  return value.get<float>();
}

bool ObjectReader::BooleanOr(const std::string& key, bool otherwise) {
  if (!Has(key)) return otherwise;
  const Json& value = *Get(key, "true or false");
  if (!value.is_boolean()) return Fail(key, "must be true or false"), otherwise;
  return value.get<bool>();
}

const Json& ObjectReader::List(const std::string& key, size_t max_items) {
  static const Json* const kEmpty = new Json(Json::array());
  const Json* value = Get(key, "a list");
  if (value == nullptr) return *kEmpty;
  if (!value->is_array() || value->empty() || value->size() > max_items) {
    return Fail(key, absl::StrCat("must be a list of 1 to ", max_items, " items")), *kEmpty;
  }
  return *value;
}

const Json& ObjectReader::Member(const std::string& key) {
  static const Json* const kNull = new Json();
  const Json* value = Get(key, "an object");
  return value == nullptr ? *kNull : *value;
}

void ObjectReader::Fail(const std::string& key, absl::string_view problem) {
  if (!status_.ok()) return;
  const std::string place = Path(key);
  status_ = absl::InvalidArgumentError(absl::StrCat(
      source_, ": ", place.empty() ? "the file" : absl::StrCat("'", place, "'"), " ", problem));
}

void ObjectReader::Adopt(const absl::Status& status) {
  if (status_.ok()) status_ = status;
}

absl::Status ObjectReader::Finish() {
  if (!status_.ok() || !json_.is_object()) return status_;
  for (const auto& [key, value] : json_.items()) {
    if (asked_.count(key) > 0) continue;
    Fail(key, absl::StrCat("is unknown; the keys here are ", absl::StrJoin(asked_, ", ")));
  }
  return status_;
}

const Json* ObjectReader::Get(const std::string& key, absl::string_view kind) {
  asked_.insert(key);
  if (!json_.is_object()) return nullptr;
  const auto it = json_.find(key);
  if (it == json_.end()) return Fail(key, absl::StrCat("is missing; give ", kind)), nullptr;
  return &*it;
}

std::string ObjectReader::Path(const std::string& key) const {
  if (key.empty() || path_.empty()) return absl::StrCat(path_, key);
  return absl::StrCat(path_, ".", key);
}

}  // namespace ese
