// SPDX-License-Identifier: Apache-2.0
// A thread that carries calls. All that happens to a call happens on its loop's thread, one thing
// after another: messages, ends, timers, and what other threads have to say (Post). So a call needs
// no lock, and a message costs no change of thread.
//
// Why gRPC's completion queues, each with one thread, and not its callbacks: docs/operations.md.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/clock.h"
#include "base/decaying_average.h"
#include "grpcpp/alarm.h"
#include "grpcpp/generic/async_generic_service.h"
#include "grpcpp/grpcpp.h"

namespace ese {

class CallHandler;
class RpcCall;

class CallLoop {
 public:
  using Work = absl::AnyInvocable<void()>;
  // The handler of a call that has come; on the loop's thread. Never null.
  using Accept = std::function<std::shared_ptr<CallHandler>(RpcCall*)>;

  explicit CallLoop(std::unique_ptr<grpc::ServerCompletionQueue> queue);
  // Stop, if it was not called.
  ~CallLoop();
  CallLoop(const CallLoop&) = delete;
  CallLoop& operator=(const CallLoop&) = delete;

  // Takes calls of `service` from now on. The gRPC server must have been started. `service` must
  // outlive the loop.
  void Start(grpc::AsyncGenericService* service, Accept accept);
  // Waits for the end of all calls and joins the thread. The gRPC server must have been shut down.
  void Stop();

  // How long events have waited for the thread, at most, averaged over about a quarter of a second.
  // On the loop's thread.
  Duration Delay() const;

  // Runs `work` on the loop's thread, in the order of the Posts. Thread-safe. After Stop it is
  // dropped.
  void Post(Work work);

 private:
  friend class RpcCall;

  void Run();
  void RunPosted();
  void RunTimers();
  gpr_timespec WakeTime() const;
  grpc::CompletionQueue::NextStatus Next(void** tag, bool* ok);
  void NoteDelay(TimePoint now);
  // On the loop's thread. A call has one timer; `at` replaces it.
  void SetTimer(RpcCall* call, TimePoint before, TimePoint at);
  void ClearTimer(RpcCall* call, TimePoint at);
  void TakeNextCall();
  void CallIsGone();
  void ShutdownWhenEmpty();

  const std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  grpc::AsyncGenericService* service_ = nullptr;
  Accept accept_;
  std::set<std::pair<TimePoint, RpcCall*>> timers_;  // of the loop's thread
  std::vector<Work> running_;                        // likewise; kept for its capacity
  int calls_ = 0;                                    // likewise; awaited and under way
  bool stopping_ = false;                            // likewise
  TimePoint idle_at_;                                // likewise; nothing was waiting until then
  DecayingAverage delay_ns_{std::chrono::milliseconds(250)};  // likewise
  grpc::Alarm wake_;

  std::mutex mutex_;
  // Guarded by mutex_:
  std::vector<Work> posted_;
  bool asleep_ = false;        // the thread waits, or is about to, and has seen no work
  bool wake_pending_ = false;  // wake_'s event has not come yet
  bool stopped_ = false;       // the queue is shut down

  std::thread thread_;
};

}  // namespace ese
