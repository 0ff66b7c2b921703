// SPDX-License-Identifier: Apache-2.0
#include "compiler/safetensors.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "compiler/files.h"
#include "compiler/small_floats.h"
#include "compiler/strict_json.h"
#include "nlohmann/json.hpp"

namespace ese {
namespace {

using Json = nlohmann::json;

constexpr size_t kLengthBytes = 8;

// Bytes per element; 0 for an unknown type.
uint64_t ElementBytes(const std::string& dtype) {
  static const auto* const kBytes = new std::map<std::string, uint64_t>{
      {"F64", 8}, {"I64", 8},  {"U64", 8},     {"F32", 4},     {"I32", 4},
      {"U32", 4}, {"F16", 2},  {"I16", 2},     {"U16", 2},     {"I8", 1},
      {"U8", 1},  {"BF16", 2}, {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"BOOL", 1}};
  const auto it = kBytes->find(dtype);
  return it == kBytes->end() ? 0 : it->second;
}

template <typename T>
T Load(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

// Element i of floating-point data. Returns nothing for any other type.
std::optional<float> FloatAt(const std::string& dtype, const char* data, uint64_t i) {
  if (dtype == "F32") return Load<float>(data + 4 * i);
  if (dtype == "F64") return static_cast<float>(Load<double>(data + 8 * i));
  if (dtype == "F16") return FromHalf(Load<uint16_t>(data + 2 * i));
  if (dtype == "BF16") return FromBfloat16(Load<uint16_t>(data + 2 * i));
  return std::nullopt;
}

// A JSON array of non-negative integers.
std::optional<std::vector<int64_t>> IntegerList(const Json& entry, const char* key) {
  if (!entry.is_object() || !entry.contains(key) || !entry[key].is_array()) return std::nullopt;
  std::vector<int64_t> list;
  for (const Json& item : entry[key]) {
    if (!item.is_number_unsigned()) return std::nullopt;
    const auto value = item.get<uint64_t>();
    if (value > uint64_t{std::numeric_limits<int64_t>::max()}) return std::nullopt;
    list.push_back(static_cast<int64_t>(value));
  }
  return list;
}

// The product of the shape, or nothing if it is larger than any file.
std::optional<uint64_t> Elements(const std::vector<int64_t>& shape) {
  uint64_t product = 1;
  for (const int64_t size : shape) {
    if (__builtin_mul_overflow(product, static_cast<uint64_t>(size), &product)) return std::nullopt;
  }
  if (product > (uint64_t{1} << 48)) return std::nullopt;
  return product;
}

// The indices of element i, such as "[3, 4]".
std::string Place(const std::vector<int64_t>& shape, uint64_t i) {
  std::vector<int64_t> place(shape.size());
  for (size_t k = shape.size(); k-- > 0;) {
    place[k] = static_cast<int64_t>(i % static_cast<uint64_t>(shape[k]));
    i /= static_cast<uint64_t>(shape[k]);
  }
  return ShapeText(place);
}

}  // namespace

std::string ShapeText(const std::vector<int64_t>& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

std::string NameList(const std::vector<std::string>& names) {
  constexpr size_t kMost = 20;
  const size_t shown = std::min(names.size(), kMost);
  const std::string list = absl::StrJoin(names.begin(), names.begin() + shown, ", ");
  return shown == names.size() ? list : absl::StrCat(list, " and ", names.size() - shown, " more");
}

absl::StatusOr<Safetensors> Safetensors::FromFile(const std::string& path) {
  ESE_ASSIGN_OR_RETURN(std::string bytes, ReadFile(path));
  return FromBytes(std::move(bytes), path);
}

absl::StatusOr<Safetensors> Safetensors::FromBytes(std::string bytes, std::string source) {
  Safetensors file;
  file.source_ = std::move(source);
  file.bytes_ = std::move(bytes);
  const uint64_t size = file.bytes_.size();
  if (size < kLengthBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        file.source_, ": ", size, " bytes are too few for a safetensors file; export it again"));
  }
  const auto length = Load<uint64_t>(file.bytes_.data());
  if (length > kMaxSafetensorsHeaderBytes || length > size - kLengthBytes) {
    return absl::InvalidArgumentError(absl::StrCat(file.source_, ": the header claims ", length,
                                                   " bytes, but the file has ", size,
                                                   "; it is cut short or not a safetensors file"));
  }
  const std::string header = file.bytes_.substr(kLengthBytes, length);
  ESE_RETURN_IF_ERROR(file.ParseHeader(header, kLengthBytes + length));
  return file;
}

absl::Status Safetensors::ParseHeader(absl::string_view text, uint64_t data_begin) {
  const absl::StatusOr<Json> parsed = ParseStrictJson(text, absl::StrCat(source_, ", header"));
  if (!parsed.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(parsed.status().message(), "; export the file again"));
  }
  const Json& header = *parsed;
  if (!header.is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat(source_, ": the header is not a JSON object; is this a safetensors file?"));
  }
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    auto tensor = ParseTensor(entry, data_begin);
    if (!tensor.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(source_, ": tensor '", name,
                                                     "': ", tensor.status().message(),
                                                     "; export the file again"));
    }
    tensors_.emplace(name, *std::move(tensor));
  }
  return CheckEndToEnd(data_begin);
}

