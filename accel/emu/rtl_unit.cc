// SPDX-License-Identifier: Apache-2.0
#include "accel/emu/rtl_unit.h"

#include <cstdio>

#include "Vese_channel_full.h"
#include "accel/emu/descriptor.h"
#include "accel/rtl/sim/channel_sim.h"

namespace ese::emu {
namespace {

// Far more than any batch takes. The kernel itself ends batches that do not move.
constexpr int64_t kMostCycles = 1'000'000'000;

class RtlUnit final : public Unit {
 public:
  UnitWork Run(KernelMemory* memory, uint64_t descriptor) override {
    memory_ = memory;
    const int violations = sim_.memory().violations();
    sim_.Start(descriptor);
    const bool done = sim_.WaitDone(kMostCycles);
    if (done) {
      sim_.Continue();
    } else {
      sim_.Reset();
    }
    if (!done || sim_.memory().violations() != violations) {
      std::fprintf(stderr, "emulated card: the verilated kernel %s\n",
                   done ? "broke rules of AXI4" : "did not end a batch");
    }
    return done ? Work(memory, descriptor) : UnitWork{};
  }

 private:
  // Reads the status record, if there is one.
  static UnitWork Work(KernelMemory* memory, uint64_t address) {
    const CardShape shape;
    Descriptor batch;
    if (ReadDescriptor(shape, memory, address, &batch) != CardError::kNone) return {};
    const uint8_t* record = memory->At(batch.at.status, sizeof(CardStatus));
    if (record == nullptr) return {};
    const auto status = LoadFromCard<CardStatus>(record);
    if (status.error != 0) return {};
    return {.cycles = static_cast<int64_t>(status.cycles),
            .products = static_cast<double>(status.working) * shape.pes * batch.lanes};
  }

  KernelMemory* memory_ = nullptr;
  ChannelSim<Vese_channel_full> sim_{
      CardShape{}, kDdr4Memory,
      [this](uint64_t address, uint64_t size) { return memory_->At(address, size); }};
};

}  // namespace
}  // namespace ese::emu

extern "C" __attribute__((visibility("default"))) ese::emu::Unit* ese_create_rtl_unit() {
  return new ese::emu::RtlUnit;
}
