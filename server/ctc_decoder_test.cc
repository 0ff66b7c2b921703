// SPDX-License-Identifier: Apache-2.0
#include "server/ctc_decoder.h"

#include <limits>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ese {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int kUnits = 4;
constexpr int kBlank = 3;

// Returns logits whose best path is `path`.
std::vector<int32_t> LogitsOf(const std::vector<int>& path) {
  std::vector<int32_t> logits(path.size() * kUnits, -100);
  for (size_t i = 0; i < path.size(); ++i) logits[i * kUnits + path[i]] = 100;
  return logits;
}

std::vector<DecodedUnit> Decode(const std::vector<int32_t>& logits) {
  std::vector<DecodedUnit> units;
  CtcDecoder(kUnits, kBlank).Accept(logits, &units);
  return units;
}

TEST(CtcDecoderTest, NoFramesGiveNothing) { EXPECT_THAT(Decode({}), IsEmpty()); }

TEST(CtcDecoderTest, BlanksAreDropped) { EXPECT_THAT(Decode(LogitsOf({3, 3, 3})), IsEmpty()); }

TEST(CtcDecoderTest, ARepeatIsOneUnitThatBeginsInItsFirstFrame) {
  EXPECT_THAT(Decode(LogitsOf({3, 1, 1, 1, 0})), ElementsAre(DecodedUnit{1, 1}, DecodedUnit{0, 4}));
}

TEST(CtcDecoderTest, EqualUnitsWithABlankBetweenThemAreTwoUnits) {
  EXPECT_THAT(Decode(LogitsOf({1, 3, 1})), ElementsAre(DecodedUnit{1, 0}, DecodedUnit{1, 2}));
}

TEST(CtcDecoderTest, TheLowestIndexOfEqualLogitsWins) {
  EXPECT_THAT(Decode({5, 9, 9, 9}), ElementsAre(DecodedUnit{1, 0}));
  EXPECT_THAT(Decode({0, 0, 0, 0}), ElementsAre(DecodedUnit{0, 0}));
}

TEST(CtcDecoderTest, ExtremeLogitsAreCompared) {
  constexpr int32_t kLow = std::numeric_limits<int32_t>::min();
  constexpr int32_t kHigh = std::numeric_limits<int32_t>::max();
  EXPECT_THAT(Decode({kLow, kLow, kHigh, kHigh - 1}), ElementsAre(DecodedUnit{2, 0}));
}

TEST(CtcDecoderTest, ChunkingDoesNotMatter) {
  std::mt19937 random(7);
  std::vector<int> path(500);
  for (int& unit : path) unit = static_cast<int>(random() % kUnits);
  const std::vector<int32_t> logits = LogitsOf(path);
  const std::vector<DecodedUnit> whole = Decode(logits);
  for (int round = 0; round < 20; ++round) {
    CtcDecoder decoder(kUnits, kBlank);
    std::vector<DecodedUnit> units;
    for (size_t frame = 0; frame < path.size();) {
      const size_t n = std::min<size_t>(random() % 9, path.size() - frame);
      decoder.Accept(absl::MakeConstSpan(logits).subspan(frame * kUnits, n * kUnits), &units);
      frame += n;
    }
    EXPECT_EQ(units, whole);
  }
}

}  // namespace
}  // namespace ese
