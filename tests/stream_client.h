// SPDX-License-Identifier: Apache-2.0
// What tests of the whole path need: content of every encoding with its results computed offline by
// the normative reference, and a plain client of StreamingInfer.
#pragma once

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

// One stream's content and what the server must answer, bit for bit.
struct StreamContent {
  v1::StreamingConfig config;
  std::string bytes;
  size_t sample_bytes = 0;  // a chunk is a multiple of this: of a frame or of an audio sample
  std::vector<float> log_posteriors;
  std::vector<DecodedUnit> units;

  // The bytes in chunks of random lengths.
  std::vector<std::string> Chunks(uint32_t seed) const;
};

enum class ContentKind { kFloat32, kInt16, kAudio };

// Random content of `frames` frames for the model, of which posteriors and units are asked for.
// Audio may give a few frames less, as it does not begin with a whole window.
StreamContent MakeContent(const Model& model, ContentKind kind, int frames, uint32_t seed);

// A model that takes all kinds of content, named `name`: two layers with projections and peepholes,
// 2 x 6 filter banks at 8 kHz.
std::shared_ptr<const Model> MakeAudioModel(const std::string& name, uint32_t seed);

std::string ToBytes(absl::Span<const float> values);
std::vector<float> ToFloats(const std::string& bytes);

// What came back over a call.
struct StreamOutcome {
  grpc::Status status;
  std::string retry_after_ms;  // trailing metadata; empty: none
  int responses = 0;
  v1::Model model;
  int64_t frames = 0;
  int64_t chunks_done = 0;
  bool is_final = false;
  int64_t first_frame = 0;    // where it went on
  v1::Checkpoint checkpoint;  // the last one
  int checkpoints = 0;
  std::vector<float> log_posteriors;
  std::vector<DecodedUnit> units;
  // What the protocol promises and did not come, such as a gap in the frame numbers; empty if
  // nothing.
  std::string defect;
};

// One call, with a deadline of three minutes. One thread may write and another read.
class StreamClient {
 public:
  explicit StreamClient(v1::SpeechInference::Stub* stub);

  bool SendConfig(const v1::StreamingConfig& config);
  bool SendChunk(const std::string& chunk);
  bool RequestCheckpoint();
  void HalfClose() { call_->WritesDone(); }
  void Cancel() { context_.TryCancel(); }

  // Reads on until `chunks` chunks are answered; false where the call ended first.
  bool ReadUntilChunksDone(int64_t chunks);
  // Reads on until so many checkpoints have come; false where the call ended first.
  bool ReadUntilCheckpoints(int checkpoints);
  // Reads to the end.
  StreamOutcome Finish();
  const StreamOutcome& outcome() const { return outcome_; }

 private:
  bool ReadOne();

  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::StreamingInferRequest, v1::StreamingInferResponse>>
      call_;
  StreamOutcome outcome_;
};

// The whole stream: config, chunks, half-close; reads meanwhile.
StreamOutcome RunStream(v1::SpeechInference::Stub* stub, const v1::StreamingConfig& config,
                        const std::vector<std::string>& chunks);

// The results of a stream that went on in several calls, each from a checkpoint of the one before.
class JoinedOutcome {
 public:
  // Adds a call as far as its last checkpoint, or wholly if it is the last one.
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

}  // namespace ese
