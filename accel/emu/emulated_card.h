// SPDX-License-Identifier: Apache-2.0
// An emulated FPGA card: device memory apart from the host's, and compute units that execute the
// ese_channel kernel's batches (unit.h), paced by its cycle formula or as fast as they can. It
// proves the host's use of XRT and the bits; not PCIe, DMA, the driver or any timing.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "accel/emu/batch_memo.h"
#include "accel/emu/device_memory.h"
#include "accel/emu/faults.h"
#include "accel/emu/sensors.h"
#include "accel/emu/unit.h"
#include "ert.h"

namespace ese::emu {

// From the environment, of all cards alike.
struct CardOptions {
  int cards = 1;                    // ESE_EMU_CARDS
  int64_t memory_mebibytes = 4096;  // ESE_EMU_MEMORY_MIB
  double clock_megahertz = 0;       // ESE_EMU_CLOCK_MHZ; 0, or RTL: not paced
  double pcie_gigabytes = 0;        // ESE_EMU_PCIE_GBPS, each way; 0: not paced
  bool rtl = false;                 // ESE_EMU_FIDELITY: `rtl`, or `functional`
  int64_t memo_batches = 0;         // ESE_EMU_MEMO: results kept (batch_memo.h)
  std::string fault_file = {};      // ESE_EMU_FAULT_FILE

  // Throws std::invalid_argument naming the variable.
  static CardOptions FromEnvironment();
};

// Shared by all handles of one card; thread-safe. Errors are std::exceptions, as in XRT's own
// shims; what a real card's driver answers with a number is a std::system_error of that number.
//
// A card that falls off the bus loses its memory and its xclbin, and ends what runs; its sessions
// are over, also when it is back.
class EmulatedCard {
 public:
  // `memo` may be null. Both must outlive it.
  EmulatedCard(int index, const CardOptions& options, FaultFile* faults, BatchMemo* memo);
  ~EmulatedCard();  // ends what runs

  // Begins a session. Throws ENODEV: the card is gone; EACCES.
  int Open();
  // Throws ENODEV if the session is over.
  void Require(int session);
  // Whether the card was lost since that session began.
  bool IsOver(int session);

  // Starts a compute unit's thread for each of the xclbin's; of the one loaded already: nothing.
  // Throws EBUSY: another one is in use, or another program has one; std::runtime_error: no RTL.
  void Load(const std::string& xclbin_uuid, int compute_units);
  DeviceMemory& memory() { return memory_; }
  // Throws EIO: the transfer failed.
  void Sync(unsigned int handle, bool to_device, size_t size, size_t offset);

  // Queues a start-kernel packet for the least busy compute unit of its mask.
  void Execute(unsigned int handle);
  // Waits until a command has ended since *seen was set; false at the end of the time.
  bool WaitForCompletion(uint64_t* seen, std::chrono::milliseconds limit);

  uint16_t bus() const { return static_cast<uint16_t>(index_ + 1); }
  std::string bdf() const;  // 0000:BUS:00.1
  bool SensorsFail() { return faults_->Has(Fault::kSensor, index_); }
  double Watts() { return power_.Watts(); }
  int Degrees() { return faults_->Has(Fault::kHot, index_) ? kDegreesWhenHot : kDegrees; }

 private:
  using Clock = std::chrono::steady_clock;

  struct Command {
    BufferPointer packet;
    uint64_t descriptor;  // on the card; read from the packet while it is the card's alone
    Clock::time_point queued;
  };
  // A compute unit's commands, those that wait and the one that runs, if it does.
  struct Queue {
    std::deque<Command> waiting;
    BufferPointer running;
    std::condition_variable changed;
  };

  void Work(int unit, Unit* kernel);
  // Returns when the unit has ended it, which may be before now: a card does not oversleep.
  Clock::time_point Run(int unit, Unit* kernel, const Command& command, Clock::time_point free);
  void Finish(int unit, const BufferPointer& packet, ert_cmd_state state);
  void HangWhileTold(int unit, const BufferPointer& packet);
  void LookForLoss();

  const int index_;
  const CardOptions options_;
  FaultFile* const faults_;
  BatchMemo* const memo_;
  DeviceMemory memory_;
  PowerModel power_;

  std::mutex mutex_;
  std::condition_variable completed_;
  // Guarded by mutex_.
  int session_ = 0;
  bool gone_ = false;
  std::string loaded_;
  std::vector<std::unique_ptr<Queue>> queues_;  // of each compute unit
  uint64_t completions_ = 0;
  bool stopping_ = false;

  // To the card, from the card: one transfer at a time each.
  struct Link {
    std::mutex mutex;
    Clock::time_point free{};  // guarded by mutex
  };
  Link links_[2];
  std::vector<std::thread> units_;
};

}  // namespace ese::emu
