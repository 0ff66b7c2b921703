// SPDX-License-Identifier: Apache-2.0
// Interprets the messages of one stream: checks its config, turns its chunks into frames, and turns
// results into answers. It knows nothing of gRPC or of when things happen (see stream_call.h and
// stream_flow.h).
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

// ReadChunk and Answer are independent. Each may be used by only one thread at a time, but one
// thread may call ReadChunk while another calls Answer.
class StreamSession {
 public:
  // Checks the config against the model that it names. NOT_FOUND: there is no such model.
  // INVALID_ARGUMENT: the config names no kind of input; its encoding, dimension or sample rate
  // does not fit the model; it sends audio to a model that takes features only; or it asks for
  // units from a model without a blank. `catalog` must outlive the session.
  //
  // If `resume` is not null, the stream continues from that checkpoint on the model with its
  // fingerprint. FAILED_PRECONDITION: the catalog does not have that model. INVALID_ARGUMENT: the
  // config differs from that of the original stream.
  static absl::StatusOr<std::unique_ptr<StreamSession>> Create(const ModelCatalog& catalog,
                                                               const v1::StreamingConfig& config,
                                                               const StreamCheckpoint* resume);

  // Appends to *frames the quantized frames that `chunk` completes, [n][input_dim]. For audio n may
  // be 0. INVALID_ARGUMENT: the chunk is empty, it does not consist of whole frames or samples, or
  // a feature is NaN or infinite. The session must not be used after an error.
  absl::Status ReadChunk(absl::string_view chunk, std::vector<int8_t>* frames);

  // Returns the answer to a result without an error. Results must be passed in order.
  v1::StreamingInferResponse Answer(const StreamResult& result);

  // Returns a checkpoint after `frame` frames, which must all have been answered. `state` is the
  // state of the model at that point. For the rule about threads, this counts as a call of Answer.
  StreamCheckpoint CheckpointAt(int64_t frame, StreamId id, StreamState state) const;
  // Returns how many bytes of the stream's content precede those that frame `frame` needs.
  int64_t ContentBytesBefore(int64_t frame) const;

  const ServedModel& served() const { return *served_; }

 private:
  StreamSession(std::shared_ptr<const ServedModel> served, const v1::StreamingConfig& config,
                InputKind input, const StreamCheckpoint* resume);

  // These return the features [n][input_dim] that `chunk` completes.
  absl::StatusOr<std::vector<float>> DecodeFeatures(absl::string_view chunk) const;
  absl::StatusOr<std::vector<float>> DecodeAudio(absl::string_view chunk);

  const std::shared_ptr<const ServedModel> served_;
  const InputKind input_;
  const bool return_posteriors_;

  // Used by ReadChunk.
  std::optional<FbankStream> fbank_;  // exists if the input is audio
  int64_t frames_read_ = 0;

  // Used by Answer. The two vectors are members so that their memory is reused.
  std::optional<CtcDecoder> decoder_;  // exists if the config asked for units
  std::vector<DecodedUnit> units_;
  std::vector<float> posteriors_;
};

}  // namespace ese
