// ese-bench-rtl: the paper's LSTM on the verilated kernel of full size, 32 PEs and 64 lanes, in
// clock cycles. A line of JSON each; nothing is printed unless every bit equals ReferenceStep.
//
// The paper's machine has no output layer; figures named lstm leave out the words of ours.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "Vese_channel_full.h"
#include "accel/rtl/card_model.h"
#include "accel/rtl/sim/channel_sim.h"
#include "model/testing.h"
#include "nlohmann/json.hpp"

namespace ese {
namespace {

constexpr double kMegahertz = 200;
constexpr double kPaperMicroseconds = 82.7;  // a step of 32 voices

void Print(const std::string& name, double value, const std::string& unit, double peer = 0) {
  nlohmann::ordered_json line = {
      {"name", name}, {"value", std::round(value * 1e4) / 1e4}, {"unit", unit}};
  if (peer > 0) {
    line["peer"] = "ese-paper";
    line["ratio"] = std::round(peer / value * 1000) / 1000;
  }
  std::printf("%s\n", line.dump().c_str());
  std::fflush(stdout);
}

// DDR4-2400, 64 bits wide: 19.2 GB/s, of which 90 % are had, is 1.35 beats of 64 bytes in a cycle
// of 200 MHz; a refresh of 350 ns every 7.8 us.
const AxiMemoryOptions kDdr4 = {.min_latency = 60,
                                .max_latency = 120,
                                .bandwidth = 1.35,
                                .refresh_interval = 1560,
                                .refresh_cycles = 70};

bool Equal(const OwnedBatch& a, const OwnedBatch& b) {
  for (size_t lane = 0; lane < a.lanes.size(); ++lane) {
    const StreamState &x = a.states_out[lane], &y = b.states_out[lane];
    if (!std::equal(x.c.begin(), x.c.end(), y.c.begin())) return false;
    if (!std::equal(x.y.begin(), x.y.end(), y.y.begin())) return false;
    if (a.logits[lane] != b.logits[lane]) return false;
  }
  return true;
}

// Figures of a batch of 64 lanes; false if a bit is wrong.
bool Measure(const Model& model, const CardModel& card, const std::string& memory_name,
             const AxiMemoryOptions& memory, int frames) {
  const std::vector<int> lengths(card.shape.lanes, frames);
  OwnedBatch batch = RandomBatch(model, lengths, 1), expected = RandomBatch(model, lengths, 1);
  ChannelSim<Vese_channel_full> sim(card.shape, memory);
  const auto placed = sim.Place(card, sim.Place(card), batch.lanes);
  const auto start = std::chrono::steady_clock::now();
  sim.Start(placed.descriptor);
  const bool done = sim.WaitDone(int64_t{frames + 1} * 40000);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  const BatchStatus status = sim.Fetch(card, placed, &batch.lanes);
  RunReference(model, &expected);
  if (!done || status.error != 0 || !Equal(batch, expected) || sim.memory().violations() != 0) {
    std::fprintf(stderr, "ese-bench-rtl: %s, %d frames: error %u, or bits that differ\n",
                 memory_name.c_str(), frames, status.error);
    return false;
  }

  const CardPass& output = card.passes.back();
  const double cycles = static_cast<double>(status.cycles) / frames;
  const double lstm_cycles = cycles - double{1} * output.rows * output.entries;
  const std::string suffix = "." + memory_name + "." + std::to_string(frames) + "frames";
  Print("rtl.cycles_per_step" + suffix, cycles, "cycles");
  Print("rtl.busy" + suffix, static_cast<double>(status.working) / status.cycles, "share");
  Print("rtl.us_at_200mhz" + suffix, cycles / kMegahertz, "us");
  Print("rtl.us_per_32_voices" + suffix, cycles / kMegahertz / 2, "us", kPaperMicroseconds);
  Print("rtl.lstm_cycles_per_step" + suffix, lstm_cycles, "cycles");
  Print("rtl.lstm_us_per_32_voices" + suffix, lstm_cycles / kMegahertz / 2, "us",
        kPaperMicroseconds);
  Print("rtl.simulated_cycles_per_second" + suffix, sim.cycle() / seconds.count(), "cycles/s");
  return true;
}

int Main() {
  const auto model = RandomModel(PaperModelOptions());
  const auto card = PackForCard(*model, {});
  if (!card.ok()) {
    std::fprintf(stderr, "ese-bench-rtl: %s\n", std::string(card.status().message()).c_str());
    return 1;
  }
  Print("rtl.words_per_step", static_cast<double>(card->entry_beats), "words");
  for (const int frames : {1, 10}) {
    if (!Measure(*model, *card, "ideal", {}, frames)) return 1;
    if (!Measure(*model, *card, "ddr4", kDdr4, frames)) return 1;
  }
  return 0;
}

}  // namespace
}  // namespace ese

int main() { return ese::Main(); }
