// SPDX-License-Identifier: Apache-2.0
// Tests the AXI4 masters alone, on a memory that stalls at random. Every word must arrive in its
// place and in order, no rule of the bus may be broken, and the masters must become idle when they
// are told to stop.
#include <gtest/gtest.h>
#include <verilated.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <deque>
#include <random>
#include <vector>

#include "Vese_axi_read_read.h"
#include "Vese_axi_write_write.h"
#include "accel/rtl/sim/axi_memory.h"

namespace ese {
namespace {

constexpr int kBeat = 16, kDepth = 64, kBurst = 16, kMemory = 1 << 16;
constexpr int kPatience = 20000;  // cycles
constexpr AxiMemoryOptions kSlow = {.max_latency = 30, .stall = 0.3};

using Bytes = std::vector<uint8_t>;

// A master with its memory, which holds random bytes.
template <typename Top>
class MasterBench {
 public:
  MasterBench() : top_(&context_), memory_(kBeat, 1, kSlow), base_(memory_.Allocate(kMemory)) {
    for (uint8_t& byte : bytes_) byte = static_cast<uint8_t>(random_());
    memory_.Write(base_, bytes_);
  }

  int Between(int low, int high) {
    return low + static_cast<int>(random_() % uint32_t(high - low + 1));
  }
  // Returns the offset of a random stretch of this many beats within the memory.
  int Place(int beats) { return Between(0, kMemory / kBeat - beats) * kBeat; }

 protected:
  template <typename Sample>
  void Clock(Sample&& sample) {
    top_.clk_i = 0;
    top_.eval();
    sample();
    memory_.Sample();
    top_.clk_i = 1;
    top_.eval();
  }

  VerilatedContext context_;
  Top top_;
  std::mt19937 random_{1};
  Bytes bytes_ = Bytes(kMemory);
  AxiMemory memory_;
  uint64_t base_;
};

class ReadBench : public MasterBench<Vese_axi_read_read> {
 public:
  ReadBench() {
    top_.rst_i = 1;
    Cycle(false);
    top_.rst_i = 0;
  }

  // Runs a cycle, and takes a word if `take` is set and there is one.
  void Cycle(bool take) {
    memory_.Drive();
    AxiMemory::ReadPort& port = memory_.read(0);
    top_.m_arready = port.arready;
    top_.m_rvalid = port.rvalid;
    top_.m_rlast = port.rlast;
    top_.m_rresp = static_cast<uint8_t>(port.rresp);
    std::memcpy(&top_.m_rdata, port.rdata.data(), kBeat);
    top_.pop_i = take && top_.valid_o;
    Clock([&] {
      if (top_.pop_i) {
        const auto* word = reinterpret_cast<const uint8_t*>(&top_.data_o);
        words_.insert(words_.end(), word, word + kBeat);
        lasts_.push_back(top_.last_o);
      }
      failed_ = failed_ || top_.failed_o;
      port.arvalid = top_.m_arvalid;
      port.araddr = top_.m_araddr;
      port.arlen = top_.m_arlen;
      port.rready = top_.m_rready;
    });
  }
  void Ask(int first, int beats) {
    for (int k = 0; !top_.ready_o; ++k) {
      ASSERT_LT(k, kPatience);
      Cycle(Between(0, 2) > 0);
    }
    top_.command_i = 1;
    top_.addr_i = base_ + first;
    top_.beats_i = beats;
    Cycle(false);
    top_.command_i = 0;
    expected_.insert(expected_.end(), bytes_.begin() + first,
                     bytes_.begin() + first + beats * kBeat);
    for (int k = 1, beat = first / kBeat; k <= beats; ++k, ++beat) {
      expected_lasts_.push_back(k == beats || beat % kBurst == kBurst - 1);
    }
  }
  void ExpectAll() {
    for (int k = 0; words_.size() < expected_.size(); ++k) {
      ASSERT_LT(k, kPatience);
      Cycle(Between(0, 2) > 0);
    }
    EXPECT_EQ(words_, expected_);
    EXPECT_EQ(lasts_, expected_lasts_);
    EXPECT_TRUE(top_.idle_o);
    EXPECT_EQ(memory_.violations(), 0);
  }
  void StopAndExpectIdle() {
    top_.stop_i = 1;
    for (int k = 0; k < 3 || !top_.idle_o; ++k) {
      ASSERT_LT(k, kPatience);
      Cycle(false);
    }
    const int64_t beats = memory_.beats_read();
    for (int k = 0; k < 200; ++k) Cycle(false);
    EXPECT_EQ(memory_.beats_read(), beats);
    EXPECT_EQ(memory_.violations(), 0);
  }
  void FailAt(int byte) { memory_.FailAt(base_ + byte); }
  bool failed() const { return failed_; }

 private:
  Bytes words_, expected_;
  std::vector<bool> lasts_, expected_lasts_;
  bool failed_ = false;
};

TEST(ReadMaster, ReadsStretchesInOrder) {
  ReadBench bench;
  for (int k = 0; k < 300; ++k) {
    const int beats = bench.Between(1, 150);
    bench.Ask(bench.Place(beats), beats);
  }
  bench.ExpectAll();
  EXPECT_FALSE(bench.failed());
}

TEST(ReadMaster, BecomesIdleWhenStopped) {
  for (int cycles = 0; cycles < 60; ++cycles) {
    ReadBench bench;
    bench.Ask(0, 1000);
    for (int k = 0; k < cycles; ++k) bench.Cycle(true);
    bench.StopAndExpectIdle();
  }
}

TEST(ReadMaster, ReportsAnError) {
  ReadBench bench;
  bench.FailAt(40 * kBeat);
  bench.Ask(0, 100);
  bench.ExpectAll();
  EXPECT_TRUE(bench.failed());
}

class WriteBench : public MasterBench<Vese_axi_write_write> {
 public:
  WriteBench() : expected_(bytes_) {
    top_.rst_i = 1;
    Cycle();
    top_.rst_i = 0;
  }

