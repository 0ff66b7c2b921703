// SPDX-License-Identifier: Apache-2.0
// Content in every encoding, with the results that the normative reference gives for it, and a
// simple client of StreamingInfer.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "ese/v1/speech.grpc.pb.h"
#include "grpcpp/grpcpp.h"
#include "model/model.h"
#include "server/ctc_decoder.h"

namespace ese {

// The content of one stream and the exact answers that the server must give.
struct StreamContent {
  v1::StreamingConfig config;
  std::string bytes;
  size_t sample_bytes = 0;  // size of a frame or an audio sample; a chunk is a multiple of it
  std::vector<float> log_posteriors;
  std::vector<DecodedUnit> units;

  // Cuts the bytes into chunks of random lengths.
  std::vector<std::string> Chunks(uint32_t seed) const;
};

enum class ContentKind { kFloat32, kInt16, kAudio };
inline constexpr ContentKind kContentKinds[] = {ContentKind::kFloat32, ContentKind::kInt16,
                                                ContentKind::kAudio};

// Random content of `frames` frames for the model. Its config asks for posteriors and units.
// Audio may give slightly fewer frames, because each frame needs a whole window.
StreamContent MakeContent(const Model& model, ContentKind kind, int frames, uint32_t seed);

// Returns a model that takes all kinds of content: two layers, the first with a projection and
// peepholes, and 2 x 6 filter banks at 8 kHz.
std::shared_ptr<const Model> MakeAudioModel(const std::string& name, uint32_t seed);

std::string ToBytes(absl::Span<const float> values);
std::vector<float> ToFloats(const std::string& bytes);

// What a call returned.
struct StreamOutcome {
  grpc::Status status;
  std::string retry_after_ms;  // from the trailing metadata; empty if there is none
  int responses = 0;
  v1::Model model;
  int64_t frames = 0;
  int64_t chunks_done = 0;
  bool is_final = false;
  int64_t first_frame = 0;    // not 0 if the stream was resumed
  v1::Checkpoint checkpoint;  // the last one
  int checkpoints = 0;
  std::vector<float> log_posteriors;
  std::vector<DecodedUnit> units;
  // The first violation of the protocol, such as a gap in the frame numbers. Empty if there was
  // none.
  std::string defect;
};

// One call, with a deadline of three minutes. One thread may write while another one reads.
class StreamClient {
 public:
  explicit StreamClient(v1::SpeechInference::Stub* stub);

  bool SendConfig(const v1::StreamingConfig& config);
  bool SendChunk(const std::string& chunk);
  bool RequestCheckpoint();
  void HalfClose() { call_->WritesDone(); }
  void Cancel() { context_.TryCancel(); }

  // Reads until `chunks` chunks are answered. Returns false if the call ends first.
  bool ReadUntilChunksDone(int64_t chunks);
  // Reads until `checkpoints` checkpoints have come. Returns false if the call ends first.
  bool ReadUntilCheckpoints(int checkpoints);
  // Sends the config and the first chunk, and reads until the chunk is answered. Returns false if
  // the call ends first.
  bool Begin(const v1::StreamingConfig& config, const std::string& chunk);
  // Reads to the end of the call.
  StreamOutcome Finish();
  const StreamOutcome& outcome() const { return outcome_; }

 private:
  bool ReadOne();

  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::StreamingInferRequest, v1::StreamingInferResponse>>
      call_;
  StreamOutcome outcome_;
};

// Runs a whole stream: writes the config, the chunks and the half-close while it reads.
StreamOutcome RunStream(v1::SpeechInference::Stub* stub, const v1::StreamingConfig& config,
                        const std::vector<std::string>& chunks);

// Returns the config of a call that resumes a stream from the checkpoint.
v1::StreamingConfig ResumeFrom(v1::StreamingConfig config, const v1::Checkpoint& checkpoint);

// The results of a stream that ran in several calls, each of which resumed from a checkpoint of the
// previous one.
class JoinedOutcome {
 public:
  // Adds the results of a call up to its last checkpoint, or all of them if it is the last call.
  void Add(const StreamOutcome& outcome, bool last);
  // Expects the content's own results.
  void ExpectAnswersOf(const StreamContent& content) const;

 private:
  int64_t frames_ = 0;
  std::vector<float> log_posteriors_;
  std::vector<DecodedUnit> units_;
};

// Expects OK and the content's own results.
void ExpectAnswersOf(const StreamContent& content, const StreamOutcome& outcome);
// Expects the code, and a message that contains `message`.
void ExpectError(const grpc::Status& status, grpc::StatusCode code, const std::string& message);

// Polls until the count no longer changes. Returns false after half a minute.
bool EventuallyStandsStill(const std::atomic<int>& count);

}  // namespace ese
