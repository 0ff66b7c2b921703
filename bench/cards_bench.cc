// SPDX-License-Identifier: Apache-2.0
// ese-bench-cards EMULATED_XRT runs the paper's LSTM on 1, 2, 4 and 8 emulated cards of four
// compute units each, and prints each figure as a line of JSON. The cards are paced by the kernel's
// cycle formula at 200 MHz and by PCIe. Every channel always has a batch of 64 lanes and 16 frames.
// The cards recall results (ESE_EMU_MEMO), because these processors cannot compute as fast as
// cards. The logits of each channel's last batch are compared with the reference's.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "accel/card/card_model.h"
#include "accel/card/cycle_formula.h"
#include "accel/random_batch.h"
#include "accel/xrt/xrt_cards.h"
#include "bench/card_power.h"
#include "bench/figures.h"
#include "bench/interleaved.h"
#include "bench/process_use.h"
#include "model/testing.h"
#include "spdlog/spdlog.h"

namespace ese {
namespace {

constexpr int kCards[] = {1, 2, 4, 8};
constexpr int kMostCards = 8;
constexpr int kLanes = 64;
constexpr int kFrames = 16;  // the scheduler gives a lane at most this many
constexpr int kDifferentBatches = 4;
constexpr const char* kPcieGigabytes = "12";  // each way: what PCIe 3.0 x16 gives after overheads
constexpr int kRounds = 7;
constexpr auto kWarmUp = std::chrono::milliseconds(200);
constexpr auto kMeasured = std::chrono::milliseconds(800);
constexpr double kPaperMicrojoules = 106;  // 41 W for 82.7 us, 32 voices

using Channels = std::vector<std::unique_ptr<Channel>>;

// Keeps a channel busy by submitting one batch again and again.
class Loop {
 public:
  Loop(const Model& model, int lanes, int frames, int seed)
      : batch_(RandomBatch(model, std::vector<int>(lanes, frames), uint32_t(seed))) {}

  void Start(Channel* channel) {
    channel_ = channel;
    auto batch = std::make_unique<Batch>();
    batch->lanes = batch_.lanes;
    Submit(std::move(batch));
  }
  // Submits no more batches, and waits for the one in flight.
  void Stop() {
    stopping_ = true;
    while (!stopped_) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

  int64_t batches() const { return batches_; }
  int64_t failures() const { return failures_; }
  const OwnedBatch& batch() const { return batch_; }

 private:
  void Submit(std::unique_ptr<Batch> batch) {
    const absl::Status status =
        channel_->Submit(&batch, [this](std::unique_ptr<Batch> done, const absl::Status& result) {
          ++(result.ok() ? batches_ : failures_);
          if (stopping_ || !result.ok()) {
            stopped_ = true;
          } else {
            Submit(std::move(done));
          }
        });
    if (status.ok()) return;
    ++failures_;
    stopped_ = true;
  }

  OwnedBatch batch_;
  Channel* channel_ = nullptr;
  std::atomic<int64_t> batches_ = 0, failures_ = 0;
  std::atomic<bool> stopping_ = false, stopped_ = false;
};

// What happened while all channels of some cards were busy.
struct Window {
  double seconds = 0;
  int64_t frames = 0;
  ProcessUse use;
  double watts = 0;  // all those cards together

  double frames_per_s() const { return static_cast<double>(frames) / seconds; }
};

template <typename Value>
double Median(const std::vector<Window>& windows, Value&& value) {
  std::vector<double> values;
  for (const Window& window : windows) values.push_back(value(window));
  return Quantile(values, 0.5);
}

class Bench {
 public:
  Bench() : model_(RandomModel(PaperModelOptions())), card_(PackForCard(*model_, {}).value()) {
    for (int seed = 0; seed < kDifferentBatches; ++seed) {
      expected_.push_back(RandomBatch(*model_, std::vector<int>(kLanes, kFrames), uint32_t(seed)));
      RunReference(*model_, &expected_.back());
    }
  }

  bool Open(const std::string& xclbin) {
    auto cards = XrtCards::Open({.xclbin = xclbin}, nullptr);
    auto channels = cards.ok() ? (*cards)->MakeChannels(model_) : cards.status();
    if (!channels.ok()) {
      std::fprintf(stderr, "ese-bench-cards: %s\n",
                   std::string(channels.status().message()).c_str());
      return false;
    }
    cards_ = *std::move(cards);
    channels_ = *std::move(channels);
    return true;
  }

  // The numbers of cards take turns, because other programs come and go. Returns false if a batch
  // failed or a bit was wrong.
  bool MeasureCards() {
    std::map<int, std::vector<Window>> windows;
    for (int round = -1; round < kRounds; ++round) {
      for (const int cards : kCards) {
        Window window;
        if (!Measure(cards, &window)) return false;
        // In the first round batches are computed rather than recalled, so it does not count.
        if (round >= 0) windows[cards].push_back(window);
      }
    }
    const double one_card = Median(windows[1], [](auto& w) { return w.frames_per_s(); });
    for (const int cards : kCards) Print(cards, windows[cards], one_card);
    return true;
  }

  // Prints by how much the process grows while it runs the last nine tenths of so many small
  // batches.
  bool MeasureMemory(int64_t batches) {
    double growth = 0;
    const bool right = RunOn(1, 1, 1, [&](const auto& frames_so_far) {
      const auto resident_after = [&](int64_t frames) {
        while (frames_so_far() < frames) std::this_thread::sleep_for(std::chrono::milliseconds(10));
        return ResidentKilobytes();
      };
      const double begin = resident_after(batches / 10);
      growth = resident_after(batches) - begin;
    });
    PrintFigure("cards.memory_growth_kb", growth, "KiB");
    return right;
  }

