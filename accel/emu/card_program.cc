// SPDX-License-Identifier: Apache-2.0
#include "accel/emu/card_program.h"

#include <cstring>
#include <utility>

#include "accel/card/cycle_formula.h"
#include "accel/cpu/kernels/kernel_registry.h"
#include "accel/emu/card_reader.h"
#include "accel/emu/card_unpacker.h"
#include "base/crc32c.h"

namespace ese::emu {

CardProgram::CardProgram(CardModel card, std::shared_ptr<const PackedModel> packed,
                         const Kernel* kernel)
    : card_(std::move(card)),
      packed_(std::move(packed)),
      kernel_(kernel),
      plan_(AlgorithmPlan::Measure(packed_, kernel_)) {}

CardError CardProgram::Make(CardModel card, std::shared_ptr<const CardProgram>* out) {
  auto model = UnpackModel(card);
  if (model == nullptr) return CardError::kBadModel;
  auto packed = PackedModel::Create(std::move(model));
  const auto kernel = ChooseKernel();
  if (!packed.ok() || !kernel.ok()) return CardError::kBadModel;
  out->reset(new CardProgram(std::move(card), *std::move(packed), *kernel));
  return CardError::kNone;
}

CardError CardProgram::Load(const CardShape& shape, KernelMemory* memory, uint64_t address,
                            std::shared_ptr<const CardProgram>* out) {
  CardModel card;
  const CardError error = ReadCardModel(shape, memory, address, &card);
  if (error != CardError::kNone) return error;

  static Mutex mutex;
  static auto* const known = new std::multimap<uint32_t, std::weak_ptr<const CardProgram>>;
  const uint32_t checksum = Crc32c(card.bytes.data(), card.bytes.size());
  const MutexLock lock(mutex);  // held while a program is made, so that others wait for it
  std::erase_if(*known, [](const auto& item) { return item.second.expired(); });
  const auto [begin, end] = known->equal_range(checksum);
  for (auto item = begin; item != end; ++item) {
    *out = item->second.lock();
    if (*out != nullptr && (*out)->card().bytes == card.bytes) return CardError::kNone;
  }
  const CardError made = Make(std::move(card), out);
  if (made == CardError::kNone) known->emplace(checksum, *out);
  return made;
}

int64_t CardProgram::Cycles(int lanes, int frames) const {
  const std::pair key(lanes, frames);
  {
    const MutexLock lock(mutex_);
    const auto found = cycles_.find(key);
    if (found != cycles_.end()) return found->second;
  }
  const int64_t cycles = BatchCycles(card_, lanes, frames);
  const MutexLock lock(mutex_);
  return cycles_[key] = cycles;
}

}  // namespace ese::emu
