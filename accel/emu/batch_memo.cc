// SPDX-License-Identifier: Apache-2.0
#include "accel/emu/batch_memo.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/crc32c.h"

namespace ese::emu {
namespace {

struct Sizes {
  explicit Sizes(const BatchInputs& batch)
      : inputs(batch.program->card().input_bytes(batch.descriptor->frames)),
        state(batch.program->card().state_bytes()),
        outputs(batch.program->card().output_bytes(batch.descriptor->frames)) {}
  size_t inputs, state, outputs;
};

uint32_t Sample(const BatchInputs& batch) {
  constexpr size_t kBytes = 1024;
  return Crc32c(batch.inputs, std::min(kBytes, Sizes(batch).inputs));
}

}  // namespace

struct BatchMemo::Entry {
  std::shared_ptr<const CardProgram> program;
  int lanes, frames;
  std::vector<int> lane_frames;
  std::vector<uint8_t> inputs, state_in, state_out, outputs;
  uint64_t checksum;

  bool Equals(const BatchInputs& batch) const {
    return program.get() == batch.program && lanes == batch.descriptor->lanes &&
           frames == batch.descriptor->frames && lane_frames == batch.descriptor->lane_frames &&
           std::memcmp(inputs.data(), batch.inputs, inputs.size()) == 0 &&
           std::memcmp(state_in.data(), batch.state_in, state_in.size()) == 0;
  }
};

bool BatchMemo::Recall(const BatchInputs& batch, uint8_t* state_out, uint8_t* outputs,
                       uint64_t* checksum) {
  std::vector<EntryPointer> alike;
  {
    const uint32_t sample = Sample(batch);
    const MutexLock lock(mutex_);
    const auto [begin, end] = entries_.equal_range(sample);
    for (auto item = begin; item != end; ++item) alike.push_back(item->second);
  }
  for (const EntryPointer& entry : alike) {
    if (!entry->Equals(batch)) continue;
    std::copy(entry->state_out.begin(), entry->state_out.end(), state_out);
    std::copy(entry->outputs.begin(), entry->outputs.end(), outputs);
    *checksum = entry->checksum;
    return true;
  }
  return false;
}

void BatchMemo::Remember(const BatchInputs& batch, const uint8_t* state_out, const uint8_t* outputs,
                         uint64_t checksum) {
  const Sizes sizes(batch);
  const auto copy = [](const uint8_t* bytes, size_t size) {
    return std::vector<uint8_t>(bytes, bytes + size);
  };
  auto entry = std::make_shared<const Entry>(Entry{
      .program = batch.program->shared_from_this(),
      .lanes = batch.descriptor->lanes,
      .frames = batch.descriptor->frames,
      .lane_frames = batch.descriptor->lane_frames,
      .inputs = copy(batch.inputs, sizes.inputs),
      .state_in = copy(batch.state_in, sizes.state),
      .state_out = copy(state_out, sizes.state),
      .outputs = copy(outputs, sizes.outputs),
      .checksum = checksum,
  });
  const uint32_t sample = Sample(batch);
  const MutexLock lock(mutex_);
  if (entries_.size() < capacity_) entries_.emplace(sample, std::move(entry));
}

}  // namespace ese::emu