  void Cycle() {
    memory_.Drive();
    AxiMemory::WritePort& port = memory_.write();
    top_.m_awready = port.awready;
    top_.m_wready = port.wready;
    top_.m_bvalid = port.bvalid;
    top_.m_bresp = static_cast<uint8_t>(port.bresp);
    PushWord();
    Clock([&] {
      room_ += top_.popped_o;
      failed_ = failed_ || top_.failed_o;
      port.awvalid = top_.m_awvalid;
      port.awaddr = top_.m_awaddr;
      port.awlen = top_.m_awlen;
      port.wvalid = top_.m_wvalid;
      port.wlast = top_.m_wlast;
      port.bready = top_.m_bready;
      std::memcpy(port.wdata.data(), &top_.m_wdata, kBeat);
      for (int k = 0; k < kBeat; ++k) port.wstrb[k] = top_.m_wstrb >> k & 1;
    });
  }
  // Issues the command for a stretch of random words, single or in pairs. Only the bytes in the
  // strobe are written. The words follow a few cycles later, with pauses.
  void Send(int first, int words, bool pairs, unsigned strobe) {
    for (int k = 0; !top_.ready_o; ++k) {
      ASSERT_LT(k, kPatience);
      Cycle();
    }
    top_.command_i = 1;
    top_.addr_i = base_ + first;
    top_.words_i = static_cast<uint16_t>(words);
    top_.pairs_i = pairs;
    top_.strobe_i = static_cast<uint16_t>(strobe);
    Cycle();
    top_.command_i = 0;
    for (int k = 0; k < words; ++k) {
      Word& word = words_.emplace_back(Word{Bytes(kBeat), pairs});
      for (int i = 0; i < kBeat; ++i) {
        word.bytes[i] = static_cast<uint8_t>(random_());
        if (strobe >> i & 1) expected_[first + k * kBeat + i] = word.bytes[i];
      }
    }
  }
  void WaitIdle() {
    for (int k = 0; !words_.empty() || !top_.idle_o; ++k) {
      ASSERT_LT(k, kPatience);
      Cycle();
    }
  }
  void ExpectAll() {
    WaitIdle();
    EXPECT_EQ(std::memcmp(memory_.At(base_), expected_.data(), kMemory), 0);
    EXPECT_EQ(memory_.violations(), 0);
  }
  // Stops the master and expects that every byte then has either its old or its new value.
  void StopAndExpectIdle() {
    top_.stop_i = 1;
    words_.clear();
    for (int k = 0; k < 3; ++k) Cycle();
    WaitIdle();
    const uint8_t* now = memory_.At(base_);
    for (int k = 0; k < kMemory; ++k) {
      ASSERT_TRUE(now[k] == bytes_[k] || now[k] == expected_[k]) << k;
    }
    EXPECT_EQ(memory_.violations(), 0);
  }
  void FailAt(int byte) { memory_.FailAt(base_ + byte); }
  bool failed() const { return failed_; }

 private:
  struct Word {
    Bytes bytes;
    bool paired;
  };
  void PushWord() {
    top_.word_i = top_.pair_i = 0;
    if (words_.empty() || room_ == 0 || Between(0, 2) == 0) return;
    top_.word_i = 1;
    top_.pair_i = words_.front().paired;
    std::memcpy(&top_.data_i, words_.front().bytes.data(), kBeat);
    words_.pop_front();
    if (top_.pair_i) {
      std::memcpy(&top_.upper_i, words_.front().bytes.data(), kBeat);
      words_.pop_front();
    }
    --room_;
  }

  Bytes expected_;
  std::deque<Word> words_;  // words of the issued commands that are not pushed yet
  int room_ = kDepth;
  bool failed_ = false;
};

TEST(WriteMaster, WritesWordsWhereTheirCommandSays) {
  WriteBench bench;
  for (int k = 0; k < 400; ++k) {
    const bool pairs = bench.Between(0, 1) == 1;
    const int words = pairs ? 2 * bench.Between(1, 20) : bench.Between(1, 60);
    const unsigned strobe = bench.Between(0, 1) == 1 ? 0xFFFF : bench.Between(0, 0xFFFF);
    bench.Send(bench.Place(words), words, pairs, strobe);
  }
  bench.ExpectAll();
  EXPECT_FALSE(bench.failed());
}

TEST(WriteMaster, FinishesWhatItBeganWhenStopped) {
  for (int cycles = 0; cycles < 120; ++cycles) {
    WriteBench bench;
    bench.Send(kBeat, 100, false, 0xFFFF);
    bench.Send(200 * kBeat, 40, true, 0xFFFF);
    for (int k = 0; k < cycles; ++k) bench.Cycle();
    bench.StopAndExpectIdle();
  }
}

TEST(WriteMaster, ReportsAnError) {
  WriteBench bench;
  bench.FailAt(20 * kBeat);
  bench.Send(0, 50, false, 0xFFFF);
  bench.ExpectAll();
  EXPECT_TRUE(bench.failed());
}

}  // namespace
}  // namespace ese
