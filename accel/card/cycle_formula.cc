// SPDX-License-Identifier: Apache-2.0
#include "accel/card/cycle_formula.h"

#include <algorithm>
#include <vector>

namespace ese {
namespace {

// Latencies of ese_drain.sv and ese_cell.sv, in cycles.
constexpr int kArrival = 5;         // from the issue of a row's last word to the earliest drain
constexpr int kShortestDrain = 24;  // of a row
constexpr int kToY = 7;             // from a lane's start to its y
constexpr int kToM = 19;            // or to its m
constexpr int kCollected = 2;       // from the last lane's byte to the first column's write
constexpr int kCopied = 2;          // from the issue of a copy to its write
constexpr int kToLogit = 6;         // from a lane's start to its logit's word
constexpr int kToC = 21;            // or to its c's
constexpr int kEmpty = 29;          // from the last lane's start to an empty pipe
// For ese_batch.sv: cycles in its states from start to the first word and from the last result to
// done, without those of the tables, and round trips to the memory before the first word.
constexpr int kStates = 15;
constexpr int kRoundTrips = 3;
constexpr int kSteadyFrames = 3;  // after these, all frames but the last take equally long
constexpr int kBurst = 16;
constexpr int kWordsPerRow = sizeof(CardRow) / sizeof(uint16_t);

// The scheduled writes to a bank of activations, as runs of one column per cycle.
class Bank {
 public:
  void Write(int64_t cycle, int column, int columns) {
    runs_.push_back({cycle, column, columns});
    idle_ = std::max(idle_, cycle + columns);
  }
  // Returns the first cycle from `cycle` on that has no write.
  int64_t Free(int64_t cycle) const {
    if (cycle >= idle_) return cycle;
    for (const Run& run : runs_) {
      if (cycle >= run.cycle && cycle < run.cycle + run.columns) cycle = run.cycle + run.columns;
    }
    return cycle;
  }
  int64_t idle() const { return idle_; }
  // Returns the cycle after the write of the column, or 0 if the current pass does not write it.
  int64_t Written(int column) const {
    for (const Run& run : runs_) {
      if (column >= run.column && column < run.column + run.columns) {
        return run.cycle + (column - run.column) + 1;
      }
    }
    return 0;
  }
  void Forget() { runs_.clear(); }

 private:
  struct Run {
    int64_t cycle;
    int column, columns;
  };
  std::vector<Run> runs_;
  int64_t idle_ = 0;  // no write from this cycle on
};

// Follows the array word by word, from the first word on.
class Schedule {
 public:
  Schedule(const CardModel& model, int lanes)
      : model_(model), lanes_(lanes), drain_(std::max(lanes, kShortestDrain)) {
    const CardModelLayout layout(model.shape, model.passes.size(), size_t(model.rows),
                                 size_t(model.entry_beats));
    const uint8_t* entries = model.bytes.data() + layout.entries;
    for (const CardPass& pass : model.passes) {
      entries_.push_back(entries);
      if (pass.kind != PassKind::kCopy)
        entries += size_t(pass.rows) * pass.entries * model.shape.beat_bytes();
    }
  }

  // Runs one frame. The outputs of the frame before it run behind the first pass.
  void Frame(bool first, bool last) {
    // The array waits for the columns of x that are not loaded yet.
    now_ = std::max(now_ + 1, x_left_ > 0 ? now_ + x_left_ + kWaitX : 0);
    last_ = last;
    Pass(0);
    x_left_ = model_.inputs;
    if (!first) Outputs();
    for (size_t k = 1; k < model_.passes.size(); ++k) {
      if (model_.passes[k].kind != PassKind::kOutput) Pass(k);
    }
  }
  void Outputs() {
    for (size_t k = 1; k < model_.passes.size(); ++k) {
      if (model_.passes[k].kind == PassKind::kOutput) Pass(k);
    }
  }
  int64_t now() const { return now_; }
  // When everything that was begun has ended.
  int64_t idle() const { return std::max({empty_, v_.idle(), m_.idle(), written_}); }

 private:
  static constexpr int kWaitX = 3;

  void Pass(size_t k) {
    const CardPass& pass = model_.passes[k];
    if (pass.kind == PassKind::kCopy) {
      Copy(pass);
    } else {
      Rows(pass, entries_[k]);
    }
  }

  void Copy(const CardPass& pass) {
    now_ = std::max(now_, v_.idle());
    v_.Forget();
    if (last_) {
      now_ = std::max({now_, empty_, m_.idle()});
      WriteOut(now_ + kCopied + 1, pass.entries);
    }
    for (int column = 0; column < pass.entries; ++column) {
      const int64_t before = now_;
      now_ = std::max(m_.Free(now_), m_.Written(column));
      v_.Write(now_ + kCopied, pass.target + column, 1);
      LoadX(before, ++now_);
    }
  }

  // Sends a stretch of words to memory from this cycle on.
  void WriteOut(int64_t cycle, int words) {
    written_ = std::max(written_, cycle) + words + (words + kBurst - 1) / kBurst + 1;
  }