 private:
  bool Measure(int cards, Window* window) {
    const auto watts = [&] {
      double sum = 0;
      for (int card = 0; card < cards; ++card) sum += CardWatts(card);
      return sum;
    };
    return RunOn(cards, kLanes, kFrames, [&](const auto& frames_so_far) {
      std::this_thread::sleep_for(kWarmUp);
      watts();
      window->frames = -frames_so_far();
      const ProcessUse before = ProcessUse::Now();
      const auto start = std::chrono::steady_clock::now();
      std::this_thread::sleep_for(kMeasured);
      window->seconds =
          std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      window->frames += frames_so_far();
      window->use = ProcessUse::Now() - before;
      window->watts = watts();
    });
  }

  // Calls measure(frames_so_far) while all channels of the first `cards` cards are busy with
  // batches of this size.
  template <typename MeasureBusy>
  bool RunOn(int cards, int lanes, int frames, MeasureBusy&& measure) {
    const size_t used = channels_.size() * cards / kMostCards;
    std::vector<std::unique_ptr<Loop>> loops;
    for (size_t k = 0; k < used; ++k) {
      loops.push_back(
          std::make_unique<Loop>(*model_, lanes, frames, static_cast<int>(k) % kDifferentBatches));
    }
    for (size_t k = 0; k < used; ++k) loops[k]->Start(channels_[k].get());
    measure([&] {
      int64_t batches = 0;
      for (const auto& loop : loops) batches += loop->batches();
      return batches * lanes * frames;
    });
    bool right = true;
    for (size_t k = 0; k < used; ++k) {
      loops[k]->Stop();
      const OwnedBatch& expected = expected_[k % kDifferentBatches];
      const bool compared = lanes == kLanes && frames == kFrames;
      if (loops[k]->failures() > 0 || (compared && loops[k]->batch().logits != expected.logits)) {
        std::fprintf(stderr, "ese-bench-cards: a batch failed, or bits differ, on %s\n",
                     channels_[k]->name().c_str());
        right = false;
      }
    }
    return right;
  }

  void Print(int cards, const std::vector<Window>& windows, double one_card) {
    const auto median = [&](auto value) { return Median(windows, value); };
    const double frames_per_s = median([](auto& w) { return w.frames_per_s(); });
    const double batch_seconds =
        static_cast<double>(BatchCycles(card_, kLanes, kFrames)) / (kCardMegahertz * 1e6);
    const int units =
        static_cast<int>(channels_.size()) / XrtOptions{}.batches_in_flight * cards / kMostCards;
    std::fprintf(stderr,
                 "%d cards, %2d units: %10.0f frames/s; processors in use %.2f, %.2f of them for "
                 "emulation; %.0f W (model)\n",
                 cards, units, frames_per_s,
                 median([](auto& w) { return w.use.seconds / w.seconds; }),
                 median([](auto& w) { return w.use.emulation_seconds / w.seconds; }),
                 median([](auto& w) { return w.watts; }));
    const std::string suffix = absl::StrCat(".", cards);
    PrintFigure("cards.frames_per_s" + suffix, frames_per_s, "frames/s");
    PrintFigure("cards.efficiency" + suffix, frames_per_s / (one_card * cards), "share");
    PrintFigure("cards.busy" + suffix, frames_per_s / (kLanes * kFrames) * batch_seconds / units,
                "share");
    if (cards != 1) return;
    PrintFigure("cards.host_us_per_frame", median([](auto& w) {
                  return 1e6 * (w.use.seconds - w.use.emulation_seconds) /
                         static_cast<double>(w.frames);
                }),
                "us");
    PrintBeside("cards.joules_per_frame",
                1e6 * median([](auto& w) { return w.watts / w.frames_per_s(); }), "uJ", "ese-paper",
                kPaperMicrojoules, "model");
  }

  const std::shared_ptr<const Model> model_;
  const CardModel card_;
  std::vector<OwnedBatch> expected_;
  std::unique_ptr<XrtCards> cards_;
  Channels channels_;  // the channels of all cards, card by card
};

int Main(const std::string& emulated_xrt) {
  const auto set = [](const char* name, const std::string& value) {
    setenv(name, value.c_str(), /*overwrite=*/1);
  };
  set("XILINX_XRT", emulated_xrt);
  set("ESE_EMU_CARDS", std::to_string(kMostCards));
  set("ESE_EMU_CLOCK_MHZ", absl::StrCat(kCardMegahertz));
  set("ESE_EMU_PCIE_GBPS", kPcieGigabytes);
  set("ESE_EMU_MEMO", "64");
  spdlog::set_level(spdlog::level::warn);
  Bench bench;
  if (!bench.Open(emulated_xrt + "/ese_channel.xclbin") || !bench.MeasureCards()) return 1;
  // A unit gets this many in an hour if it gets one every 10 ms.
  return bench.MeasureMemory(360'000) ? 0 : 1;
}

}  // namespace
}  // namespace ese

int main(int argc, char** argv) {
  if (argc == 2) return ese::Main(argv[1]);
  std::fputs("usage: ese-bench-cards EMULATED_XRT\n", stderr);
  return 2;
}
