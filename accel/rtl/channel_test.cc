// SPDX-License-Identifier: Apache-2.0
// Compares the whole kernel, verilated with 8 PEs and 16 lanes, with ReferenceStep.
#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "Vese_channel_small.h"
#include "accel/card/card_format.h"
#include "accel/card/card_model.h"
#include "accel/rtl/sim/channel_coverage.h"
#include "accel/rtl/sim/channel_sim.h"
#include "accel/rtl/sim/expect_results.h"
#include "model/testing.h"

namespace ese {
namespace {

constexpr CardShape kShape = {.pes = 8, .lanes = 16};
using Sim = ChannelSim<Vese_channel_small, ChannelCoverage>;

// Together, the tests of this file reach every state of the control and every error code.
class AllIsCovered : public testing::Environment {
 public:
  void TearDown() override {
    if (GTEST_FLAG_GET(filter) == "*") ChannelCoverage::ExpectAllSeen();
  }
};
const auto* const kAllIsCovered = testing::AddGlobalTestEnvironment(new AllIsCovered);

CardModel Pack(const Model& model) {
  auto packed = PackForCard(model, kShape);
  EXPECT_TRUE(packed.ok()) << packed.status();
  return *std::move(packed);
}

void RunAndCompare(Sim* sim, const Model& model, const CardModel& card, uint64_t address,
                   const std::vector<int>& frames, uint32_t seed) {
  OwnedBatch batch = RandomBatch(model, frames, seed), expected = RandomBatch(model, frames, seed);
  const Sim::Placed placed = sim->Place(card, address, batch.lanes);
  sim->Start(placed.descriptor);
  ASSERT_TRUE(sim->WaitDone(2000000));
  EXPECT_EQ(sim->ReadRegister(kCardErrorRegister), 0u);
  const CardStatus status = sim->Fetch(card, placed, &batch.lanes);
  sim->Continue();
  EXPECT_EQ(status.error, 0u);
  EXPECT_EQ(status.checksum,
            ResultChecksum(card, batch.lanes, sim->memory().At(placed.addresses.state_out),
                           sim->memory().At(placed.addresses.outputs)));
  RunReference(model, &expected);
  ExpectSameResults(batch, expected);
  EXPECT_EQ(sim->memory().violations(), 0);
}

// Returns a model with layers of every kind in the format, in sizes that are not multiples of the
// kernel's.
RandomModelOptions Shape(int k) {
  const RandomLayer projected = {.cells = 19, .projection = 13, .peepholes = true};
  const RandomLayer plain = {.cells = 11};
  const RandomLayer sigmoid = {
      .cells = 9, .projection = 10, .peepholes = true, .g_activation = GActivation::kSigmoid};
  const RandomModelOptions shapes[] = {
      {.inputs = 5, .layers = {{.cells = 16, .projection = 8}}, .units = 7},
      {.inputs = 1, .layers = {{.cells = 1}}, .units = 1, .density = 1},
      {.inputs = 7, .layers = {projected}, .units = 17, .density = 0.5},
      {.inputs = 6, .layers = {plain, plain}, .units = 9, .density = 0.7},
      {.inputs = 13, .layers = {projected, plain, sigmoid}, .units = 8, .density = 1},
      // Every row is shorter than a drain, and some rows have no entry.
      {.inputs = 9, .layers = {sigmoid, sigmoid}, .units = 33, .density = 0.05},
      // Gates and cells saturate.
      {.inputs = 10, .layers = {projected, sigmoid}, .units = 5, .density = 0.6, .gain = 40},
      // Rows are longer than a drain.
      {.inputs = 70, .layers = {{.cells = 100, .projection = 50}}, .units = 8, .density = 0.5},
      {.inputs = 40, .layers = {{.cells = 90}, {.cells = 17, .projection = 3}}, .units = 20},
  };
  return shapes[k];
}
constexpr int kShapes = 9;

class Models : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Channel, Models, testing::Range(0, kShapes));

TEST_P(Models, EqualTheReference) {
  RandomModelOptions options = Shape(GetParam());
  options.seed = 100 + GetParam();
  const auto model = RandomModel(options);
  const CardModel card = Pack(*model);
  Sim sim(kShape, {});
  const uint64_t address = sim.Place(card);
  RunAndCompare(&sim, *model, card, address, {1}, 1);
  RunAndCompare(&sim, *model, card, address, {2, 3, 1}, 2);
  RunAndCompare(&sim, *model, card, address, {4, 1, 3, 4, 2, 2, 1, 5, 1, 1, 3, 4, 4, 2, 1, 1}, 3);
  RunAndCompare(&sim, *model, card, address, std::vector<int>(16, 6), 4);
}

TEST_P(Models, EqualTheReferenceOnAnyBus) {
  RandomModelOptions options = Shape(GetParam());
  options.seed = 200 + GetParam();
  const auto model = RandomModel(options);
  const CardModel card = Pack(*model);
  const AxiMemoryOptions memories[] = {
      {.max_latency = 200, .stall = 0.3, .seed = 5},
      {.min_latency = 60, .max_latency = 120, .bandwidth = 0.4, .seed = 6},
      {.max_latency = 9,
       .bandwidth = 1.3,
       .refresh_interval = 300,
       .refresh_cycles = 60,
       .stall = 0.8},
  };
  for (const AxiMemoryOptions& memory : memories) {
    Sim sim(kShape, memory);
    const uint64_t address = sim.Place(card);
    RunAndCompare(&sim, *model, card, address, {3, 2, 5, 1, 4, 3, 2, 2, 1, 5, 3, 3, 1, 2, 4}, 7);
    RunAndCompare(&sim, *model, card, address, std::vector<int>(16, 2), 8);
  }
}

TEST(Channel, CountsItsWork) {
  const auto model = RandomModel(Shape(2));
  const CardModel card = Pack(*model);
  Sim sim(kShape, {});
  OwnedBatch batch = RandomBatch(*model, {3, 2}, 1);
  const Sim::Placed placed = sim.Place(card, sim.Place(card), batch.lanes);
  const int64_t before = sim.cycle();
  sim.Start(placed.descriptor);
  ASSERT_TRUE(sim.WaitDone(100000));
  const CardStatus status = sim.Status(placed);
  EXPECT_EQ(status.working, uint64_t(3 * card.entry_beats));
  EXPECT_GT(status.cycles, status.working);
  EXPECT_LT(status.cycles, uint64_t(sim.cycle() - before));
}

TEST(Channel, SwitchesModelsBetweenBatches) {
  const auto first = RandomModel(Shape(4)), second = RandomModel(Shape(7));
  const CardModel first_card = Pack(*first), second_card = Pack(*second);
  Sim sim(kShape, {.max_latency = 30, .stall = 0.1});
  const uint64_t at_first = sim.Place(first_card), at_second = sim.Place(second_card);
  for (uint32_t k = 0; k < 3; ++k) {
    RunAndCompare(&sim, *first, first_card, at_first, {2, 1, 3}, 10 + k);
    RunAndCompare(&sim, *second, second_card, at_second, std::vector<int>(5, 2), 20 + k);
  }
}

// In the protocol ap_ctrl_chain, done stays set until it is acknowledged, and raises the interrupt.
TEST(Channel, StaysDoneUntilAcknowledged) {
  const auto model = RandomModel(Shape(0));
  const CardModel card = Pack(*model);
  Sim sim(kShape, {});
  OwnedBatch batch = RandomBatch(*model, {1}, 1);
  const Sim::Placed placed = sim.Place(card, sim.Place(card), batch.lanes);
  EXPECT_EQ(sim.ReadRegister(kCardControlRegister), kCardControlIdle);
  sim.WriteRegister(kCardGlobalInterruptRegister, 1);
  sim.WriteRegister(kCardInterruptEnableRegister, 1);
  sim.Start(placed.descriptor);
  EXPECT_EQ(sim.ReadRegister(kCardControlRegister), kCardControlStart);
  EXPECT_EQ(sim.interrupt(), 0);
  ASSERT_TRUE(sim.WaitDone(100000));
  EXPECT_EQ(sim.interrupt(), 1);
  sim.WriteRegister(kCardInterruptStatusRegister, 1);
  EXPECT_EQ(sim.interrupt(), 0);
  EXPECT_EQ(sim.ReadRegister(kCardControlRegister) &
                (kCardControlDone | kCardControlStart | kCardControlIdle),
            kCardControlDone);
  // A start before the acknowledgement waits for the acknowledgement.
  sim.WriteRegister(kCardControlRegister, kCardControlStart);
  for (int k = 0; k < 100; ++k) sim.Cycle();
  EXPECT_EQ(sim.ReadRegister(kCardControlRegister) & (kCardControlDone | kCardControlIdle),
            kCardControlDone);
  sim.Continue();
  sim.Cycle();
  EXPECT_EQ(sim.ReadRegister(kCardControlRegister) & (kCardControlDone | kCardControlIdle), 0u);
  ASSERT_TRUE(sim.WaitDone(100000));
}

class Faults : public testing::Test {
 protected:
  Faults()
      : model_(RandomModel(Shape(7))), card_(Pack(*model_)), sim_(kShape, {.max_latency = 40}) {
    address_ = sim_.Place(card_);
    batch_ = RandomBatch(*model_, {3, 2, 3}, 1);
    placed_ = sim_.Place(card_, address_, batch_.lanes);
  }