absl::StatusOr<Safetensors::Tensor> Safetensors::ParseTensor(const Json& entry,
                                                             uint64_t data_begin) const {
  const auto error = [](const auto&... what) {
    return absl::InvalidArgumentError(absl::StrCat(what...));
  };
  const auto shape = IntegerList(entry, "shape");
  const auto offsets = IntegerList(entry, "data_offsets");
  if (!shape || !offsets || offsets->size() != 2) {
    return error("needs a shape and two data_offsets of non-negative integers");
  }
  if (!entry.contains("dtype") || !entry["dtype"].is_string()) return error("has no dtype");
  Tensor tensor;
  tensor.dtype = entry["dtype"].get<std::string>();
  tensor.shape = *shape;
  const uint64_t element_bytes = ElementBytes(tensor.dtype);
  if (element_bytes == 0) return error("unknown dtype '", tensor.dtype, "'");
  const std::optional<uint64_t> elements = Elements(tensor.shape);
  const auto begin = static_cast<uint64_t>((*offsets)[0]);
  const auto end = static_cast<uint64_t>((*offsets)[1]);
  if (!elements || begin > end || end - begin != *elements * element_bytes) {
    return error("shape ", ShapeText(tensor.shape), " of ", tensor.dtype,
                 " does not fill data_offsets [", begin, ", ", end, "]");
  }
  if (end > bytes_.size() - data_begin) {
    return error("ends at byte ", end, " of the data, which have only ", bytes_.size() - data_begin,
                 " (the file is cut short)");
  }
  tensor.begin = data_begin + begin;
  tensor.end = data_begin + end;
  tensor.elements = *elements;
  return tensor;
}

absl::Status Safetensors::CheckEndToEnd(uint64_t data_begin) const {
  using Named = std::pair<const std::string, Tensor>;
  std::vector<const Named*> ordered;
  for (const Named& named : tensors_) ordered.push_back(&named);
  std::sort(ordered.begin(), ordered.end(), [](const Named* a, const Named* b) {
    return std::tie(a->second.begin, a->second.end) < std::tie(b->second.begin, b->second.end);
  });
  uint64_t previous_end = data_begin;
  for (const Named* named : ordered) {
    const auto& [name, tensor] = *named;
    if (tensor.begin != previous_end) {
      return absl::InvalidArgumentError(absl::StrCat(
          source_, ": tensor '", name, "' begins at byte ", tensor.begin - data_begin,
          " of the data but ",
          tensor.begin < previous_end ? "overlaps the tensor before it, which ends at "
                                      : "leaves a gap after the tensor before it, which ends at ",
          previous_end - data_begin, "; export the file again"));
    }
    previous_end = tensor.end;
  }
  if (previous_end != bytes_.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(source_, ": ", bytes_.size() - previous_end,
                     " bytes follow the last tensor's data; export the file again"));
  }
  return absl::OkStatus();
}

std::vector<std::string> Safetensors::names() const {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors_) names.push_back(name);
  return names;
}

