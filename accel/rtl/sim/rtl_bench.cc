// SPDX-License-Identifier: Apache-2.0
// ese-bench-rtl measures the paper's LSTM on the verilated full-size kernel (32 PEs and 64 lanes)
// in clock cycles. It prints each figure as a line of JSON, and only if every bit equals
// ReferenceStep. Names end in the memory and the frames of the batch: rtl.busy.ddr4.10frames.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "Vese_channel_full.h"
#include "Vese_channel_full___024root.h"
#include "Vese_channel_small.h"
#include "accel/card/card_model.h"
#include "accel/card/cycle_formula.h"
#include "accel/rtl/sim/channel_sim.h"
#include "accel/rtl/sim/stalls.h"
#include "model/testing.h"
#include "nlohmann/json.hpp"

namespace ese {
namespace {

constexpr double kPaperMicroseconds = 82.7;  // a step of 32 lanes

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

bool Equal(const OwnedBatch& a, const OwnedBatch& b) {
  for (size_t lane = 0; lane < a.lanes.size(); ++lane) {
    const StreamState &x = a.states_out[lane], &y = b.states_out[lane];
    if (!std::equal(x.c.begin(), x.c.end(), y.c.begin())) return false;
    if (!std::equal(x.y.begin(), x.y.end(), y.y.begin())) return false;
    if (a.logits[lane] != b.logits[lane]) return false;
  }
  return true;
}

struct Case {
  std::string memory_name;
  AxiMemoryOptions memory;
  CardMemoryTiming timing;
  int frames;
};

// Prints where the cycles of a step go: words of each kind of pass, stalls by cause, and the cycles
// that are spent once a batch, spread over its frames.
void PrintWaterfall(const CardModel& card, const CardStatus& status, const Case& c,
                    const std::string& suffix) {
  const auto print = [&](const std::string& what, double cycles) {
    Print("rtl.waterfall." + what + suffix, cycles, "cycles");
  };
  const char* kinds[] = {"gates", "projection", "output", "copy"};
  std::map<std::string, double> words;
  for (const CardPass& pass : card.passes) {
    words[kinds[static_cast<int>(pass.kind)]] += double{1} * pass.rows * pass.entries;
  }
  for (const auto& [kind, cycles] : words) print(kind, cycles);
  const StallCycles::Counts& counts = StallCycles::Of();
  auto started = static_cast<double>(counts.working + counts.other);
  for (size_t k = 0; k < kIssueStalls.size(); ++k) {
    const auto cycles = static_cast<double>(counts.stalled[k]);
    started += cycles;
    if (cycles > 0) print(std::string("stalls.") + kIssueStalls[k], cycles / c.frames);
  }
  print("other", static_cast<double>(counts.other) / c.frames);
  print("before_and_after", (static_cast<double>(status.cycles) - started) / c.frames);
}

// Prints the figures of a batch of 64 lanes. Returns false if a bit is wrong.
bool Measure(const Model& model, const CardModel& card, const std::string& prefix, const Case& c) {
  const std::vector<int> lengths(card.shape.lanes, c.frames);
  OwnedBatch batch = RandomBatch(model, lengths, 1), expected = RandomBatch(model, lengths, 1);
  StallCycles::Of() = {};
  ChannelSim<Vese_channel_full, StallCycles> sim(card.shape, c.memory);
  const auto placed = sim.Place(card, sim.Place(card), batch.lanes);
  const auto start = std::chrono::steady_clock::now();
  sim.Start(placed.descriptor);
  const bool done = sim.WaitDone(int64_t{c.frames + 1} * 40000);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  const CardStatus status = sim.Fetch(card, placed, &batch.lanes);
  RunReference(model, &expected);
  if (!done || status.error != 0 || !Equal(batch, expected) || sim.memory().violations() != 0) {
    std::fprintf(stderr, "ese-bench-rtl: %s, %d frames: error %u, or bits that differ\n",
                 c.memory_name.c_str(), c.frames, status.error);
    return false;
  }

  const auto batch_cycles = static_cast<double>(status.cycles);
  const double cycles = batch_cycles / c.frames;
  const double formula =
      static_cast<double>(BatchCycles(card, card.shape.lanes, c.frames, c.timing));
  const bool headline = prefix.empty() && c.memory_name == "ddr4" && c.frames == 10;
  const std::string suffix =
      headline ? "" : prefix + "." + c.memory_name + "." + std::to_string(c.frames) + "frames";
  Print("rtl.cycles_per_step" + suffix, cycles, "cycles");
  Print("rtl.busy" + suffix, static_cast<double>(status.working) / batch_cycles, "share");
  Print("rtl.us_at_200mhz" + suffix, cycles / kCardMegahertz, "us");
  Print("rtl.us_per_32_voices" + suffix, cycles / kCardMegahertz / 2, "us", kPaperMicroseconds);
  Print("rtl.formula_error_of_batch" + suffix, std::abs(formula / batch_cycles - 1), "share");
  PrintWaterfall(card, status, c, suffix);
  Print("rtl.simulated_cycles_per_second" + suffix,
        static_cast<double>(sim.cycle()) / seconds.count(), "cycles/s");
  return true;
}

// Returns the largest error of the formula over 20 random models; negative if a batch does not end.
double FormulaError() {
  const CardShape shape = {.pes = 8, .lanes = 16};
  double largest = 0;
  for (uint32_t seed = 0; seed < 20; ++seed) {
    const auto model = RandomModel(RandomCardModel(seed));
    const auto card = PackForCard(*model, shape);
    const int frames = 1 + static_cast<int>(seed) % 8;
    OwnedBatch batch = RandomBatch(*model, std::vector<int>(shape.lanes, frames), seed);
    ChannelSim<Vese_channel_small> sim(shape, {});
    const auto placed = sim.Place(*card, sim.Place(*card), batch.lanes);
    sim.Start(placed.descriptor);
    if (!sim.WaitDone(1000000)) return -1;
    const auto cycles = static_cast<double>(sim.Status(placed).cycles);
    const auto formula = static_cast<double>(BatchCycles(*card, shape.lanes, frames, kIdealMemory));
    largest = std::max(largest, std::abs(formula / cycles - 1));
  }
  return largest;
}

bool MeasureModel(const RandomModelOptions& options, const std::string& prefix) {
  const auto model = RandomModel(options);
  const auto card = PackForCard(*model, {});
  if (!card.ok()) {
    std::fprintf(stderr, "ese-bench-rtl: %s\n", std::string(card.status().message()).c_str());
    return false;
  }
  Print("rtl.words_per_step" + prefix, static_cast<double>(card->entry_beats), "words");
  for (const int frames : {1, 10}) {
    if (!Measure(*model, *card, prefix, {"ideal", {}, kIdealMemory, frames})) return false;
    if (!Measure(*model, *card, prefix, {"ddr4", kDdr4Memory, {}, frames})) return false;
  }
  return true;
}

int Main() {
  // The paper's LSTM has no output layer, but a model must have one. A single unit takes 16 of
  // 11,328 words.
  RandomModelOptions lstm = PaperModelOptions();
  lstm.units = 1;
  if (!MeasureModel(lstm, "")) return 1;
  if (!MeasureModel(PaperModelOptions(), ".with_output")) return 1;
  const double error = FormulaError();
  if (error < 0) return 1;
  Print("rtl.formula_error", error, "share");
  return 0;
}

}  // namespace
}  // namespace ese

int main() { return ese::Main(); }
