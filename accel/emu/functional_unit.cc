// SPDX-License-Identifier: Apache-2.0
#include "accel/emu/functional_unit.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "accel/transpose.h"

namespace ese::emu {
namespace {

constexpr size_t kProgramsKept = 4;

// ResultChecksum uses only the number of lanes and their lengths.
uint64_t Checksum(const CardModel& card, const Descriptor& batch, const uint8_t* inputs,
                  const uint8_t* state_out, const uint8_t* outputs) {
  std::vector<Lane> lanes(batch.lanes);
  for (int lane = 0; lane < batch.lanes; ++lane) {
    lanes[lane].frames = absl::MakeConstSpan(reinterpret_cast<const int8_t*>(inputs),
                                             size_t(batch.lane_frames[lane]) * card.inputs);
  }
  return ResultChecksum(card, lanes, state_out, outputs);
}

}  // namespace

UnitWork FunctionalUnit::Run(KernelMemory* memory, uint64_t descriptor) {
  Descriptor batch;
  if (ReadDescriptor(shape_, memory, descriptor, &batch) != CardError::kNone) return {};
  Program* program = nullptr;
  CardStatus status;
  CardError error = FindProgram(memory, batch.at.model, &program);
  if (error == CardError::kNone) error = Execute(memory, batch, program, &status);
  UnitWork work;
  if (error == CardError::kNone) {
    const CardModel& card = program->shared->card();
    work.cycles = program->shared->Cycles(batch.lanes, batch.frames);
    work.products =
        static_cast<double>(card.entry_beats) * batch.frames * card.shape.pes * batch.lanes;
    status.cycles = static_cast<uint64_t>(work.cycles);
  }
  status.error = static_cast<uint32_t>(error);
  if (LeavesStatus(error)) WriteStatus(memory, batch.at.status, status);
  return work;
}

CardError FunctionalUnit::FindProgram(KernelMemory* memory, uint64_t address, Program** out) {
  const uint64_t version = memory->Version(address);
  const auto found = std::find_if(programs_.begin(), programs_.end(), [&](const Program& program) {
    return program.address == address && program.version == version;
  });
  if (found != programs_.end()) {
    std::rotate(found, found + 1, programs_.end());
  } else {
    Program program = {.address = address, .version = version, .shared = {}, .runner = {}};
    const CardError error = CardProgram::Load(shape_, memory, address, &program.shared);
    if (error != CardError::kNone) return error;
    const CardProgram& shared = *program.shared;
    program.runner = std::make_unique<BatchRunner>(shared.packed(), shared.kernel(), shared.plan());
    if (programs_.size() == kProgramsKept) programs_.erase(programs_.begin());
    programs_.push_back(std::move(program));
  }
  *out = &programs_.back();
  return CardError::kNone;
}

CardError FunctionalUnit::Execute(KernelMemory* memory, const Descriptor& batch, Program* program,
                                  CardStatus* status) {
  const CardModel& card = program->shared->card();
  const uint8_t* inputs = memory->At(batch.at.inputs, card.input_bytes(batch.frames));
  const uint8_t* state_in = memory->At(batch.at.state_in, card.state_bytes());
  if (inputs == nullptr || state_in == nullptr) return CardError::kReadFailed;
  uint8_t* state_out = memory->At(batch.at.state_out, card.state_bytes());
  uint8_t* outputs = memory->At(batch.at.outputs, card.output_bytes(batch.frames));
  if (state_out == nullptr || outputs == nullptr) return CardError::kWriteFailed;

  status->working = static_cast<uint64_t>(batch.frames) * card.entry_beats;
  const BatchInputs known = {program->shared.get(), &batch, inputs, state_in};
  if (memo_ != nullptr && memo_->Recall(known, state_out, outputs, &status->checksum)) {
    return CardError::kNone;
  }
  Compute(batch, program, inputs, state_in, state_out, outputs);
  status->checksum = Checksum(card, batch, inputs, state_out, outputs);
  if (memo_ != nullptr) memo_->Remember(known, state_out, outputs, status->checksum);
  return CardError::kNone;
}

void FunctionalUnit::Compute(const Descriptor& batch, Program* program, const uint8_t* inputs,
                             const uint8_t* state_in, uint8_t* state_out, uint8_t* outputs) {
  const CardModel& card = program->shared->card();
  Load(batch, *program, inputs, state_in);
  Batch active;
  for (int lane = 0; lane < batch.lanes; ++lane) {
    const size_t frames = batch.lane_frames[lane];
    if (frames == 0) {
      lanes_.states_out[lane] = lanes_.states_in[lane];
      continue;
    }
    active.lanes.push_back(
        {.frames = absl::MakeConstSpan(lanes_.frames[lane]).first(frames * card.inputs),
         .state_in = &lanes_.states_in[lane],
         .state_out = &lanes_.states_out[lane],
         .logits = absl::MakeSpan(lanes_.logits[lane]).first(frames * card.units)});
  }
  if (!active.lanes.empty()) program->runner->Run(&active);
  std::memcpy(state_out, state_in, card.state_bytes());
  std::memset(outputs, 0, card.output_bytes(batch.frames));
  Store(batch, *program, state_out, outputs);
}

void FunctionalUnit::Load(const Descriptor& batch, const Program& program, const uint8_t* inputs,
                          const uint8_t* state_in) {
  const CardModel& card = program.shared->card();
  const Model& model = program.shared->packed()->model();
  const int values = batch.frames * card.inputs;
  lanes_.frames.resize(std::max(lanes_.frames.size(), size_t(batch.lanes)));
  lanes_.logits.resize(lanes_.frames.size());
  for (int lane = 0; lane < batch.lanes; ++lane) {
    lanes_.frames[lane].resize(values);
    lanes_.logits[lane].resize(size_t(batch.frames) * card.units);
  }
  const auto fits = [&](const StreamState& state) {
    return state.c.size() == size_t(model.total_cells()) &&
           state.y.size() == size_t(model.total_outputs());
  };
  if (lanes_.states_in.empty() || !fits(lanes_.states_in.front())) {
    lanes_.states_in.assign(shape_.lanes, StreamState(model));
    lanes_.states_out = lanes_.states_in;
  }

  std::vector<int8_t*> frames;
  for (int lane = 0; lane < batch.lanes; ++lane) frames.push_back(lanes_.frames[lane].data());
  ColumnsToLanes<int8_t>(reinterpret_cast<const int8_t*>(inputs), values, shape_.lanes, 0, 0,
                         absl::MakeConstSpan(frames));
  std::vector<Lane> states(batch.lanes);
  for (int lane = 0; lane < batch.lanes; ++lane) states[lane].state_out = &lanes_.states_in[lane];
  UnpackStates(card, state_in, &states);
}

void FunctionalUnit::Store(const Descriptor& batch, const Program& program, uint8_t* state_out,
                           uint8_t* outputs) const {
  const CardModel& card = program.shared->card();
  std::vector<Lane> states(batch.lanes);
  for (int lane = 0; lane < batch.lanes; ++lane) states[lane].state_in = &lanes_.states_out[lane];
  PackStates(card, states, state_out);
  const size_t pes = card.shape.pes, rounds = card.units / pes;
  for (int lane = 0; lane < batch.lanes; ++lane) {
    const int32_t* logits = lanes_.logits[lane].data();
    for (size_t k = 0; k < size_t(batch.lane_frames[lane]) * rounds; ++k) {
      std::memcpy(outputs + (k * card.shape.lanes + lane) * pes * sizeof(int32_t), logits + k * pes,
                  pes * sizeof(int32_t));
    }
  }
}

}  // namespace ese::emu
