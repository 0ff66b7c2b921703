#include "accel/emu/functional_unit.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <vector>

#include "accel/rtl/sim/random_batch.h"
#include "model/testing.h"

namespace ese::emu {
namespace {

constexpr uint64_t kBase = 0x1000;
constexpr uint64_t kModelAt = kBase;
constexpr uint64_t kDescriptorAt = kBase + (1 << 20);
constexpr size_t kBytes = 4 << 20;

class TestMemory final : public KernelMemory {
 public:
  uint8_t* At(uint64_t address, uint64_t size) override {
    const bool inside = address >= kBase && address + size <= kBase + kBytes;
    return inside ? bytes_.data() + (address - kBase) : nullptr;
  }
  uint64_t Version(uint64_t) override { return version_; }

  void Write(uint64_t address, const std::vector<uint8_t>& bytes) {
    std::memcpy(At(address, bytes.size()), bytes.data(), bytes.size());
    ++version_;
  }

 private:
  std::vector<uint8_t> bytes_ = std::vector<uint8_t>(kBytes);
  uint64_t version_ = 1;
};

// A model and a batch in memory, in the host's layout.
class FunctionalUnitTest : public testing::Test {
 protected:
  void PutModel(const Model& model) {
    card_ = PackForCard(model, CardShape{}).value();
    memory_.Write(kModelAt, card_.bytes);
  }

  void PutBatch(const std::vector<Lane>& lanes) {
    uint64_t end = kDescriptorAt + 4096;
    const auto reserve = [&](size_t bytes) {
      const uint64_t at = end;
      end += (bytes + 63) / 64 * 64;
      return at;
    };
    const std::vector<uint8_t> inputs = PackInputs(card_, lanes), states = PackStates(card_, lanes);
    at_.model = kModelAt;
    at_.inputs = reserve(inputs.size());
    at_.state_in = reserve(states.size());
    at_.state_out = reserve(states.size());
    at_.outputs = reserve(card_.output_bytes(int(inputs.size() / card_.input_bytes(1))));
    at_.status = reserve(kRecordBytes);
    memory_.Write(at_.inputs, inputs);
    memory_.Write(at_.state_in, states);
    memory_.Write(kDescriptorAt, PackDescriptor(card_, lanes, at_));
  }

  BatchStatus Status() {
    BatchStatus status;
    std::memcpy(&status, memory_.At(at_.status, sizeof(status)), sizeof(status));
    return status;
  }

  void RunAndExpectReference(FunctionalUnit* unit, const Model& model,
                             const std::vector<int>& frames, uint32_t seed) {
    OwnedBatch batch = RandomBatch(model, frames, seed),
               expected = RandomBatch(model, frames, seed);
    PutBatch(batch.lanes);
    const UnitWork work = unit->Run(&memory_, kDescriptorAt);
    EXPECT_GT(work.cycles, 0);
    EXPECT_GT(work.products, 0);
    const uint8_t* state_out = memory_.At(at_.state_out, 1);
    const uint8_t* outputs = memory_.At(at_.outputs, 1);
    const BatchStatus status = Status();
    ASSERT_EQ(status.error, 0u);
    EXPECT_EQ(status.checksum, ResultChecksum(card_, batch.lanes, state_out, outputs));
    UnpackStates(card_, state_out, &batch.lanes);
    UnpackLogits(card_, outputs, &batch.lanes);
    RunReference(model, &expected);
    for (size_t lane = 0; lane < frames.size(); ++lane) {
      const StreamState &a = batch.states_out[lane], &b = expected.states_out[lane];
      EXPECT_TRUE(std::equal(a.c.begin(), a.c.end(), b.c.begin(), b.c.end())) << "lane " << lane;
      EXPECT_TRUE(std::equal(a.y.begin(), a.y.end(), b.y.begin(), b.y.end())) << "lane " << lane;
      EXPECT_EQ(batch.logits[lane], expected.logits[lane]) << "lane " << lane;
    }
  }

