// SPDX-License-Identifier: Apache-2.0
// Compares the cycle formula with the verilated kernel.
#include "accel/card/cycle_formula.h"

#include <gtest/gtest.h>

#include "Vese_channel_small.h"
#include "accel/rtl/sim/channel_sim.h"
#include "model/testing.h"

namespace ese {
namespace {

constexpr CardShape kShape = {.pes = 8, .lanes = 16};

TEST(CycleFormula, AgreesWithTheKernelForTwentyModels) {
  for (uint32_t k = 0; k < 20; ++k) {
    const auto model = RandomModel(RandomCardModel(k));
    const auto card = PackForCard(*model, kShape);
    ASSERT_TRUE(card.ok()) << card.status();
    ChannelSim<Vese_channel_small> sim(kShape, {});
    const int lanes = 1 + static_cast<int>(k * 5) % kShape.lanes;
    const int frames = 1 + static_cast<int>(k) % 8;
    OwnedBatch batch = RandomBatch(*model, std::vector<int>(lanes, frames), k);
    const auto placed = sim.Place(*card, sim.Place(*card), batch.lanes);
    sim.Start(placed.descriptor);
    ASSERT_TRUE(sim.WaitDone(1000000));
    const auto cycles = static_cast<double>(sim.Status(placed).cycles);
    const auto formula = static_cast<double>(BatchCycles(*card, lanes, frames, kIdealMemory));
    EXPECT_NEAR(formula / cycles, 1, 0.01) << "model " << k << ": " << lanes << " lanes, " << frames
                                           << " frames, " << cycles << " cycles";
  }
}

TEST(CycleFormula, GrowsByTheSameNumberForEachFurtherFrame) {
  const auto model = RandomModel(RandomCardModel(1));
  const auto card = PackForCard(*model, kShape);
  ASSERT_TRUE(card.ok()) << card.status();
  const int64_t ten = BatchCycles(*card, 16, 10), twenty = BatchCycles(*card, 16, 20);
  EXPECT_EQ(BatchCycles(*card, 16, 30) - twenty, twenty - ten);
}

}  // namespace
}  // namespace ese
