// SPDX-License-Identifier: Apache-2.0
#include "accel/backend.h"

#include "absl/strings/str_cat.h"

namespace ese {

absl::Status ValidateBatch(const Model& model, const Batch& batch, int max_lanes) {
  const size_t lanes = batch.lanes.size();
  if (lanes == 0) return absl::InvalidArgumentError("a batch needs at least one lane");
  if (lanes > static_cast<size_t>(max_lanes)) {
    return absl::InvalidArgumentError(
        absl::StrCat("batch of ", lanes, " lanes; the channel takes up to ", max_lanes));
  }
  const size_t input_columns = model.input_columns();
  const size_t units = model.num_units();
  for (size_t i = 0; i < lanes; ++i) {
    const Lane& lane = batch.lanes[i];
    const auto error = [&](auto... what) {
      return absl::InvalidArgumentError(absl::StrCat("lane ", i, ": ", what...));
    };
    if (lane.frames.empty() || lane.frames.size() % input_columns != 0) {
      return error(lane.frames.size(), " bytes of frames; needs a positive multiple of ",
                   input_columns);
    }
    const size_t frames = lane.frames.size() / input_columns;
    if (lane.logits.size() != frames * units) {
      return error(lane.logits.size(), " logits; needs ", frames, " frames x ", units, " units");
    }
    if (lane.state_in == nullptr || lane.state_out == nullptr || lane.state_in == lane.state_out) {
      return error("needs a state in and another state out");
    }
    for (const StreamState* state :
         {lane.state_in, static_cast<const StreamState*>(lane.state_out)}) {
      if (state->c.size() != static_cast<size_t>(model.total_cells()) ||
          state->y.size() != static_cast<size_t>(model.total_outputs())) {
        return error("state of ", state->c.size(), " cells and ", state->y.size(),
                     " outputs; the model has ", model.total_cells(), " and ",
                     model.total_outputs());
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace ese
