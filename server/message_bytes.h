// SPDX-License-Identifier: Apache-2.0
// Converts between messages and the bytes that calls carry.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "google/protobuf/message.h"
#include "grpcpp/support/byte_buffer.h"

namespace ese {

// Reads a request. INVALID_ARGUMENT if the bytes are not one, or if a field is too long
// (request_limits.h). The bytes are used up.
absl::Status ParseRequest(grpc::ByteBuffer* bytes, google::protobuf::Message* request);

// INTERNAL if the message cannot be serialized.
absl::StatusOr<grpc::ByteBuffer> SerializeResponse(const google::protobuf::Message& response);

}  // namespace ese
