// SPDX-License-Identifier: Apache-2.0
#include "scheduler/known_answer.h"

#include <algorithm>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/reference.h"

namespace ese {
namespace {

template <typename T>
bool Same(const T* a, const T* b, size_t n) {
  return std::equal(a, a + n, b);
}

}  // namespace

KnownAnswer::KnownAnswer(std::shared_ptr<const Model> model)
    : model_(std::move(model)), start_(*model_) {
  std::mt19937 random(1);
  for (int i = 0; i < kStreams; ++i) {
    Stream stream;
    stream.frames = AlignedBuffer<int8_t>(kSteps * model_->input_columns());
    for (int8_t& v : stream.frames) v = static_cast<int8_t>(random());
    stream.logits = AlignedBuffer<int32_t>(kSteps * model_->num_units());
    StreamState state = start_;
    for (int step = 0; step < kSteps; ++step) {
      ReferenceStep(*model_, stream.frames.data() + step * model_->input_columns(), &state,
                    stream.logits.data() + step * model_->num_units());
      stream.states.push_back(state);
    }
    streams_.push_back(std::move(stream));
  }
}

TestBatch KnownAnswer::Make(int lanes, int steps) const {
  return {.lanes = lanes,
          .steps = steps,
          .states = std::vector<StreamState>(lanes, start_),
          .logits = AlignedBuffer<int32_t>(lanes * steps * model_->num_units())};
}

void KnownAnswer::Fill(TestBatch* test, Batch* batch) const {
  const size_t frames = static_cast<size_t>(test->steps) * model_->input_columns();
  const size_t logits = static_cast<size_t>(test->steps) * model_->num_units();
  for (int i = 0; i < test->lanes; ++i) {
    Lane lane;
    lane.frames = {streams_[i % kStreams].frames.data(), frames};
    lane.state_in = &start_;
    lane.state_out = &test->states[i];
    lane.logits = {test->logits.data() + i * logits, logits};
    batch->lanes.push_back(lane);
  }
}

absl::Status KnownAnswer::Check(const TestBatch& test) const {
  const size_t logits = static_cast<size_t>(test.steps) * model_->num_units();
  for (int i = 0; i < test.lanes; ++i) {
    const Stream& expected = streams_[i % kStreams];
    const StreamState& end = expected.states[test.steps - 1];
    if (!Same(test.logits.data() + i * logits, expected.logits.data(), logits) ||
        !Same(test.states[i].c.data(), end.c.data(), end.c.size()) ||
        !Same(test.states[i].y.data(), end.y.data(), end.y.size())) {
      return absl::DataLossError(absl::StrCat("lane ", i, " of a test batch of ", test.lanes,
                                              " lanes and ", test.steps,
                                              " steps does not have the reference's results"));
    }
  }
  return absl::OkStatus();
}

}  // namespace ese
