// One StreamingInfer call: moves messages between gRPC, the session and the scheduler.
//
// Events come from gRPC's threads (a message read, a response written, a cancel) and from channel
// threads (a result). What is costly is done where the event arrives: parsing and feature
// extraction on the reader's thread, log-softmax and the best path on the channel's. The rest runs
// in a Serializer, so that the state below needs no lock, and no lock is held while gRPC or the
// scheduler is called.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "ese/v1/speech.pb.h"
#include "grpcpp/grpcpp.h"
#include "scheduler/scheduler.h"
#include "server/checkpoint.h"
#include "server/model_catalog.h"
#include "server/serializer.h"
#include "server/server_metrics.h"
#include "server/stream_flow.h"
#include "server/stream_ids.h"
#include "server/stream_session.h"

namespace ese {

// gRPC's status for a status of ours.
grpc::Status ToGrpcStatus(const absl::Status& status);
// Its hint when to try again, if it has one, as trailing metadata; before the call finishes.
void SendRetryHint(const absl::Status& status, grpc::CallbackServerContext* context);

// What the calls of a service share. All outlive the calls.
struct StreamEnvironment {
  const ModelCatalog* catalog;
  ServerMetrics* metrics;
  Clock* clock;
  const CheckpointSigner* signer;
  Duration checkpoint_max_age;
  StreamIds* stream_ids;
};

// Takes raw bytes, so that a message which does not parse is told apart from the end of the stream.
class StreamCall final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                         public std::enable_shared_from_this<StreamCall> {
 public:
  // `on_done` is called as the last thing, when gRPC has no more use for the call; its owner may
  // then let it go.
  StreamCall(grpc::CallbackServerContext* context, const StreamEnvironment& environment,
             std::function<void(StreamCall*)> on_done);

  // Begins to read.
  void Start();
  // Ends the call with this error, unless it has ended already. Thread-safe.
  void Abort(const absl::Status& status);
  // Answers what is under way, sends a checkpoint and ends the call with this error. Unless
  // `anyway`, streams are left alone that have shown no interest in checkpoints, or whose content
  // has ended. Thread-safe.
  void HandOver(const absl::Status& status, bool anyway);

 private:
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;
  void OnResult(const StreamResult& result);
  absl::Status WhyCancelled() const;

  // On the reader's thread.
  absl::Status ReadRequest();
  absl::Status OpenStream(const v1::StreamingConfig& config);
  absl::Status ReadChunk(const std::string& chunk);
  absl::Status RequestCheckpoint();

  // Runs `event`, then Advance, serialised.
  template <typename Event>
  void Serialize(Event event);

  // The rest runs serialised.
  void Fail(const absl::Status& status);
  // Does everything that can be done now.
  void Advance();
  void Read();
  void PushFrames();
  void AddCheckpoint();
  void Write(OutgoingResponse response);
  // Frees what others could have, also while a write to a slow reader goes on.
  void FreePlace();
  // The last use of gRPC.
  void FinishWith(const absl::Status& status, bool send_last_response);

  grpc::CallbackServerContext* const context_;
  const StreamEnvironment environment_;
  const std::function<void(StreamCall*)> on_done_;

  // Of the reader; the session is also used by OnResult, which comes only after a chunk. gRPC
  // orders a read's reaction after its start; the counter says so where gRPC's own means cannot be
  // seen.
  std::atomic<int64_t> reads_started_ = 0;
  grpc::ByteBuffer request_;
  std::unique_ptr<StreamSession> session_;

  Serializer serializer_;
  // Only in serialised work.
  grpc::ByteBuffer response_;  // while writing_
  bool reading_ = false;
  bool writing_ = false;
  std::optional<StreamFlow> flow_;             // from the config on
  std::optional<StreamIds::Claim> claim_;      // from the config to the end, as is
  std::unique_ptr<Scheduler::Stream> stream_;  // what follows
  bool resumable_ = false;                     // its client knows of checkpoints
  absl::Status hand_over_;                     // what the call ends with once it is handed over
  absl::Status error_;                         // why the call ends
  bool finished_ = false;
};

}  // namespace ese
