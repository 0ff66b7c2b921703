// SPDX-License-Identifier: Apache-2.0
// ese.v1.SpeechInference: admits calls, and keeps those that are open so that a server can drain.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "ese/v1/speech.grpc.pb.h"
#include "server/model_catalog.h"
#include "server/stream_call.h"

namespace ese {

// Thread-safe. Its gRPC server must have been shut down before it is destroyed.
class SpeechService final
    : public v1::SpeechInference::WithGenericMethod_StreamingInfer<v1::SpeechInference::Service> {
 public:
  static constexpr char kStreamingInferMethod[] = "/ese.v1.SpeechInference/StreamingInfer";

  // More StreamingInfer calls at once than `max_streams` of each version of a model are refused
  // with UNAVAILABLE, also those that have not sent their config and so are no streams of a
  // scheduler yet.
  SpeechService(const StreamEnvironment& environment, int max_streams);

  // The handler of a call of kStreamingInferMethod.
  std::shared_ptr<CallHandler> HandleStreamingInfer(RpcCall* call);
  grpc::Status ListModels(grpc::ServerContext* context, const v1::ListModelsRequest* request,
                          v1::ListModelsResponse* response) override;

  // From now on new streams are refused with UNAVAILABLE.
  void RefuseNewStreams();
  // Waits until no call is open; false where `limit` passed first.
  bool WaitUntilIdle(Duration limit);
  // StreamCall::HandOver of every open call.
  void HandOverAll(const absl::Status& status, bool anyway);
  // Ends every open call with this error.
  void AbortAll(const absl::Status& status);

 private:
  absl::Status Admit(std::shared_ptr<StreamCall> call);
  void Remove(StreamCall* call);
  std::vector<std::shared_ptr<StreamCall>> OpenCalls();

  const StreamEnvironment environment_;
  const int max_streams_;

  std::mutex mutex_;
  std::condition_variable idle_;
  bool refusing_ = false;
  std::unordered_map<StreamCall*, std::shared_ptr<StreamCall>> calls_;
};

}  // namespace ese
