// SPDX-License-Identifier: Apache-2.0
// The service ese.v1.SpeechInference. It admits calls and keeps track of the open ones, so that the
// server can drain.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "base/mutex.h"
#include "server/model_catalog.h"
#include "server/stream_call.h"

namespace ese {

// Thread-safe. Shut down the gRPC server before you destroy the service.
class SpeechService final : private StreamCallOwner {
 public:
  static constexpr char kStreamingInferMethod[] = "/ese.v1.SpeechInference/StreamingInfer";
  static constexpr char kListModelsMethod[] = "/ese.v1.SpeechInference/ListModels";

  // Admits `max_streams` StreamingInfer calls with a config for each loaded version of a model, and
  // refuses more with UNAVAILABLE. At most `max_waiting_calls` more may wait for their config. When
  // another one comes, the one that has waited longest ends with RESOURCE_EXHAUSTED, so that calls
  // without a config keep no client out that sends its config at once.
  SpeechService(const StreamEnvironment& environment, int max_streams, int max_waiting_calls);

  // Returns the handler for a call of kStreamingInferMethod.
  std::shared_ptr<CallHandler> HandleStreamingInfer(RpcCall* call);
  // Returns the handler for a call of kListModelsMethod.
  std::shared_ptr<CallHandler> HandleListModels(RpcCall* call);

  // Refuses new streams with UNAVAILABLE from now on.
  void RefuseNewStreams();
  // Waits until no call is open. Returns false if `limit` passed first.
  bool WaitUntilIdle(Duration limit);
  // Calls StreamCall::HandOver for every open call.
  void HandOverAll(const absl::Status& status, HandOverScope scope);
  // Ends every open call with this error.
  void AbortAll(const absl::Status& status);

 private:
  struct OpenCall {
    std::shared_ptr<StreamCall> call;
    std::optional<std::list<StreamCall*>::iterator> waiting;  // its place in waiting_
    bool has_place = false;
  };

  // Returns the handler that ends a call with this error.
  std::shared_ptr<CallHandler> Refuse(RpcCall* rpc, const absl::Status& status);
  absl::Status TakePlace(StreamCall* call) override;
  void Remove(StreamCall* call) override;
  absl::Status Admit(std::shared_ptr<StreamCall> call);
  absl::Status Evicted() const;
  void StopWaiting(OpenCall& call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::vector<std::shared_ptr<StreamCall>> OpenCalls();

  const StreamEnvironment environment_;
  const int max_streams_;
  const int max_waiting_calls_;

  Mutex mutex_;
  CondVar idle_;
  bool refusing_ ABSL_GUARDED_BY(mutex_) = false;
  std::unordered_map<StreamCall*, OpenCall> calls_ ABSL_GUARDED_BY(mutex_);
  // The calls that wait for their config; the first has waited longest.
  std::list<StreamCall*> waiting_ ABSL_GUARDED_BY(mutex_);
  int64_t places_taken_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace ese
