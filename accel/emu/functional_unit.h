// SPDX-License-Identifier: Apache-2.0
// A compute unit in software. The CPU kernels compute its results from what the host wrote to the
// card: descriptor, packed model (card_program.h), inputs and states.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "accel/cpu/batch_runner.h"
#include "accel/emu/batch_memo.h"
#include "accel/emu/card_program.h"
#include "accel/emu/descriptor.h"
#include "accel/emu/unit.h"

namespace ese::emu {

class FunctionalUnit final : public Unit {
 public:
  // `memo` may be null. It must outlive this object.
  FunctionalUnit(const CardShape& shape, BatchMemo* memo) : shape_(shape), memo_(memo) {}

  UnitWork Run(KernelMemory* memory, uint64_t descriptor) override;

 private:
  // A model in the card's memory that this unit has used.
  struct Program {
    uint64_t address = 0;
    uint64_t version = 0;  // of the memory
    std::shared_ptr<const CardProgram> shared;
    std::unique_ptr<BatchRunner> runner;
  };
  // A batch in the layout of the CPU channels: [lanes in use].
  struct Lanes {
    std::vector<std::vector<int8_t>> frames;
    std::vector<StreamState> states_in, states_out;
    std::vector<std::vector<int32_t>> logits;
  };

  CardError FindProgram(KernelMemory* memory, uint64_t address, Program** out);
  CardError Execute(KernelMemory* memory, const Descriptor& batch, Program* program,
                    CardStatus* status);
  void Compute(const Descriptor& batch, Program* program, const uint8_t* inputs,
               const uint8_t* state_in, uint8_t* state_out, uint8_t* outputs);
  void Load(const Descriptor& batch, const Program& program, const uint8_t* inputs,
            const uint8_t* state_in);
  void Store(const Descriptor& batch, const Program& program, uint8_t* state_out,
             uint8_t* outputs) const;

  const CardShape shape_;
  BatchMemo* const memo_;
  std::vector<Program> programs_;  // ordered by last use, the latest last
  Lanes lanes_;
};

}  // namespace ese::emu
