// SPDX-License-Identifier: Apache-2.0
// Reads and writes safetensors files (https://github.com/huggingface/safetensors): eight
// bytes of little-endian header length, a JSON header, then the tensors' data end to end.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json_fwd.hpp"

namespace ese {

// The longest JSON header that is accepted, the same as in the reference implementation.
inline constexpr uint64_t kMaxSafetensorsHeaderBytes = 100'000'000;

// "[4096, 153]".
std::string ShapeText(const std::vector<int64_t>& shape);

// "a, b, c". If there are more than twenty names, lists the first twenty and the number of the
// rest.
std::string NameList(const std::vector<std::string>& names);

// The tensors of one file, held in memory. Construction checks the whole header: every type is
// known, every shape fits its bytes, and the data fill the file without gaps or overlaps.
class Safetensors {
 public:
  // Errors: NOT_FOUND or PERMISSION_DENIED naming the file; otherwise as for FromBytes.
  static absl::StatusOr<Safetensors> FromFile(const std::string& path);
  // Returns INVALID_ARGUMENT for a damaged file; the message names `source`, the tensor and the
  // remedy. `source` is used only in error messages.
  static absl::StatusOr<Safetensors> FromBytes(std::string bytes, std::string source);

  bool Has(const std::string& name) const { return tensors_.count(name) > 0; }
  // In alphabetical order.
  std::vector<std::string> names() const;
  const std::string& source() const { return source_; }

  // Returns NOT_FOUND if there is no such tensor; the message lists the tensors that exist.
  absl::StatusOr<std::vector<int64_t>> Shape(const std::string& name) const;
  // The values of an F64, F32, F16 or BF16 tensor of exactly this shape, row-major. Errors:
  // NOT_FOUND; INVALID_ARGUMENT for another shape or type, or a value that is NaN or infinite.
  absl::StatusOr<std::vector<float>> Floats(const std::string& name,
                                            const std::vector<int64_t>& shape) const;
  // The values of an I64 or I32 tensor of one dimension. Errors as for Floats.
  absl::StatusOr<std::vector<int64_t>> Integers(const std::string& name) const;

 private:
  struct Tensor {
    std::string dtype;
    std::vector<int64_t> shape;
    uint64_t begin = 0;  // within bytes_
    uint64_t end = 0;
    uint64_t elements = 0;
  };
  absl::StatusOr<const Tensor*> Find(const std::string& name) const;
  absl::StatusOr<Tensor> ParseTensor(const nlohmann::json& entry, uint64_t data_begin) const;
  absl::Status CheckEndToEnd(uint64_t data_begin) const;
  absl::Status ParseHeader(absl::string_view header, uint64_t data_begin);

  std::string source_;
  std::string bytes_;
  std::map<std::string, Tensor> tensors_;
};

// Collects tensors and serializes them.
class SafetensorsWriter {
 public:
  // REQUIRES: values.size() is the product of `shape`; each name is added once.
  void AddFloats(const std::string& name, const std::vector<int64_t>& shape,
                 const std::vector<float>& values);
  void AddIntegers(const std::string& name, const std::vector<int64_t>& values);
  std::string Bytes() const;

 private:
  void Add(const std::string& name, const char* dtype, const std::vector<int64_t>& shape,
           const void* data, size_t bytes);

  std::string header_;
  std::string data_;
};

}  // namespace ese
