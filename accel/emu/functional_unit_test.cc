// SPDX-License-Identifier: Apache-2.0
#include "accel/emu/functional_unit.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <vector>

#include "accel/emu/batch_image.h"
#include "model/testing.h"

namespace ese::emu {
namespace {

constexpr uint64_t kBase = 0x1000;

class TestMemory final : public KernelMemory {
 public:
  uint8_t* At(uint64_t address, uint64_t size) override {
    const bool inside = address >= kBase && address + size <= kBase + bytes_.size();
    return inside ? bytes_.data() + (address - kBase) : nullptr;
  }
  uint64_t Version(uint64_t) override { return version_; }

  void Write(const std::vector<uint8_t>& bytes) {
    bytes_ = bytes;
    ++version_;
  }

 private:
  std::vector<uint8_t> bytes_;
  uint64_t version_ = 0;
};

void RunAndExpectReference(FunctionalUnit* unit, const Model& model, const std::vector<int>& frames,
                           uint32_t seed) {
  BatchImage image(model, frames, seed, kBase);
  TestMemory memory;
  memory.Write(image.bytes());
  const UnitWork work = unit->Run(&memory, image.descriptor());
  EXPECT_GT(work.cycles, 0);
  EXPECT_GT(work.products, 0);
  const uint8_t* results = memory.At(kBase, 1);
  image.ExpectReference(results);
  EXPECT_EQ(image.Status(results).checksum, image.Checksum(results));
}

TEST(FunctionalUnit, EqualsTheReference) {
  for (uint32_t seed = 0; seed < 12; ++seed) {
    RandomModelOptions options = RandomCardModel(seed);
    if (seed % 3 == 0) options.density = 0.02;  // long gaps and empty rows
    const auto model = RandomModel(options);
    FunctionalUnit unit(CardShape{}, nullptr);
    RunAndExpectReference(&unit, *model, {3, 1, 2}, seed);
    RunAndExpectReference(&unit, *model, std::vector<int>(64, 2), seed);
  }
}

TEST(FunctionalUnit, KeepsLongGaps) {
  const auto model = RandomModel(
      {.inputs = 1500, .layers = {{.cells = 9, .projection = 5}}, .units = 33, .density = 0.003});
  FunctionalUnit unit(CardShape{}, nullptr);
  RunAndExpectReference(&unit, *model, {2, 1}, 1);
}

TEST(FunctionalUnit, UsesAnotherModelOnceItIsWritten) {
  TestMemory memory;
  FunctionalUnit unit(CardShape{}, nullptr);
  for (const uint32_t seed : {1, 2, 1}) {
    const auto model = RandomModel(RandomCardModel(seed));
    BatchImage image(*model, {2, 1}, seed, kBase);
    memory.Write(image.bytes());
    unit.Run(&memory, image.descriptor());
    image.ExpectReference(memory.At(kBase, 1));
  }
}

TEST(FunctionalUnit, RecallsOnlyBatchesWithTheSameBytes) {
  const auto model = RandomModel(RandomCardModel(1));
  BatchMemo memo(2);
  FunctionalUnit unit(CardShape{}, &memo);
  for (int round = 0; round < 2; ++round) {
    for (uint32_t seed = 0; seed < 4; ++seed) RunAndExpectReference(&unit, *model, {3, 1}, seed);
  }
  // Returns whether a batch of this seed is recalled after some bits of its states were changed.
  const auto recalls = [&](uint32_t seed, uint8_t change) {
    BatchImage image(*model, {3, 1}, seed, kBase);
    image.bytes()[image.at().state_in - kBase] ^= change;
    TestMemory memory;
    memory.Write(image.bytes());
    std::shared_ptr<const CardProgram> program;
    EXPECT_EQ(CardProgram::Load(CardShape{}, &memory, image.at().model, &program),
              CardError::kNone);
    Descriptor descriptor;
    EXPECT_EQ(ReadDescriptor(CardShape{}, &memory, image.descriptor(), &descriptor),
              CardError::kNone);
    std::vector<uint8_t> state(image.card().state_bytes()), outputs(image.card().output_bytes(3));
    uint64_t checksum = 0;
    return memo.Recall({program.get(), &descriptor, memory.At(image.at().inputs, 1),
                        memory.At(image.at().state_in, 1)},
                       state.data(), outputs.data(), &checksum);
  };
  EXPECT_TRUE(recalls(1, 0));
  EXPECT_FALSE(recalls(1, 1));
  EXPECT_FALSE(recalls(3, 0));  // the memo keeps only two batches
}

TEST(FunctionalUnit, EqualModelsShareOneProgram) {
  const auto load = [](uint32_t seed) {
    const auto model = RandomModel(RandomCardModel(seed));
    BatchImage image(*model, {1}, 1, kBase);
    TestMemory memory;
    memory.Write(image.bytes());
    std::shared_ptr<const CardProgram> program;
    EXPECT_EQ(CardProgram::Load(CardShape{}, &memory, image.at().model, &program),
              CardError::kNone);
    return program;
  };
  const auto first = load(1), second = load(1), other = load(2);
  EXPECT_EQ(first, second);
  EXPECT_NE(first, other);
}

TEST(FunctionalUnit, EndsWithTheKernelsErrors) {
  const auto model = RandomModel(RandomCardModel(1));
  // Returns the error after `value` was written at `offset` into the packed model.
  const auto error_with = [&](size_t offset, auto value) {
    BatchImage image(*model, {1}, 1, kBase);
    StoreToCard(value, image.bytes().data() + (image.at().model - kBase) + offset);
    TestMemory memory;
    memory.Write(image.bytes());
    FunctionalUnit(CardShape{}, nullptr).Run(&memory, image.descriptor());
    return static_cast<CardError>(image.Status(memory.At(kBase, 1)).error);
  };
  EXPECT_EQ(error_with(offsetof(CardHeader, magic), uint32_t{1}), CardError::kBadModel);
  EXPECT_EQ(error_with(offsetof(CardHeader, version), uint16_t{99}), CardError::kOtherShape);
  EXPECT_EQ(error_with(sizeof(CardHeader) + offsetof(CardPassRecord, entries), uint16_t{0}),
            CardError::kBadPass);
  EXPECT_EQ(error_with(offsetof(CardHeader, entry_beats), uint32_t{7}), CardError::kBadModel);
}

TEST(FunctionalUnit, LeavesNoStatusWhereTheKernelWouldNot) {
  const auto model = RandomModel(RandomCardModel(1));
  BatchImage image(*model, {1}, 1, kBase);
  const uint64_t nowhere = uint64_t{1} << 40;
  StoreToCard(nowhere, image.bytes().data() + offsetof(CardDescriptor, at) +
                           offsetof(BatchAddresses, model));
  StoreToCard(uint32_t{99},
              image.bytes().data() + (image.at().status - kBase) + offsetof(CardStatus, error));
  TestMemory memory;
  memory.Write(image.bytes());
  EXPECT_EQ(FunctionalUnit(CardShape{}, nullptr).Run(&memory, image.descriptor()).cycles, 0);
  EXPECT_EQ(image.Status(memory.At(kBase, 1)).error, 99u);
}

}  // namespace
}  // namespace ese::emu