  void ExpectError(CardError error, bool in_status) {
    sim_.Start(placed_.descriptor);
    ASSERT_TRUE(sim_.WaitDone(100000));
    EXPECT_EQ(sim_.ReadRegister(kCardErrorRegister), static_cast<uint32_t>(error));
    if (in_status) {
      EXPECT_EQ(sim_.Status(placed_).error, static_cast<uint32_t>(error));
    }
    sim_.Continue();
    EXPECT_EQ(sim_.memory().violations(), 0);
  }
  void ExpectWorks() { RunAndCompare(&sim_, *model_, card_, sim_.Place(card_), {2, 1}, 9); }
  template <typename Field>
  void Poke(uint64_t address, Field value) {
    std::vector<uint8_t> bytes(sizeof(value));
    StoreToCard(value, bytes.data());
    sim_.memory().Write(address, bytes);
  }

  std::shared_ptr<const Model> model_;
  CardModel card_;
  Sim sim_;
  uint64_t address_;
  OwnedBatch batch_;
  Sim::Placed placed_;
};

TEST_F(Faults, RefusesABadBatch) {
  constexpr size_t kLanes = offsetof(CardDescriptor, lanes);
  constexpr size_t kFrames = offsetof(CardDescriptor, frames);
  constexpr size_t kModel = offsetof(CardDescriptor, at) + offsetof(BatchAddresses, model);
  const auto misaligned = static_cast<uint32_t>(address_ + kCardAlignment / 8);
  const std::pair<size_t, uint32_t> fields[] = {
      {kLanes, 0},  {kLanes, kShape.lanes + 1},   {kLanes, kCardMaxField + 1},
      {kFrames, 0}, {kFrames, kCardMaxField + 1}, {kModel, misaligned}};
  for (const auto& [offset, value] : fields) {
    const auto good = PackDescriptor(card_, batch_.lanes, placed_.addresses);
    Poke(placed_.descriptor + offset, value);
    ExpectError(CardError::kBadBatch, false);
    sim_.memory().Write(placed_.descriptor, good);
  }
  ExpectWorks();
}

TEST_F(Faults, RefusesARecordThatIsNotAModel) {
  for (const size_t offset : {offsetof(CardHeader, magic), offsetof(CardHeader, passes),
                              offsetof(CardHeader, rows), offsetof(CardHeader, entry_beats),
                              offsetof(CardHeader, inputs), offsetof(CardHeader, y_columns),
                              offsetof(CardHeader, cells), offsetof(CardHeader, first_output)}) {
    Poke(address_ + offset, uint32_t{0});
    ExpectError(CardError::kBadModel, true);
    sim_.memory().Write(address_, card_.bytes);
  }
  ExpectWorks();
}

TEST_F(Faults, RefusesAModelForOtherKernels) {
  const std::pair<size_t, uint16_t> fields[] = {
      {offsetof(CardHeader, pes), 4 * kShape.pes},
      {offsetof(CardHeader, version), kCardFormatVersion - 1}};
  for (const auto& [offset, value] : fields) {
    Poke(address_ + offset, value);
    ExpectError(CardError::kOtherShape, true);
    sim_.memory().Write(address_, card_.bytes);
  }
  ExpectWorks();
}

TEST_F(Faults, RefusesModelsThatExceedTheBuffers) {
  const RandomLayer small = {.cells = 4, .projection = 4};
  const RandomModelOptions large[] = {
      {.inputs = 200, .layers = {{.cells = 20, .projection = 57}}},  // columns: 257
      {.inputs = 2, .layers = {{.cells = 129, .projection = 8}}},    // m of a layer
      {.inputs = 2,
       .layers = {{.cells = 128, .projection = 8},
                  {.cells = 128, .projection = 8},
                  {.cells = 8}}},                                               // cells of a PE: 33
      {.inputs = 2, .layers = {{.cells = 8, .projection = 8}}, .units = 2048},  // rows of a PE
      {.inputs = 2, .layers = {small, small, small, small}},                    // passes: 9
  };
  for (const RandomModelOptions& options : large) {
    const auto model = RandomModel(options);
    const CardModel card = Pack(*model);
    OwnedBatch batch = RandomBatch(*model, {1}, 1);
    placed_ = sim_.Place(card, sim_.Place(card), batch.lanes);
    ExpectError(CardError::kTooLarge, true);
  }
  ExpectWorks();
}

TEST_F(Faults, RefusesPassesWithoutWork) {
  const uint64_t pass = address_ + sizeof(CardHeader);
  const std::pair<size_t, uint16_t> fields[] = {
      {offsetof(CardPassRecord, entries), 0},
      {offsetof(CardPassRecord, rows), 0},
      {offsetof(CardPassRecord, rows), 13 * kCardGates - 1},  // a cell lacks a gate
      {offsetof(CardPassRecord, count), 0}};
  for (const auto& [offset, value] : fields) {
    Poke(pass + offset, value);
    ExpectError(CardError::kBadPass, true);
    sim_.memory().Write(address_, card_.bytes);
  }
  ExpectWorks();
}

TEST_F(Faults, ReadErrorsEndABatch) {
  const uint64_t places[] = {
      placed_.descriptor,
      address_,
      address_ + sizeof(CardHeader),
      address_ + card_.bytes.size() / 2 / kCardRecordBytes * kCardRecordBytes,
      placed_.addresses.inputs,
      placed_.addresses.state_in};
  for (const uint64_t place : places) {
    sim_.memory().FailAt(place);
    ExpectError(CardError::kReadFailed, false);
  }
  sim_.memory().FailAt(0);
  ExpectWorks();
}

TEST_F(Faults, WriteErrorsEndABatch) {
  for (const uint64_t place : {placed_.addresses.state_out, placed_.addresses.outputs + 32}) {
    sim_.memory().FailAt(place);
    ExpectError(CardError::kWriteFailed, false);
  }
  sim_.memory().FailAt(0);
  ExpectWorks();
}

TEST_F(Faults, AHeaderThatPromisesTooFewEntriesEndsOnlyTheBatch) {
  Poke(address_ + offsetof(CardHeader, entry_beats), static_cast<uint32_t>(card_.entry_beats - 1));
  ExpectError(CardError::kStalled, false);
  ExpectWorks();
}

TEST_F(Faults, ABusThatStallsForAWhileEndsOnlyTheBatch) {
  sim_.Start(placed_.descriptor);
  for (int k = 0; k < 900; ++k) sim_.Cycle();
  sim_.memory().Hang(true);
  for (int k = 0; k < 4000; ++k) sim_.Cycle();
  sim_.memory().Hang(false);
  ASSERT_TRUE(sim_.WaitDone(10000));
  EXPECT_EQ(sim_.ReadRegister(kCardErrorRegister), static_cast<uint32_t>(CardError::kStalled));
  sim_.Continue();
  ExpectWorks();
}

TEST_F(Faults, ABusThatNeverRecoversNeedsAReset) {
  sim_.Start(placed_.descriptor);
  for (int k = 0; k < 900; ++k) sim_.Cycle();
  sim_.memory().Hang(true);
  ASSERT_TRUE(sim_.WaitDone(10000));
  sim_.Continue();
  ExpectError(CardError::kStalled, false);
  sim_.memory().Hang(false);
  ExpectError(CardError::kStalled, false);  // the error stays until a reset
  sim_.Reset();
  ExpectWorks();
}

TEST_F(Faults, AResetAtAnyTimeLeavesNothingBehind) {
  for (const int cycles : {1, 20, 90, 200, 400, 900, 1700, 2600, 3900}) {
    sim_.Start(placed_.descriptor);
    for (int k = 0; k < cycles; ++k) sim_.Cycle();
    sim_.Reset();
    EXPECT_EQ(sim_.ReadRegister(kCardControlRegister), kCardControlIdle);
    ExpectWorks();
  }
}

}  // namespace
}  // namespace ese