absl::StatusOr<const Safetensors::Tensor*> Safetensors::Find(const std::string& name) const {
  const auto it = tensors_.find(name);
  if (it == tensors_.end()) {
    return absl::NotFoundError(
        absl::StrCat(source_, ": there is no tensor '", name, "'; it has ", NameList(names())));
  }
  return &it->second;
}

absl::StatusOr<std::vector<int64_t>> Safetensors::Shape(const std::string& name) const {
  ESE_ASSIGN_OR_RETURN(const Tensor* tensor, Find(name));
  return tensor->shape;
}

absl::StatusOr<std::vector<float>> Safetensors::Floats(const std::string& name,
                                                       const std::vector<int64_t>& shape) const {
  ESE_ASSIGN_OR_RETURN(const Tensor* tensor, Find(name));
  if (tensor->shape != shape) {
    return absl::InvalidArgumentError(
        absl::StrCat(source_, ": tensor '", name, "' has the shape ", ShapeText(tensor->shape),
                     " but the topology needs ", ShapeText(shape), "; correct one of them"));
  }
  std::vector<float> values(tensor->elements);
  const char* data = bytes_.data() + tensor->begin;
  for (uint64_t i = 0; i < tensor->elements; ++i) {
    const std::optional<float> value = FloatAt(tensor->dtype, data, i);
    if (!value) {
      return absl::InvalidArgumentError(
          absl::StrCat(source_, ": tensor '", name, "' is of type ", tensor->dtype,
                       "; save it as F32 (F64, F16 and BF16 are read too)"));
    }
    if (!std::isfinite(*value)) {
      return absl::InvalidArgumentError(absl::StrCat(
          source_, ": tensor '", name, "' has ", std::isnan(*value) ? "a NaN" : "an infinity",
          " in single precision at ", Place(shape, i),
          "; export finite values, for example from a checkpoint before training diverged"));
    }
    values[i] = *value;
  }
  return values;
}

absl::StatusOr<std::vector<int64_t>> Safetensors::Integers(const std::string& name) const {
  ESE_ASSIGN_OR_RETURN(const Tensor* tensor, Find(name));
  const bool wide = tensor->dtype == "I64";
  if (!wide && tensor->dtype != "I32") {
    return absl::InvalidArgumentError(absl::StrCat(source_, ": tensor '", name, "' is of type ",
                                                   tensor->dtype, "; save it as I64"));
  }
  if (tensor->shape.size() != 1) {
    return absl::InvalidArgumentError(absl::StrCat(source_, ": tensor '", name, "' has the shape ",
                                                   ShapeText(tensor->shape),
                                                   "; save it with one dimension"));
  }
  std::vector<int64_t> values(tensor->elements);
  const char* data = bytes_.data() + tensor->begin;
  for (uint64_t i = 0; i < tensor->elements; ++i) {
    values[i] = wide ? Load<int64_t>(data + 8 * i) : Load<int32_t>(data + 4 * i);
  }
  return values;
}

void SafetensorsWriter::Add(const std::string& name, const char* dtype,
                            const std::vector<int64_t>& shape, const void* data, size_t bytes) {
  absl::StrAppend(&header_, header_.empty() ? "{" : ",", Json(name).dump(), ":{\"dtype\":\"", dtype,
                  "\",\"shape\":", ShapeText(shape), ",\"data_offsets\":[", data_.size(), ",",
                  data_.size() + bytes, "]}");
  data_.append(static_cast<const char*>(data), bytes);
}

void SafetensorsWriter::AddFloats(const std::string& name, const std::vector<int64_t>& shape,
                                  const std::vector<float>& values) {
  Add(name, "F32", shape, values.data(), values.size() * sizeof(float));
}

void SafetensorsWriter::AddIntegers(const std::string& name, const std::vector<int64_t>& values) {
  Add(name, "I64", {static_cast<int64_t>(values.size())}, values.data(),
      values.size() * sizeof(int64_t));
}

std::string SafetensorsWriter::Bytes() const {
  std::string header = header_.empty() ? "{}" : absl::StrCat(header_, "}");
  header.append((kLengthBytes - header.size() % kLengthBytes) % kLengthBytes, ' ');
  const uint64_t length = header.size();
  std::string bytes(reinterpret_cast<const char*>(&length), kLengthBytes);
  return absl::StrCat(bytes, header, data_);
}

}  // namespace ese
