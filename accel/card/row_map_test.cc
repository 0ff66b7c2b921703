// SPDX-License-Identifier: Apache-2.0
#include "accel/card/row_map.h"

#include <set>
#include <utility>

#include "gtest/gtest.h"

namespace ese {
namespace {

// Expects that every matrix row and piece is on exactly one PE, which is where Find says that it
// is.
void ExpectInverse(const RowMap& map, int pes, int first_row, int pieces) {
  std::set<std::pair<int, int>> seen;
  for (int row = 0; row < map.pe_rows(); ++row) {
    for (int pe = 0; pe < pes; ++pe) {
      const MatrixRow at = map.At({pe, row});
      if (at.row < 0) continue;
      ASSERT_TRUE(seen.insert({at.row, at.piece}).second) << at.row << " piece " << at.piece;
      const PeRow back = map.Find(at);
      ASSERT_EQ(back.pe, pe);
      ASSERT_EQ(back.row, row);
    }
  }
  ASSERT_EQ(seen.size(), size_t(map.matrix_rows()) * pieces);
  ASSERT_EQ(seen.begin()->first, first_row);
  ASSERT_EQ(seen.rbegin()->first, first_row + map.matrix_rows() - 1);
}

TEST(RowMap, FindIsTheInverseOfAt) {
  for (const int pes : {8, 32}) {
    for (int count = 1; count <= 2 * pes + 1; ++count) {
      SCOPED_TRACE(testing::Message() << count << " on " << pes << " PEs");
      for (const PassKind kind : {PassKind::kGates, PassKind::kProjection, PassKind::kOutput}) {
        ExpectInverse(RowMap(kind, count, pes), pes, 0, 1);
      }
      const int pieces = pes / count;
      if (pieces < 2) continue;
      ExpectInverse(RowMap(PassKind::kOutput, count, pes, 64, pieces), pes, 64, pieces);
    }
  }
}

TEST(RowMap, GateRowsOfACellAreConsecutiveOnOnePe) {
  const RowMap map(PassKind::kGates, 11, 8);
  EXPECT_EQ(map.pe_rows(), 8);
  for (int gate = 0; gate < kCardGates; ++gate) {
    EXPECT_EQ(map.At({2, kCardGates + gate}).row, (8 + 2) * kCardGates + gate);
    EXPECT_EQ(map.At({3, kCardGates + gate}).row, -1);  // there is no cell 11
  }
}

TEST(RowMap, PesWithoutAPieceHaveNoRow) {
  const RowMap map(PassKind::kOutput, 3, 8, 16, 2);
  EXPECT_EQ(map.At({5, 0}).row, 18);
  EXPECT_EQ(map.At({5, 0}).piece, 1);
  EXPECT_EQ(map.At({6, 0}).row, -1);
}

}  // namespace
}  // namespace ese