  TestMemory memory_;
  CardModel card_;
  BatchAddresses at_;
};

TEST_F(FunctionalUnitTest, EqualsTheReferenceForModelsInTurns) {
  FunctionalUnit unit(CardShape{}, nullptr);
  for (uint32_t seed = 0; seed < 12; ++seed) {
    RandomModelOptions options = RandomCardModel(seed);
    if (seed % 3 == 0) options.density = 0.02;  // gaps, and rows of nothing
    const auto model = RandomModel(options);
    PutModel(*model);
    RunAndExpectReference(&unit, *model, {3, 1, 2}, seed);
    RunAndExpectReference(&unit, *model, std::vector<int>(64, 2), seed);
  }
}

TEST_F(FunctionalUnitTest, LongGapsAreKept) {
  const auto model = RandomModel(
      {.inputs = 1500, .layers = {{.cells = 9, .projection = 5}}, .units = 33, .density = 0.003});
  PutModel(*model);
  FunctionalUnit unit(CardShape{}, nullptr);
  RunAndExpectReference(&unit, *model, {2, 1}, 1);
}

TEST_F(FunctionalUnitTest, RecallsBatchesOfTheSameBytesOnly) {
  const auto model = RandomModel(RandomCardModel(1));
  PutModel(*model);
  BatchMemo memo(2);
  FunctionalUnit unit(CardShape{}, &memo);
  for (int round = 0; round < 2; ++round) {
    for (uint32_t seed = 0; seed < 4; ++seed) RunAndExpectReference(&unit, *model, {3, 1}, seed);
  }
  const OwnedBatch batch = RandomBatch(*model, {3, 1}, 1);
  PutBatch(batch.lanes);
  std::shared_ptr<const CardProgram> program;
  ASSERT_EQ(CardProgram::Load(CardShape{}, &memory_, kModelAt, &program), CardError::kNone);
  Descriptor descriptor;
  ASSERT_EQ(ReadDescriptor(CardShape{}, &memory_, kDescriptorAt, &descriptor), CardError::kNone);
  const BatchInputs inputs = {program.get(), &descriptor, memory_.At(at_.inputs, 1),
                              memory_.At(at_.state_in, 1)};
  std::vector<uint8_t> state(card_.state_bytes()), outputs(card_.output_bytes(3));
  uint64_t checksum = 0;
  EXPECT_TRUE(memo.Recall(inputs, state.data(), outputs.data(), &checksum));
  *memory_.At(at_.state_in + card_.state_bytes() - 1, 1) ^= 1;
  EXPECT_FALSE(memo.Recall(inputs, state.data(), outputs.data(), &checksum));
  PutBatch(RandomBatch(*model, {3, 1}, 3).lanes);  // the third different batch: one too many
  EXPECT_FALSE(memo.Recall(inputs, state.data(), outputs.data(), &checksum));
}

TEST_F(FunctionalUnitTest, EqualModelsAreOneProgram) {
  PutModel(*RandomModel(RandomCardModel(1)));
  std::shared_ptr<const CardProgram> first, second, other;
  ASSERT_EQ(CardProgram::Load(CardShape{}, &memory_, kModelAt, &first), CardError::kNone);
  ASSERT_EQ(CardProgram::Load(CardShape{}, &memory_, kModelAt, &second), CardError::kNone);
  PutModel(*RandomModel(RandomCardModel(2)));
  ASSERT_EQ(CardProgram::Load(CardShape{}, &memory_, kModelAt, &other), CardError::kNone);
  EXPECT_EQ(first, second);
  EXPECT_NE(first, other);
}

TEST_F(FunctionalUnitTest, EndsWithTheKernelsErrors) {
  const auto model = RandomModel(RandomCardModel(1));
  const OwnedBatch batch = RandomBatch(*model, {1}, 1);
  FunctionalUnit unit(CardShape{}, nullptr);
  // With one 32-bit word of the packed model changed.
  const auto error_with = [&](size_t word, uint32_t value) {
    PutModel(*model);
    PutBatch(batch.lanes);
    std::vector<uint8_t> bytes = card_.bytes;
    std::memcpy(bytes.data() + 4 * word, &value, sizeof(value));
    memory_.Write(kModelAt, bytes);
    unit.Run(&memory_, kDescriptorAt);
    return static_cast<CardError>(Status().error);
  };
  EXPECT_EQ(error_with(0, 1), CardError::kBadModel);
  EXPECT_EQ(error_with(1, 1 | 8 << 16), CardError::kOtherShape);
  EXPECT_EQ(error_with(16, 12 << 3), CardError::kBadPass);  // no entries
  EXPECT_EQ(error_with(4, 7), CardError::kBadModel);        // not the passes' beats
}

TEST_F(FunctionalUnitTest, LeavesNoStatusWhereTheKernelWouldNot) {
  const auto model = RandomModel(RandomCardModel(1));
  PutModel(*model);
  PutBatch(RandomBatch(*model, {1}, 1).lanes);
  BatchStatus none;
  none.error = 99;
  std::memcpy(memory_.At(at_.status, sizeof(none)), &none, sizeof(none));
  const uint64_t nowhere = uint64_t{1} << 40;
  std::memcpy(memory_.At(kDescriptorAt, 8), &nowhere, sizeof(nowhere));
  FunctionalUnit unit(CardShape{}, nullptr);
  EXPECT_EQ(unit.Run(&memory_, kDescriptorAt).cycles, 0);
  EXPECT_EQ(Status().error, 99u);
}

}  // namespace
}  // namespace ese::emu
