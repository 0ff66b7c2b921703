// SPDX-License-Identifier: Apache-2.0
#include "accel/emu/descriptor.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "accel/card/card_bytes.h"

namespace ese::emu {
namespace {

// In bytes.
constexpr size_t kOutputsField = 32;
constexpr size_t kStatusField = 40;

}  // namespace

CardError ReadDescriptor(const CardShape& shape, KernelMemory* memory, uint64_t address,
                         Descriptor* out) {
  const uint8_t* bytes = memory->At(address, shape.descriptor_bytes());
  if (bytes == nullptr) return CardError::kReadFailed;
  uint64_t* const fields[] = {&out->at.model,     &out->at.inputs,  &out->at.state_in,
                              &out->at.state_out, &out->at.outputs, &out->at.status};
  for (size_t k = 0; k < std::size(fields); ++k) *fields[k] = Get<uint64_t>(bytes, 8 * k);
  const bool aligned = std::all_of(std::begin(fields), std::end(fields),
                                   [](const uint64_t* field) { return *field % 64 == 0; });
  const auto lanes = Get<uint32_t>(bytes, 48), frames = Get<uint32_t>(bytes, 52);
  if (!aligned || lanes == 0 || lanes > uint32_t(shape.lanes) || frames == 0 || frames > 65535) {
    return CardError::kBadBatch;
  }
  out->lanes = static_cast<int>(lanes);
  out->frames = static_cast<int>(frames);
  out->lane_frames.clear();
  for (int lane = 0; lane < shape.lanes; ++lane) {
    const auto its_frames = Get<uint16_t>(bytes, kCardRecordBytes + 2 * size_t(lane));
    if (its_frames > frames) return CardError::kBadBatch;
    out->lane_frames.push_back(its_frames);
  }
  return CardError::kNone;
}

bool LeavesStatus(CardError error) {
  return error == CardError::kNone ||
         (error >= CardError::kBadModel && error <= CardError::kBadPass);
}

bool WriteStatus(KernelMemory* memory, uint64_t address, const BatchStatus& status) {
  uint8_t* record = memory->At(address, kCardRecordBytes);
  if (record == nullptr) return false;
  std::memset(record, 0, kCardRecordBytes);
  std::memcpy(record, &status, sizeof(status));
  return true;
}

void EndWithError(KernelMemory* memory, uint64_t descriptor, CardError error) {
  const uint8_t* bytes = memory->At(descriptor, kCardRecordBytes);
  if (bytes == nullptr || !LeavesStatus(error)) return;
  BatchStatus status;
  status.error = static_cast<uint32_t>(error);
  WriteStatus(memory, Get<uint64_t>(bytes, kStatusField), status);
}

void FlipABit(KernelMemory* memory, uint64_t descriptor) {
  const uint8_t* bytes = memory->At(descriptor, kCardRecordBytes);
  if (bytes == nullptr) return;
  if (uint8_t* byte = memory->At(Get<uint64_t>(bytes, kOutputsField), 1)) *byte ^= 1;
}

}  // namespace ese::emu
