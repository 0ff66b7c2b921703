// SPDX-License-Identifier: Apache-2.0
// What one stream means: its config, the frames in its chunks, the answers to its results. Knows
// the messages, but neither gRPC nor when anything happens (stream_flow.h, stream_call.h).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ese/v1/speech.pb.h"
#include "features/fbank.h"
#include "scheduler/scheduler.h"
#include "server/checkpoint.h"
#include "server/ctc_decoder.h"
#include "server/model_catalog.h"

namespace ese {

// ReadChunk and Answer are independent: each is used by one thread at a time, but the two may run
// at once, as reading and answering do.
class StreamSession {
 public:
  // Checks the config against the model that it names. NOT_FOUND: no such model. INVALID_ARGUMENT:
  // no kind of input, an encoding, dimension or sample rate that is not the model's, audio for a
  // model of features only, units from a model without a blank. `catalog` must outlive the session.
  //
  // `resume` may be null; else the stream goes on from there, on the model with that fingerprint.
  // FAILED_PRECONDITION: the model is not here. INVALID_ARGUMENT: the config asks for something
  // else than the stream did.
  static absl::StatusOr<std::unique_ptr<StreamSession>> Create(const ModelCatalog& catalog,
                                                               const v1::StreamingConfig& config,
                                                               const StreamCheckpoint* resume);

  // Appends to *frames the quantized frames that `chunk` completes, [n][input_dim]; n may be 0 for
  // audio. INVALID_ARGUMENT: an empty chunk, a part of a frame or sample, a NaN or infinite
  // feature. After an error the session must not be used.
  absl::Status ReadChunk(absl::string_view chunk, std::vector<int8_t>* frames);

  // The answer to a result without error. Results must come in their order.
  v1::StreamingInferResponse Answer(const StreamResult& result);

  // The stream after `frame` frames, of which all have been answered, for whoever resumes it.
  // `state` is the model's then. Counts as a use of Answer.
  StreamCheckpoint CheckpointAt(int64_t frame, StreamId id, StreamState state) const;
  // The stream's bytes before those that frame `frame` needs.
  int64_t ContentBytesBefore(int64_t frame) const;

  const ServedModel& served() const { return *served_; }

 private:
  StreamSession(std::shared_ptr<const ServedModel> served, const v1::StreamingConfig& config,
                InputKind input, const StreamCheckpoint* resume);

  // The features [n][input_dim] that `chunk` completes.
  absl::StatusOr<std::vector<float>> DecodeFeatures(absl::string_view chunk) const;
  absl::StatusOr<std::vector<float>> DecodeAudio(absl::string_view chunk);

  const std::shared_ptr<const ServedModel> served_;
  const InputKind input_;
  const bool return_posteriors_;

  // Of ReadChunk.
  std::optional<FbankStream> fbank_;  // for audio
  int64_t frames_read_ = 0;

  // Of Answer.
  std::optional<CtcDecoder> decoder_;  // where units were asked for
  std::vector<DecodedUnit> units_;     // of one answer; kept for its capacity
  std::vector<float> posteriors_;      // likewise
};

}  // namespace ese
