#include "accel/rtl/cycle_formula.h"

#include <algorithm>

namespace ese {
namespace {

constexpr int kDrainOverhead = 6;   // cycles from a row's last word until its drain begins
constexpr int kShortestDrain = 24;  // see ese_drain.sv

// A row's words, or the drain of the row before it if that takes longer.
int64_t PassCycles(const CardPass& pass, int lanes) {
  if (pass.kind == PassKind::kCopy) return pass.entries;
  const int words = pass.kind == PassKind::kOutput ? 2 * lanes : lanes;
  const int drain = std::max(words, kShortestDrain) + kDrainOverhead;
  return int64_t{pass.rows} * std::max(pass.entries, drain);
}

}  // namespace

int64_t BatchCycles(const CardModel& model, int lanes, int frames, const CardMemoryTiming& memory) {
  double step = 0;
  for (const CardPass& pass : model.passes) step += static_cast<double>(PassCycles(pass, lanes));
  step = std::max(step,
                  static_cast<double>(model.entry_beats + model.inputs) / memory.beats_per_cycle);
  const double tables = static_cast<double>(model.passes.size()) + 4.0 * model.rows;
  const double once = tables + 2.0 * model.y_columns + model.inputs + 5 * memory.latency;
  return static_cast<int64_t>(once + step * frames);
}

}  // namespace ese
