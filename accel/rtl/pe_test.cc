// SPDX-License-Identifier: Apache-2.0
// Tests one processing element alone. Rows of entries follow each other at a random pace, and the
// test compares the results with its own sums.
#include <gtest/gtest.h>
#include <verilated.h>

#include <bit>
#include <cstdint>
#include <random>
#include <vector>

#include "Vese_pe_bench_pe.h"
#include "accel/card/card_format.h"
#include "model/arithmetic.h"

namespace ese {
namespace {

constexpr int kLanes = 4, kColumns = 2048, kRows = 4;
// The fewest entries of a row with which its drain ends before that of the next row begins.
constexpr int kShortestRow = 12;
constexpr int kYShift = 15;

struct Row {
  std::vector<uint16_t> entries;
  int base = 0;  // column
  int shift = 0;
  int32_t bias = 0;
};

class PeBench {
 public:
  explicit PeBench(uint32_t seed) : top_(&context_), random_(seed) {
    top_.y_shift_p5_i = kYShift;
    for (auto& column : memory_) {
      for (int8_t& value : column) value = static_cast<int8_t>(random_());
    }
  }

  int Between(int low, int high) {
    return low + static_cast<int>(random_() % uint32_t(high - low + 1));
  }
  void SetColumns(int8_t value) {
    for (auto& column : memory_) std::fill(column.begin(), column.end(), value);
  }

  Row RandomRow() {
    Row row;
    row.base = Between(0, 100);
    row.shift = Between(0, 6);
    row.bias = static_cast<int32_t>(random_());
    int column = row.base - 1;
    for (const int length = Between(kShortestRow, 90); int(row.entries.size()) < length;) {
      const int gap = Between(0, 9) == 0 ? Between(0, 100) : Between(0, 12);
      if ((column += gap + 1) >= kColumns) break;
      row.entries.push_back(MakeEntry(gap, Between(kMinWeight, kMaxWeight)));
    }
    return row;
  }

  // Decodes and issues the row's entries, with pauses if `pauses`, while the previous row is
  // drained.
  void Run(const Row& row, bool pauses) {
    ASSERT_GE(row.entries.size(), size_t{kShortestRow});
    WriteConstants(row);
    std::vector<int64_t> sums(kLanes);
    int column = row.base - 1;
    for (size_t k = 0; k < row.entries.size(); ++k) {
      const uint16_t entry = row.entries[k];
      column += EntryGap(entry) + 1;
      const int weight = EntryWeight(entry);
      for (int lane = 0; lane < kLanes; ++lane) {
        sums[lane] += int64_t{memory_[column][lane]} * weight;
      }
      Decode(row, entry, k == 0, column);
      while (pauses && Between(0, 3) == 0) Wait(column);
      top_.issue_i = 1;
      top_.issue_first_i = k == 0;
      next_column_ = column;
      Cycle();
      top_.issue_i = 0;
    }
    EndRow(row, sums);
  }
  // Runs until every row that was started is drained and compared.
  void Finish() {
    while (compared_ < kLanes) Cycle();
    for (int k = 0; k < 4; ++k) Cycle();
    ExpectCollected();
  }

 private:
  void WriteConstants(const Row& row) {
    top_.row_write_i = 1;
    top_.row_write_addr_i = static_cast<uint8_t>(index_ % kRows);
    top_.row_write_data_i = std::bit_cast<uint64_t>(
        CardRow{.bias = row.bias, .shift = static_cast<uint16_t>(row.shift)});
    Cycle();
    top_.row_write_i = 0;
  }

  void SetPending() {
    top_.decode_low_i = top_.waiting_low_i = static_cast<uint16_t>(Between(0, 300));
    top_.decode_high_i = top_.waiting_high_i = static_cast<uint16_t>(Between(0, 300));
  }
  bool Pending(int column) const {
    return column >= top_.waiting_low_i && column < top_.waiting_high_i;
  }

