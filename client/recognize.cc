// SPDX-License-Identifier: Apache-2.0
#include "client/recognize.h"

#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace ese {
namespace {

struct SendingResult {
  absl::Status source;  // the error of next_chunk, if any
  absl::Status call;
};

SendingResult SendAll(ResumingStream& stream, const RecognizeHooks& hooks) {
  while (true) {
    std::string chunk;
    const absl::StatusOr<bool> more = hooks.next_chunk(&chunk);
    if (!more.ok()) {
      stream.Cancel();
      return {more.status(), absl::OkStatus()};
    }
    if (!chunk.empty()) {
      if (absl::Status status = stream.Send(std::move(chunk)); !status.ok()) {
        return {absl::OkStatus(), status};
      }
    }
    if (!*more) return {absl::OkStatus(), stream.HalfClose()};
  }
}

absl::Status ReceiveAll(ResumingStream& stream, const RecognizeHooks& hooks) {
  bool final = false;
  v1::StreamingInferResponse response;
  while (true) {
    ESE_ASSIGN_OR_RETURN(const bool more, stream.Receive(&response));
    if (!more) break;
    hooks.on_response(response);
    final = final || response.is_final();
  }
  if (final) return absl::OkStatus();
  return absl::InternalError("the server ended the call without a final response; see its log");
}

}  // namespace

absl::Status Recognize(const ResumingClient& client, const v1::Model& model, InputKind kind,
                       const RecognizeHooks& hooks) {
  if (model.blank() < 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        "model ", model.name(),
        " has no blank unit, so it cannot recognise units; choose another with --model"));
  }
  v1::StreamingConfig config = MakeConfig(model, kind);
  config.set_return_units(true);
  const std::unique_ptr<ResumingStream> stream = client.Open(config);
  SendingResult sending;
  std::thread sender([&] { sending = SendAll(*stream, hooks); });
  const absl::Status receiving = ReceiveAll(*stream, hooks);
  if (hooks.interrupt) hooks.interrupt();
  sender.join();
  ESE_RETURN_IF_ERROR(sending.source);
  ESE_RETURN_IF_ERROR(receiving);
  return sending.call;
}

}  // namespace ese
