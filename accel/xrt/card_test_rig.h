// SPDX-License-Identifier: Apache-2.0
// For tests that run channels through the real XRT library on emulated cards.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "accel/emu/xclbin_writer.h"
#include "accel/random_batch.h"
#include "accel/xrt/xrt_cards.h"
#include "base/eventually.h"
#include "base/test_paths.h"
#include "metrics/registry.h"
#include "model/testing.h"

namespace ese {

// A batch in flight in a channel. Its buffers must not move.
struct Pending {
  OwnedBatch batch;
  std::future<absl::Status> done;
};

// A fixture with emulated cards and faults. Each card has `unit_count` units of two slots.
template <int card_count, int unit_count>
class CardTestOf : public testing::Test {
 protected:
  static constexpr int kCards = card_count;
  static constexpr int kUnits = unit_count;
  static constexpr int kSlots = 2;

  // XRT loads its shim once per process, so all suites share one.
  static void SetUpTestSuite() {
    const std::string folder = testing::TempDir() + "/cards_" + std::to_string(getpid());
    std::filesystem::create_directories(folder);
    setenv("XILINX_XRT", (BinaryDir() + "/emu").c_str(), 1);
    setenv("ESE_EMU_CARDS", std::to_string(kCards).c_str(), 1);
    setenv("ESE_EMU_MEMORY_MIB", "4", 1);
    faults_ = folder + "/faults";
    setenv("ESE_EMU_FAULT_FILE", faults_.c_str(), 1);
    xclbin_ = folder + "/ese_channel.xclbin";
    ASSERT_TRUE(emu::WriteXclbin({.compute_units = kUnits}, xclbin_).ok());
  }
  static void TearDownTestSuite() {
    std::filesystem::remove_all(std::filesystem::path(faults_).parent_path());
  }
  void TearDown() override { Inject(""); }

  // Replaces all faults with these.
  static void Inject(const std::string& faults) {
    std::ofstream(faults_ + ".new") << faults << "\n";
    std::filesystem::rename(faults_ + ".new", faults_);
  }

  // Makes channels on all cards, which stay open until the end of the test.
  std::vector<std::unique_ptr<Channel>> Create(const std::shared_ptr<const Model>& model,
                                               XrtOptions options = {}) {
    options.xclbin = xclbin_;
    auto cards = XrtCards::Open(options, &metrics_);
    EXPECT_TRUE(cards.ok()) << cards.status();
    if (!cards.ok()) return {};
    cards_ = *std::move(cards);
    auto channels = cards_->MakeChannels(model);
    EXPECT_TRUE(channels.ok()) << channels.status();
    return channels.ok() ? *std::move(channels) : std::vector<std::unique_ptr<Channel>>{};
  }

  // Returns the value of one card's metric, such as ese_card_faults_total with the label
  // kind="gone", or -1 if it is not shown.
  double Metric(const std::string& name, int card, const std::string& label = "") const {
    const std::string text = metrics_.Render();
    const std::string of_card = "card=\"" + std::to_string(card) + "\"";
    for (size_t at = 0; (at = text.find("\n" + name + "{", at)) != std::string::npos; ++at) {
      const std::string line = text.substr(at + 1, text.find('\n', at + 1) - at - 1);
      if (line.find(of_card) == std::string::npos || line.find(label) == std::string::npos)
        continue;
      return std::stod(line.substr(line.rfind(' ')));
    }
    return -1;
  }
  double Faults(int card, const std::string& kind) const {
    return Metric("ese_card_faults_total", card, "kind=\"" + kind + "\"");
  }

  MetricsRegistry metrics_;
  std::unique_ptr<XrtCards> cards_;

  static inline std::string xclbin_;
  static inline std::string faults_;
};

using CardTest = CardTestOf<2, 3>;

// Starts a batch. If the channel refuses it, returns null and sets *refusal to the reason.
inline std::unique_ptr<Pending> TryStart(Channel* channel, const Model& model,
                                         const std::vector<int>& frames, uint32_t seed,
                                         absl::Status* refusal) {
  auto pending = std::make_unique<Pending>();
  pending->batch = RandomBatch(model, frames, seed);
  auto batch = std::make_unique<Batch>();
  batch->lanes = pending->batch.lanes;
  auto promise = std::make_shared<std::promise<absl::Status>>();
  pending->done = promise->get_future();
  *refusal = channel->Submit(&batch, [promise](std::unique_ptr<Batch>, absl::Status status) {
    promise->set_value(std::move(status));
  });
  return refusal->ok() ? std::move(pending) : nullptr;
}

inline std::unique_ptr<Pending> Start(Channel* channel, const Model& model,
                                      const std::vector<int>& frames, uint32_t seed) {
  absl::Status refusal;
  auto pending = TryStart(channel, model, frames, seed, &refusal);
  EXPECT_TRUE(refusal.ok()) << refusal;
  return pending;
}

// REQUIRES: the batch ended with OK.
inline void ExpectReferencesBits(const Model& model, const OwnedBatch& batch,
                                 const std::vector<int>& frames, uint32_t seed) {
  OwnedBatch expected = RandomBatch(model, frames, seed);
  RunReference(model, &expected);
  for (size_t lane = 0; lane < frames.size(); ++lane) {
    const StreamState &a = batch.states_out[lane], &b = expected.states_out[lane];
    EXPECT_TRUE(std::equal(a.c.begin(), a.c.end(), b.c.begin(), b.c.end())) << "c, lane " << lane;
    EXPECT_TRUE(std::equal(a.y.begin(), a.y.end(), b.y.begin(), b.y.end())) << "y, lane " << lane;
    EXPECT_EQ(batch.logits[lane], expected.logits[lane]) << "logits, lane " << lane;
  }
}

// Runs a batch and returns the status with which the channel refused or completed it. If that is
// OK, expects the bits of the reference.
inline absl::Status Try(Channel* channel, const Model& model) {
  const std::vector<int> frames = {2, 1};
  constexpr uint32_t kSeed = 2;
  absl::Status status;
  const auto pending = TryStart(channel, model, frames, kSeed, &status);
  if (pending == nullptr) return status;
  status = pending->done.get();
  if (status.ok()) ExpectReferencesBits(model, pending->batch, frames, kSeed);
  return status;
}

}  // namespace ese
