// SPDX-License-Identifier: Apache-2.0
// The service ese.v1.SpeechInference. It admits calls and keeps track of the open ones, so that the
// server can drain.
#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "base/mutex.h"
#include "ese/v1/speech.grpc.pb.h"
#include "server/model_catalog.h"
#include "server/stream_call.h"

namespace ese {

// Thread-safe. Shut down the gRPC server before you destroy the service.
class SpeechService final
    : public v1::SpeechInference::WithGenericMethod_StreamingInfer<v1::SpeechInference::Service> {
 public:
  static constexpr char kStreamingInferMethod[] = "/ese.v1.SpeechInference/StreamingInfer";

  // Admits `max_streams` StreamingInfer calls for each loaded version of a model, and refuses more
  // with UNAVAILABLE. Calls that have not sent their config yet count too.
  SpeechService(const StreamEnvironment& environment, int max_streams);

  // Returns the handler for a call of kStreamingInferMethod.
  std::shared_ptr<CallHandler> HandleStreamingInfer(RpcCall* call);
  grpc::Status ListModels(grpc::ServerContext* context, const v1::ListModelsRequest* request,
                          v1::ListModelsResponse* response) override;

  // Refuses new streams with UNAVAILABLE from now on.
  void RefuseNewStreams();
  // Waits until no call is open. Returns false if `limit` passed first.
  bool WaitUntilIdle(Duration limit);
  // Calls StreamCall::HandOver for every open call.
  void HandOverAll(const absl::Status& status, HandOverScope scope);
  // Ends every open call with this error.
  void AbortAll(const absl::Status& status);

 private:
  // Returns the handler that ends a call with this error.
  std::shared_ptr<CallHandler> Refuse(RpcCall* rpc, const absl::Status& status);
  absl::Status Admit(std::shared_ptr<StreamCall> call);
  void Remove(StreamCall* call);
  std::vector<std::shared_ptr<StreamCall>> OpenCalls();

  const StreamEnvironment environment_;
  const int max_streams_;

  Mutex mutex_;
  CondVar idle_;
  bool refusing_ ABSL_GUARDED_BY(mutex_) = false;
  std::unordered_map<StreamCall*, std::shared_ptr<StreamCall>> calls_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ese
