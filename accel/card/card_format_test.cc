// SPDX-License-Identifier: Apache-2.0
#include "accel/card/card_format.h"

#include <vector>

#include "gtest/gtest.h"

namespace ese {
namespace {

template <typename T>
std::vector<uint8_t> Bytes(const T& value, size_t first, size_t size) {
  std::vector<uint8_t> bytes(sizeof(value));
  StoreToCard(value, bytes.data());
  return {bytes.begin() + static_cast<ptrdiff_t>(first),
          bytes.begin() + static_cast<ptrdiff_t>(first + size)};
}

TEST(CardFormat, AHeaderBeginsWithMagicVersionAndPes) {
  CardHeader header;
  header.pes = 32;
  EXPECT_EQ(Bytes(header, 0, 8), (std::vector<uint8_t>{'E', 'S', 'E', 'C', 2, 0, 32, 0}));
}

TEST(CardFormat, PassFlagsHoldEveryKindAndShift) {
  for (const PassKind kind :
       {PassKind::kGates, PassKind::kProjection, PassKind::kOutput, PassKind::kCopy}) {
    for (const bool g_sigmoid : {false, true}) {
      for (int shift = 0; shift < 1 << kCardPassShiftBits; ++shift) {
        CardPassRecord pass;
        pass.SetFlags(kind, g_sigmoid, shift);
        EXPECT_EQ(pass.kind(), kind);
        EXPECT_EQ(pass.g_sigmoid(), g_sigmoid);
        EXPECT_EQ(pass.shift(), shift);
      }
    }
  }
}

TEST(CardFormat, PassRecordIsLaidOutAsDocumented) {
  CardPassRecord pass;
  pass.SetFlags(PassKind::kProjection, /*g_sigmoid=*/false, 12);
  pass.entries = 0x0102;
  pass.rows = 0x0304;
  pass.count = 0x0506;
  pass.source = 0x0708;
  pass.target = 0x090A;
  pass.first_row = 0x0B0C;
  EXPECT_EQ(Bytes(pass, 0, 16),
            (std::vector<uint8_t>{0x61, 0, 2, 1, 4, 3, 6, 5, 8, 7, 0xA, 9, 0xC, 0xB, 0, 0}));
}

TEST(CardFormat, PartsOfAModelAreConsecutive) {
  const CardModelLayout layout(CardShape{.pes = 8, .lanes = 16}, 3, 5, 7);
  EXPECT_EQ(layout.passes, 64u);
  EXPECT_EQ(layout.rows, 64u + 3 * 64);
  EXPECT_EQ(layout.entries, layout.rows + 5 * 8 * 8);
  EXPECT_EQ(layout.end, layout.entries + 7 * 16);
}

TEST(CardFormat, ADescriptorEndsWithTheFramesOfEachLane) {
  EXPECT_EQ(LaneFramesOffset(0), 64u);
  EXPECT_EQ(LaneFramesOffset(63), 64u + 126);
  EXPECT_EQ(CardShape{}.descriptor_bytes(), LaneFramesOffset(64));
}

TEST(CardFormat, SomeErrorsLeaveNoStatusRecord) {
  for (const CardError error : {CardError::kBadBatch, CardError::kReadFailed,
                                CardError::kWriteFailed, CardError::kStalled}) {
    EXPECT_FALSE(LeavesStatus(error));
  }
  for (const CardError error : {CardError::kNone, CardError::kBadModel, CardError::kOtherShape,
                                CardError::kTooLarge, CardError::kBadPass}) {
    EXPECT_TRUE(LeavesStatus(error));
  }
}

}  // namespace
}  // namespace ese
