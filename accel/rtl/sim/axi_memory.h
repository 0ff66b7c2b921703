// SPDX-License-Identifier: Apache-2.0
// A card's memory behind AXI4 ports, for simulations of the kernel. It models, cycle by cycle,
// bytes, latency, bandwidth, refresh, random back-pressure, and faults.
//
// In each cycle the simulation calls Drive, which sets the signals to the kernel, evaluates the
// kernel, calls Sample, which reads the kernel's signals, and then clocks the kernel. One thread
// uses it.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <random>
#include <vector>

namespace ese {

struct AxiMemoryOptions {
  // Cycles from a read request to its first beat, uniform in this range.
  int min_latency = 1;
  int max_latency = 1;
  // Beats a cycle that all ports share for reads and writes; 0 for no limit.
  double bandwidth = 0;
  // Every refresh_interval cycles nothing moves for refresh_cycles; 0 for no refresh.
  int refresh_interval = 0;
  int refresh_cycles = 0;
  // Probability, in each cycle, that an AXI channel that could move does not.
  double stall = 0;
  uint32_t seed = 1;
};

// DDR4-2400, 64 bits wide: 90 % of its 19.2 GB/s is 1.35 beats of 64 bytes in a cycle of 200 MHz. A
// refresh takes 350 ns every 7.8 us.
inline constexpr AxiMemoryOptions kDdr4Memory = {.min_latency = 60,
                                                 .max_latency = 120,
                                                 .bandwidth = 1.35,
                                                 .refresh_interval = 1560,
                                                 .refresh_cycles = 70};

class AxiMemory {
 public:
  // The signals of one master's ports, from the memory's side; data points to `beat_bytes` bytes.
  struct ReadPort {
    bool arready = false, rvalid = false, rlast = false;  // to the kernel
    int rresp = 0;
    std::vector<uint8_t> rdata;
    bool arvalid = false, rready = false;  // from the kernel
    uint64_t araddr = 0;
    int arlen = 0;
  };
  struct WritePort {
    bool awready = false, wready = false, bvalid = false;  // to the kernel
    int bresp = 0;
    bool awvalid = false, wvalid = false, wlast = false, bready = false;  // from the kernel
    uint64_t awaddr = 0;
    int awlen = 0;
    std::vector<uint8_t> wdata;
    std::vector<bool> wstrb;
  };

  // Returns the `size` bytes at `address`, or null if there are none, for bytes that the caller
  // owns.
  using Store = std::function<uint8_t*(uint64_t address, uint64_t size)>;

  // Without a `store` the memory owns its bytes. Accesses to bytes that do not exist are answered
  // with an error.
  AxiMemory(int beat_bytes, int read_ports, const AxiMemoryOptions& options, Store store = {});

  // Allocates `bytes` of the memory's own bytes, aligned to kCardAlignment and never at address 0.
  uint64_t Allocate(size_t bytes);
  void Write(uint64_t address, const std::vector<uint8_t>& bytes);
  const uint8_t* At(uint64_t address) const { return bytes_.data() + (address - kBase); }

  // Accesses to the beat at this address are answered with an error.
  void FailAt(uint64_t address) { fail_at_ = address; }
  // While it hangs, nothing moves.
  void Hang(bool hang) { hang_ = hang; }
  // While reset is asserted, the memory forgets the requests under way and accepts none.
  void Reset(bool asserted);

  ReadPort& read(int port) { return reads_[port].signals; }
  WritePort& write() { return write_; }
  void Drive();
  void Sample();

  // The number of times the kernel broke a rule of AXI4: a burst that crosses 4 KB, an address
  // outside the allocated bytes, an offer withdrawn or changed, a last beat in the wrong place.
  int violations() const { return violations_; }
  int64_t beats_read() const { return beats_read_; }

 private:
  static constexpr uint64_t kBase = 0x40000000;

  struct Burst {
    uint64_t address;
    int beats;
    int64_t ready;  // the cycle from which it may be served
  };
  struct Reader {
    ReadPort signals;
    std::deque<Burst> bursts;
    bool held = false;  // a beat was offered and not taken
    bool was_arvalid = false;
    uint64_t was_araddr = 0;
  };

  uint8_t* Find(uint64_t address, uint64_t size);
  bool Chance();
  bool TakeBeat();
  void DriveRead(Reader* reader);
  void SampleRead(Reader* reader);
  void DriveWrite();
  void SampleWrite();
  void CheckBurst(uint64_t address, int beats);

  const int beat_bytes_;
  const AxiMemoryOptions options_;
  const Store store_;
  std::mt19937 random_;
  std::vector<uint8_t> bytes_;
  std::vector<Reader> reads_;
  WritePort write_;
  std::deque<Burst> writes_;  // addresses whose data have not come yet
  std::deque<int> responses_;
  uint64_t fail_at_ = 0;
  bool hang_ = false;
  bool reset_ = false;
  int64_t cycle_ = 0;
  double credit_ = 0;  // beats that may move now
  int violations_ = 0;
  int64_t beats_read_ = 0;
};

}  // namespace ese
