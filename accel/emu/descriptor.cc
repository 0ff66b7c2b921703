// SPDX-License-Identifier: Apache-2.0
#include "accel/emu/descriptor.h"

#include <algorithm>
#include <iterator>

namespace ese::emu {
namespace {

bool Aligned(const BatchAddresses& at) {
  const uint64_t addresses[] = {at.model,     at.inputs,  at.state_in,
                                at.state_out, at.outputs, at.status};
  return std::all_of(std::begin(addresses), std::end(addresses),
                     [](uint64_t address) { return address % kCardAlignment == 0; });
}

}  // namespace

CardError ReadDescriptor(const CardShape& shape, KernelMemory* memory, uint64_t address,
                         Descriptor* out) {
  const uint8_t* bytes = memory->At(address, shape.descriptor_bytes());
  if (bytes == nullptr) return CardError::kReadFailed;
  const auto record = LoadFromCard<CardDescriptor>(bytes);
  out->at = record.at;
  if (!Aligned(record.at) || record.lanes == 0 || record.lanes > uint32_t(shape.lanes) ||
      record.frames == 0 || record.frames > kCardMaxField) {
    return CardError::kBadBatch;
  }
  out->lanes = static_cast<int>(record.lanes);
  out->frames = static_cast<int>(record.frames);
  out->lane_frames.clear();
  for (int lane = 0; lane < shape.lanes; ++lane) {
    const auto frames = LoadFromCard<uint16_t>(bytes + LaneFramesOffset(size_t(lane)));
    if (frames > record.frames) return CardError::kBadBatch;
    out->lane_frames.push_back(frames);
  }
  return CardError::kNone;
}

bool WriteStatus(KernelMemory* memory, uint64_t address, const CardStatus& status) {
  uint8_t* record = memory->At(address, sizeof(status));
  if (record == nullptr) return false;
  StoreToCard(status, record);
  return true;
}

void EndWithError(KernelMemory* memory, uint64_t descriptor, CardError error) {
  const uint8_t* bytes = memory->At(descriptor, sizeof(CardDescriptor));
  if (bytes == nullptr || !LeavesStatus(error)) return;
  CardStatus status;
  status.error = static_cast<uint32_t>(error);
  WriteStatus(memory, LoadFromCard<CardDescriptor>(bytes).at.status, status);
}

void FlipABit(KernelMemory* memory, uint64_t descriptor) {
  const uint8_t* bytes = memory->At(descriptor, sizeof(CardDescriptor));
  if (bytes == nullptr) return;
  if (uint8_t* byte = memory->At(LoadFromCard<CardDescriptor>(bytes).at.outputs, 1)) *byte ^= 1;
}

}  // namespace ese::emu
