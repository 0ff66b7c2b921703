// SPDX-License-Identifier: Apache-2.0
#include "accel/cpu/kernel_comparison.h"

#include <algorithm>
#include <utility>

#include "accel/cpu/kernels/kernel_registry.h"
#include "accel/cpu/packed_model.h"
#include "model/reference.h"

namespace ese {

std::vector<KernelAlgorithm> SupportedAlgorithms() {
  std::vector<KernelAlgorithm> supported;
  for (const Kernel* kernel : SupportedKernels()) {
    supported.push_back({kernel, Algorithm::kColumns});
    if (kernel->lookup() != nullptr) supported.push_back({kernel, Algorithm::kLookup});
  }
  return supported;
}

std::string AlgorithmName(const ::testing::TestParamInfo<KernelAlgorithm>& info) {
  return std::string(info.param.kernel->name()) +
         (info.param.algorithm == Algorithm::kLookup ? "_lookup" : "_columns");
}

// The data of one stream, both for the kernel and for the reference.
struct KernelComparison::Stream {
  explicit Stream(const Model& model) : state(model), next_state(model), expected_state(model) {}

  std::vector<int8_t> frames;
  std::vector<int32_t> logits, expected_logits;
  StreamState state, next_state, expected_state;
};

KernelComparison::KernelComparison(std::shared_ptr<const Model> model, const Kernel* kernel,
                                   const AlgorithmPlan& plan, uint32_t seed, int threads)
    : model_(std::move(model)),
      runner_(*PackedModel::Create(model_), kernel, plan, threads),
      random_(seed) {}

void KernelComparison::Run(const std::vector<std::vector<int>>& batches) {
  std::vector<Stream> streams;
  for (size_t i = 0; i < batches[0].size(); ++i) {
    streams.emplace_back(*model_);
    FillState(&streams.back());
  }
  for (const std::vector<int>& lengths : batches) {
    RunBatch(lengths, &streams);
    if (::testing::Test::HasFailure()) return;
  }
}

int8_t KernelComparison::RandomByte() {
  if (extremes_) return random_() % 2 == 0 ? -128 : 127;
  return static_cast<int8_t>(random_());
}

void KernelComparison::FillState(Stream* stream) {
  for (int16_t& c : stream->state.c) c = static_cast<int16_t>(random_());
  for (int8_t& y : stream->state.y) y = RandomByte();
  stream->expected_state = stream->state;
}

void KernelComparison::RunBatch(const std::vector<int>& lengths, std::vector<Stream>* streams) {
  Batch batch;
  for (size_t i = 0; i < lengths.size(); ++i) {
    if (lengths[i] == 0) continue;
    Stream& stream = (*streams)[i];
    stream.frames.resize(lengths[i] * model_->input_columns());
    for (int8_t& x : stream.frames) x = RandomByte();
    stream.logits.assign(lengths[i] * model_->num_units(), 0);
    stream.expected_logits = stream.logits;
    batch.lanes.push_back({.frames = stream.frames,
                           .state_in = &stream.state,
                           .state_out = &stream.next_state,
                           .logits = absl::MakeSpan(stream.logits)});
  }
  ASSERT_TRUE(ValidateBatch(*model_, batch, kMaxLanes).ok());
  runner_.Run(&batch);
  EXPECT_EQ(batch.steps, *std::max_element(lengths.begin(), lengths.end()));
  for (size_t i = 0; i < lengths.size(); ++i) {
    if (lengths[i] > 0) Compare(&(*streams)[i], i);
  }
}

void KernelComparison::Compare(Stream* stream, size_t lane) {
  SCOPED_TRACE("lane " + std::to_string(lane));
  const size_t frames = stream->frames.size() / model_->input_columns();
  for (size_t t = 0; t < frames; ++t) {
    ReferenceStep(*model_, &stream->frames[t * model_->input_columns()], &stream->expected_state,
                  &stream->expected_logits[t * model_->num_units()]);
  }
  EXPECT_EQ(stream->logits, stream->expected_logits);
  EXPECT_EQ(absl::MakeSpan(stream->next_state.c), absl::MakeSpan(stream->expected_state.c));
  EXPECT_EQ(absl::MakeSpan(stream->next_state.y), absl::MakeSpan(stream->expected_state.y));
  stream->state = stream->next_state;
}

}  // namespace ese