  void Decode(const Row& row, uint16_t entry, bool first, int column) {
    SetPending();
    top_.entry_i = entry;
    top_.first_i = first;
    top_.base_i = static_cast<uint16_t>(row.base);
    top_.decode_i = 1;
    top_.eval();
    EXPECT_EQ(top_.decode_blocked_o, Pending(column));
    Cycle();
    top_.decode_i = 0;
    EXPECT_EQ(top_.addr_o, column);
  }
  void Wait(int column) {
    SetPending();
    top_.entry_i = static_cast<uint16_t>(random_());
    top_.eval();
    EXPECT_EQ(top_.waiting_blocked_o, Pending(column));
    Cycle();
  }

  // Call it one cycle after the issue of the row's last entry.
  void EndRow(const Row& row, const std::vector<int64_t>& sums) {
    if (index_ > 0) ExpectCollected();
    hold_at_ = cycle_ + 3;
    lane0_at_ = cycle_ + 5;
    compared_ = 0;
    top_.row_i = static_cast<uint8_t>(index_++ % kRows);
    expected_.clear();
    for (const int64_t sum : sums) {
      const auto aligned = static_cast<uint32_t>(sum) << row.shift;
      expected_.push_back({static_cast<int32_t>(aligned + static_cast<uint32_t>(row.bias))});
    }
  }

  void ExpectCollected() {
    ASSERT_EQ(compared_, kLanes);
    for (int lane = 0; lane < kLanes; ++lane) {
      EXPECT_EQ(static_cast<int8_t>(top_.collected_o >> (8 * lane)),
                ToProjected(expected_[lane], 19 - kYShift));
    }
  }

  // Runs one clock. Supplies the requested column and drives the controls of the row that is being
  // drained.
  void Cycle() {
    const auto lane = [&](int stage) { return static_cast<int>(cycle_ - lane0_at_ - stage); };
    top_.hold_i = cycle_ == hold_at_;
    top_.lane_p1_i = lane(1) & (kLanes - 1);
    top_.lane_p7_i = lane(7) & (kLanes - 1);
    top_.y_p7_i = lane(7) >= 0 && lane(7) < kLanes && !expected_.empty();
    if (lane(5) >= 0 && lane(5) < kLanes && !expected_.empty()) {
      EXPECT_EQ(static_cast<int32_t>(top_.logit_p5_o), expected_[lane(5)].raw)
          << "row " << index_ << ", lane " << lane(5);
      ++compared_;
    }
    top_.clk_i = 0;
    top_.eval();
    top_.clk_i = 1;
    top_.eval();
    if (top_.issue_i) {
      uint32_t bytes = 0;
      for (int k = 0; k < kLanes; ++k) {
        bytes |= uint32_t{static_cast<uint8_t>(memory_[next_column_][k])} << (8 * k);
      }
      top_.column_i = bytes;
    }
    ++cycle_;
  }

  VerilatedContext context_;
  Vese_pe_bench_pe top_;
  std::mt19937 random_;
  std::vector<std::vector<int8_t>> memory_ =
      std::vector<std::vector<int8_t>>(kColumns, std::vector<int8_t>(kLanes));
  int64_t cycle_ = 0, hold_at_ = -1, lane0_at_ = 0;
  int index_ = 0;  // number of rows run
  int next_column_ = 0;
  int compared_ = 0;
  std::vector<Accumulator> expected_;  // for the row that is being drained
};

TEST(Pe, SumsConsecutiveRows) {
  PeBench bench(1);
  for (int row = 0; row < 2000; ++row) bench.Run(bench.RandomRow(), row % 2 == 0);
  bench.Finish();
}

// The row covers all columns, and its products are as far from zero as possible. The sums must not
// overflow.
TEST(Pe, HoldsTheLargestSums) {
  for (const int8_t activation : {-128, 127}) {
    for (const uint16_t weight : {uint16_t{64}, uint16_t{63}}) {
      PeBench bench(2);
      bench.SetColumns(activation);
      bench.Run({.entries = std::vector<uint16_t>(kColumns, weight)}, false);
      bench.Finish();
    }
  }
}

}  // namespace
}  // namespace ese
