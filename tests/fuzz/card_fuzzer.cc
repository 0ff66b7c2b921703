// SPDX-License-Identifier: Apache-2.0
// The input is a card's memory: it begins with the descriptor of a batch, which says where the
// packed model is.
#include <string>

#include "accel/emu/card_reader.h"
#include "accel/emu/card_unpacker.h"
#include "accel/emu/descriptor.h"
#include "tests/fuzz/mutation.h"

namespace ese::emu {
namespace {

// Smaller than a real kernel, so that a small memory has many rows.
constexpr CardShape kShape = {.pes = 4, .lanes = 8};

// A memory of `size` bytes that begins at address 0.
class BoundedMemory final : public KernelMemory {
 public:
  BoundedMemory(const uint8_t* data, size_t size) : bytes_(data, data + size) {}

  uint8_t* At(uint64_t address, uint64_t size) override {
    const bool fits = address <= bytes_.size() && size <= bytes_.size() - address;
    return fits ? bytes_.data() + address : nullptr;
  }
  uint64_t Version(uint64_t) override { return 1; }

 private:
  std::vector<uint8_t> bytes_;
};

}  // namespace
}  // namespace ese::emu

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ese::emu::BoundedMemory memory(data, size);
  ese::emu::Descriptor batch;
  if (ReadDescriptor(ese::emu::kShape, &memory, 0, &batch) == ese::CardError::kNone) {
    ese::CardModel card;
    if (ReadCardModel(ese::emu::kShape, &memory, batch.at.model, &card) == ese::CardError::kNone) {
      (void)ese::emu::UnpackModel(card);
    }
  }
  EndWithError(&memory, 0, ese::CardError::kBadModel);
  ese::emu::FlipABit(&memory, 0);
  return 0;
}