  void Rows(const CardPass& pass, const uint8_t* entries) {
    const bool reads_m = pass.kind == PassKind::kProjection;
    Bank& source = reads_m ? m_ : v_;
    Bank* target = pass.kind == PassKind::kGates ? &m_ : reads_m ? &v_ : nullptr;
    if (target) {
      now_ = std::max(now_, target->idle());
      target->Forget();
    }
    std::vector<int> columns(model_.shape.pes);
    for (int row = 0; row < pass.rows; ++row) {
      std::fill(columns.begin(), columns.end(), pass.source - 1);
      for (int k = 0; k < pass.entries; ++k) {
        const int64_t before = now_;
        if (now_ < source.idle()) Wait(source, entries, &columns);
        entries += model_.shape.beat_bytes();
        if (k == pass.entries - 1) now_ = std::max(source.Free(now_), drained_);
        ++now_;
        if (reads_m) LoadX(before, now_);
      }
      Drain(pass, row, now_ - 1, target);
    }
  }

  // Loads columns of the next x in cycles whose words read M, unless V is written.
  void LoadX(int64_t begin, int64_t end) {
    for (; x_left_ > 0 && begin < end; ++begin) x_left_ -= v_.Free(begin) == begin ? 1 : 0;
  }

  // Waits until the columns that a word reads are written and the bank is free.
  void Wait(const Bank& source, const uint8_t* entries, std::vector<int>* columns) {
    for (size_t pe = 0; pe < columns->size(); ++pe) {
      const auto entry = LoadFromCard<uint16_t>(entries + pe * sizeof(uint16_t));
      (*columns)[pe] += EntryGap(entry) + 1;
      now_ = std::max(now_, source.Written((*columns)[pe]));
    }
    now_ = source.Free(now_);
  }

  // The drain of a row whose last word is issued at `issued`, and the columns that it writes.
  void Drain(const CardPass& pass, int row, int64_t issued, Bank* target) {
    const bool projection = pass.kind == PassKind::kProjection;
    const bool collects = projection || (pass.kind == PassKind::kGates && row % kCardGates == 3);
    int64_t run = issued + kArrival;
    const bool logits = pass.kind == PassKind::kOutput;
    if (collects) run = std::max(run, collector_);
    if (logits) run = std::max(run, y_sent_);
    drained_ = run + drain_ + 1;
    empty_ = run + lanes_ + kEmpty;
    if (logits) WriteOut(run + kToLogit, 2 * lanes_);
    if (last_ && pass.kind == PassKind::kGates && row % kCardGates == 2)
      WriteOut(run + kToC, lanes_);
    if (!collects) return;
    const int group = projection ? row : row / kCardGates;
    const int first = group * model_.shape.pes;
    const int columns = std::min(pass.count - first, model_.shape.pes);
    const int64_t collected = run + lanes_ + (projection ? kToY : kToM);
    collector_ = collected + columns + 1;
    target->Write(collected + kCollected, pass.target + first, columns);
    if (last_ && projection) {
      y_sent_ = collector_;
      WriteOut(collected + kCollected, columns);
    }
  }

  const CardModel& model_;
  const int lanes_, drain_;
  std::vector<const uint8_t*> entries_;  // of each pass
  Bank v_, m_;
  int64_t now_ = 0;        // the next word's earliest cycle
  int64_t drained_ = 0;    // the next row's
  int64_t collector_ = 0;  // the next collected row's
  int64_t y_sent_ = 0;     // the next logits'
  int64_t empty_ = 0;      // no lane is in the pipe from then on
  int64_t written_ = 0;    // all words so far have gone to memory
  bool last_ = false;      // frame: y and c go to memory
  int x_left_ = 0;         // columns of the next x that are not loaded
};

}  // namespace

int64_t BatchCycles(const CardModel& model, int lanes, int frames, const CardMemoryTiming& memory) {
  Schedule schedule(model, lanes);
  const int simulated = std::min(frames - 1, kSteadyFrames);
  double steady_step = 0;
  for (int frame = 0; frame < simulated; ++frame) {
    const int64_t before = schedule.now();
    schedule.Frame(frame == 0, false);
    steady_step = static_cast<double>(schedule.now() - before);
  }
  schedule.Frame(frames == 1, true);
  schedule.Outputs();
  const double by_array =
      static_cast<double>(schedule.idle()) + (frames - 1 - simulated) * steady_step;

  // Beats that share the memory. c comes in beside the words of the first frame's gates, and goes
  // out beside those of the last.
  const double rate = memory.beats_per_cycle;
  const double step_beats = static_cast<double>(model.entry_beats) + model.inputs +
                            static_cast<double>(model.output_bytes(1)) / model.shape.beat_bytes();
  double gates = 0;
  for (const CardPass& pass : model.passes) {
    if (pass.kind == PassKind::kGates) gates += double(pass.rows) * pass.entries;
  }
  const auto beside_gates = [&](double beats) {
    return std::max((gates + beats) / rate - std::max(gates, gates / rate), 0.0);
  };
  const double c_in = double(model.cells) * model.shape.lanes, c_out = double(model.cells) * lanes;
  const double c =
      frames == 1 ? beside_gates(c_in + c_out) : beside_gates(c_in) + beside_gates(c_out);

  // y and x are loaded beside the tables.
  const double record_beats = double{kCardRecordBytes} / model.shape.beat_bytes();
  const double tables =
      static_cast<double>(model.passes.size()) * record_beats + double{kWordsPerRow} * model.rows;
  const double activations = double(model.y_columns) + model.inputs;
  const double loads = std::max({tables, activations, (tables + activations) / rate});
  const double once = 3 * record_beats + loads + kStates + kRoundTrips * memory.latency;
  return static_cast<int64_t>(once + c + std::max(by_array, step_beats * frames / rate));
}

}  // namespace ese
