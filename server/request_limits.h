// SPDX-License-Identifier: Apache-2.0
// The longest values that the fields of requests may have. A server that kept whatever a client
// sends would let a thousand clients with long names use up its memory.
#pragma once

#include <cstddef>
#include <limits>
#include <optional>

#include "absl/status/status.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"

namespace ese {

// Names of models, tenants, services, files and symbols, in bytes.
inline constexpr size_t kMaxNameBytes = 256;
// Only the size of the whole message (--max-message-bytes) bounds such a field.
inline constexpr size_t kBoundByMessage = std::numeric_limits<size_t>::max();

// Returns the bound of a string or bytes field in bytes, or that of a repeated field or map in
// items. A field of another kind needs none, and has none.
std::optional<size_t> BoundOf(const google::protobuf::FieldDescriptor& field);

// INVALID_ARGUMENT, with the field, its length and the bound, if a field of `request` or of a
// message in it is longer than its bound. A field that needs a bound and has none must be empty.
// Call it before anything of the request is kept.
absl::Status CheckFieldLengths(const google::protobuf::Message& request);

}  // namespace ese
