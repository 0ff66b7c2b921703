// SPDX-License-Identifier: Apache-2.0
#include "server/message_bytes.h"

#include "absl/strings/str_cat.h"
#include "grpcpp/impl/codegen/proto_utils.h"
#include "server/request_limits.h"

namespace ese {

using Traits = grpc::SerializationTraits<google::protobuf::Message>;

absl::Status ParseRequest(grpc::ByteBuffer* bytes, google::protobuf::Message* request) {
  if (!Traits::Deserialize(bytes, request).ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a message is not of the type ", request->GetDescriptor()->full_name()));
  }
  return CheckFieldLengths(*request);
}

absl::StatusOr<grpc::ByteBuffer> SerializeResponse(const google::protobuf::Message& response) {
  grpc::ByteBuffer bytes;
  bool own_buffer = false;
  const grpc::Status status = Traits::Serialize(response, &bytes, &own_buffer);
  if (status.ok()) return bytes;
  return absl::InternalError(
      absl::StrCat("a response cannot be serialized: ", status.error_message()));
}

}  // namespace ese
