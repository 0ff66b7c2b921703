// SPDX-License-Identifier: Apache-2.0
// For tests: the bytes of a model and a batch as the host writes them to a card's memory.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "accel/card/card_model.h"
#include "accel/random_batch.h"

namespace ese::emu {

// The bytes at address `base`, which is a multiple of kCardAlignment: the descriptor, the model,
// the inputs, the states, and room for the results.
class BatchImage {
 public:
  BatchImage(const Model& model, const std::vector<int>& frames, uint32_t seed, uint64_t base)
      : model_(model),
        batch_(RandomBatch(model, frames, seed)),
        expected_(RandomBatch(model, frames, seed)),
        base_(base) {
    card_ = PackForCard(model, CardShape{}).value();
    const int longest = *std::max_element(frames.begin(), frames.end());
    Append(std::vector<uint8_t>(card_.shape.descriptor_bytes()));
    at_.model = Append(card_.bytes);
    at_.inputs = Append(PackInputs(card_, batch_.lanes));
    at_.state_in = Append(PackStates(card_, batch_.lanes));
    at_.state_out = Append(std::vector<uint8_t>(card_.state_bytes()));
    at_.outputs = Append(std::vector<uint8_t>(card_.output_bytes(longest)));
    at_.status = Append(std::vector<uint8_t>(sizeof(CardStatus)));
    const auto descriptor = PackDescriptor(card_, batch_.lanes, at_);
    std::copy(descriptor.begin(), descriptor.end(), bytes_.begin());
  }

  const CardModel& card() const { return card_; }
  const BatchAddresses& at() const { return at_; }
  uint64_t descriptor() const { return base_; }
  std::vector<uint8_t>& bytes() { return bytes_; }

  CardStatus Status(const uint8_t* memory) const {
    return LoadFromCard<CardStatus>(memory + (at_.status - base_));
  }

  // `memory` points to the bytes at `base` after the batch.
  void ExpectReference(const uint8_t* memory) {
    ASSERT_EQ(Status(memory).error, 0u);
    UnpackStates(card_, memory + (at_.state_out - base_), &batch_.lanes);
    UnpackLogits(card_, memory + (at_.outputs - base_), &batch_.lanes);
    RunReference(model_, &expected_);
    for (size_t lane = 0; lane < batch_.lanes.size(); ++lane) {
      const StreamState &a = batch_.states_out[lane], &b = expected_.states_out[lane];
      EXPECT_TRUE(std::equal(a.c.begin(), a.c.end(), b.c.begin(), b.c.end())) << "lane " << lane;
      EXPECT_TRUE(std::equal(a.y.begin(), a.y.end(), b.y.begin(), b.y.end())) << "lane " << lane;
      EXPECT_EQ(batch_.logits[lane], expected_.logits[lane]) << "lane " << lane;
    }
  }
  uint64_t Checksum(const uint8_t* memory) const {
    return ResultChecksum(card_, batch_.lanes, memory + (at_.state_out - base_),
                          memory + (at_.outputs - base_));
  }

 private:
  uint64_t Append(const std::vector<uint8_t>& part) {
    const size_t offset = bytes_.size();
    bytes_.insert(bytes_.end(), part.begin(), part.end());
    bytes_.resize((bytes_.size() + kCardAlignment - 1) / kCardAlignment * kCardAlignment);
    return base_ + offset;
  }

  const Model& model_;
  OwnedBatch batch_, expected_;
  const uint64_t base_;
  CardModel card_;
  BatchAddresses at_;
  std::vector<uint8_t> bytes_;
};

}  // namespace ese::emu
