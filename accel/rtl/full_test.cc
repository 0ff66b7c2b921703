// SPDX-License-Identifier: Apache-2.0
// Runs a batch of the paper's LSTM on the full-size kernel, which has 32 PEs and 64 lanes.
#include <gtest/gtest.h>

#include "Vese_channel_full.h"
#include "accel/card/card_model.h"
#include "accel/card/cycle_formula.h"
#include "accel/rtl/sim/channel_sim.h"
#include "accel/rtl/sim/expect_results.h"
#include "model/testing.h"

namespace ese {
namespace {

TEST(FullSize, ThePapersLstmEqualsTheReference) {
  const auto model = RandomModel(PaperModelOptions());
  const auto card = PackForCard(*model, {});
  ASSERT_TRUE(card.ok()) << card.status();
  std::vector<int> frames(card->shape.lanes, 2);
  for (size_t lane = 0; lane < frames.size(); lane += 3) frames[lane] = 1;
  OwnedBatch batch = RandomBatch(*model, frames, 1), expected = RandomBatch(*model, frames, 1);
  ChannelSim<Vese_channel_full> sim(card->shape, {});
  const auto placed = sim.Place(*card, sim.Place(*card), batch.lanes);
  sim.Start(placed.descriptor);
  ASSERT_TRUE(sim.WaitDone(100000));
  const CardStatus status = sim.Fetch(*card, placed, &batch.lanes);
  EXPECT_EQ(status.error, 0u);
  EXPECT_EQ(status.checksum,
            ResultChecksum(*card, batch.lanes, sim.memory().At(placed.addresses.state_out),
                           sim.memory().At(placed.addresses.outputs)));
  RunReference(*model, &expected);
  ExpectSameResults(batch, expected);
  EXPECT_EQ(sim.memory().violations(), 0);

  const auto formula = static_cast<double>(BatchCycles(*card, card->shape.lanes, 2, kIdealMemory));
  EXPECT_NEAR(formula / static_cast<double>(status.cycles), 1, 0.01);
}

}  // namespace
}  // namespace ese
