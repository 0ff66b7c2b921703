// SPDX-License-Identifier: Apache-2.0
// A thread that serves calls. Everything that concerns a call runs on the thread of its loop, one
// event after another: messages, the end of the call, timers, and work that other threads post. So
// a call needs no lock, and a message causes no switch of threads.
//
// docs/operations.md explains why the server uses completion queues with one thread each instead of
// gRPC's callback API.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "base/clock.h"
#include "base/decaying_average.h"
#include "base/mutex.h"
#include "grpcpp/alarm.h"
#include "grpcpp/generic/async_generic_service.h"
#include "grpcpp/grpcpp.h"
#include "server/call_hooks.h"

namespace ese {

class CallHandler;
class RpcCall;

class CallLoop {
 public:
  using Work = absl::AnyInvocable<void()>;
  // Returns the handler of a new call; never null. Called on the loop's thread.
  using Accept = std::function<std::shared_ptr<CallHandler>(RpcCall*)>;

  explicit CallLoop(std::unique_ptr<grpc::ServerCompletionQueue> queue);
  // Calls Stop if nobody has.
  ~CallLoop();
  CallLoop(const CallLoop&) = delete;
  CallLoop& operator=(const CallLoop&) = delete;

  // Starts to accept calls of `service`, which must outlive the loop. REQUIRES: the gRPC server has
  // been started.
  void Start(grpc::AsyncGenericService* service, Accept accept, CallHooks hooks);
  // Waits until all calls have ended, then joins the thread. REQUIRES: the gRPC server has been
  // shut down.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

  // An upper bound on how long events wait for the thread, averaged over about a quarter of a
  // second. Call it on the loop's thread.
  Duration Delay() const;

  // Runs `work` on the loop's thread, in the order of the calls to Post. After Stop the work is
  // dropped. Thread-safe.
  void Post(Work work) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  friend class RpcCall;

  void Run();
  void RunPosted();
  void RunTimers();
  gpr_timespec WakeTime() const;
  grpc::CompletionQueue::NextStatus Next(void** tag, bool* ok);
  void NoteDelay(TimePoint now);
  // Each call has one timer, which SetTimer moves from `before` to `at`. Both functions must be
  // called on the loop's thread.
  void SetTimer(RpcCall* call, TimePoint before, TimePoint at);
  void ClearTimer(RpcCall* call, TimePoint at);
  void RequestCall();
  void NoteCallDeleted();
  void ShutdownWhenEmpty();

  const std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  grpc::AsyncGenericService* service_ = nullptr;
  Accept accept_;
  CallHooks hooks_;

  // Used on the loop's thread only.
  std::set<std::pair<TimePoint, RpcCall*>> timers_;
  std::vector<Work> running_;  // a member so that its memory is reused
  int calls_ = 0;              // calls requested from gRPC or open
  bool stopping_ = false;
  TimePoint idle_at_;  // when the loop last had nothing to do
  DecayingAverage delay_ns_{std::chrono::milliseconds(250)};

  Mutex mutex_;
  grpc::Alarm wake_ ABSL_GUARDED_BY(mutex_);
  std::vector<Work> posted_ ABSL_GUARDED_BY(mutex_);
  // The thread is waiting or about to wait, and has found no work.
  bool asleep_ ABSL_GUARDED_BY(mutex_) = false;
  // wake_ has been set, and its event has not arrived yet.
  bool wake_pending_ ABSL_GUARDED_BY(mutex_) = false;
  // The queue has been shut down.
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread thread_;
};

}  // namespace ese
