// SPDX-License-Identifier: Apache-2.0
// A call with one request and one response.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "server/message_bytes.h"
#include "server/rpc_call.h"

namespace ese {

// Computes the response. It runs on the call's loop, so it must be quick.
using UnaryMethod = std::function<absl::StatusOr<grpc::ByteBuffer>(grpc::ByteBuffer* request)>;

class UnaryCall final : public CallHandler {
 public:
  // How long the client may take to send the request, and then to read the response.
  static constexpr Duration kPatience = std::chrono::seconds(10);

  UnaryCall(RpcCall* call, UnaryMethod method) : call_(call), method_(std::move(method)) {}

 private:
  void OnStart() override;
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool /*ok*/) override {}
  void OnCancel() override;
  void OnTimer() override;

  void Finish(const absl::Status& status);

  RpcCall* const call_;
  const UnaryMethod method_;
  grpc::ByteBuffer request_;   // belongs to gRPC until it has been read
  grpc::ByteBuffer response_;  // belongs to gRPC once the call is finished
  bool finished_ = false;
};

// Returns the handler of a call of `method`, which fills in the response.
template <typename Request, typename Response>
std::shared_ptr<CallHandler> MakeUnaryCall(
    RpcCall* call, std::function<absl::Status(const Request&, Response*)> method) {
  return std::make_shared<UnaryCall>(
      call,
      [method = std::move(method)](grpc::ByteBuffer* bytes) -> absl::StatusOr<grpc::ByteBuffer> {
        Request request;
        Response response;
        absl::Status status = ParseRequest(bytes, &request);
        if (status.ok()) status = method(request, &response);
        if (!status.ok()) return status;
        return SerializeResponse(response);
      });
}

}  // namespace ese
