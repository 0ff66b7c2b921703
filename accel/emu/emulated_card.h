// SPDX-License-Identifier: Apache-2.0
// An emulated FPGA card: device memory separate from the host's, and compute units that execute the
// batches of the ese_channel kernel (unit.h), either paced by the kernel's cycle formula or as fast
// as they can. It tests the host's use of XRT and the bits, but not PCIe, DMA, the driver or
// timing.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "accel/emu/batch_memo.h"
#include "accel/emu/device_memory.h"
#include "accel/emu/faults.h"
#include "accel/emu/sensors.h"
#include "accel/emu/unit.h"
#include "base/mutex.h"
#include "ert.h"

namespace ese::emu {

// Options from the environment; all cards have the same.
struct CardOptions {
  int cards = 1;                    // ESE_EMU_CARDS
  int64_t memory_mebibytes = 4096;  // ESE_EMU_MEMORY_MIB
  double clock_megahertz = 0;       // ESE_EMU_CLOCK_MHZ; 0, or RTL: not paced
  double pcie_gigabytes = 0;        // ESE_EMU_PCIE_GBPS, each way; 0: not paced
  bool rtl = false;                 // ESE_EMU_FIDELITY: `rtl`, or `functional`
  int64_t memo_batches = 0;         // ESE_EMU_MEMO: results kept (batch_memo.h)
  std::string fault_file = {};      // ESE_EMU_FAULT_FILE

  // Throws std::invalid_argument if a variable is invalid; the message names it.
  static CardOptions FromEnvironment();
};

// All handles of one card share this. Thread-safe. Errors are std::exceptions, as in XRT's own
// shims; where a real card's driver returns an errno, this throws std::system_error with it.
//
// A card that falls off the bus loses its memory and its xclbin, and ends the batches that are
// running. Its sessions are over, and stay over when the card is back.
class EmulatedCard {
 public:
  // `memo` may be null. `faults` and `memo` must outlive the card.
  EmulatedCard(int index, const CardOptions& options, FaultFile* faults, BatchMemo* memo);
  ~EmulatedCard();  // ends the batches that are running

  // Begins a session and returns its number. Throws ENODEV if the card is gone, or EACCES if this
  // user may not open it.
  int Open();
  // Throws ENODEV if the session is over.
  void Require(int session);
  // Whether the card has been lost since that session began.
  bool IsOver(int session);

  // Starts a thread for each compute unit of the xclbin; does nothing if it is already loaded.
  // Throws EBUSY if another xclbin or another program is on the card, and std::runtime_error if the
  // verilated kernel is missing.
  void Load(const std::string& xclbin_uuid, int compute_units);
  DeviceMemory& memory() { return memory_; }
  // Copies between host and device memory. Throws EIO if the transfer fails.
  void Sync(unsigned int handle, bool to_device, size_t size, size_t offset);

  // Queues a start-kernel packet for the least busy compute unit of its mask.
  void Execute(unsigned int handle);
  // Waits until a command has ended since *seen was set. Returns false after `limit`.
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
    uint64_t descriptor;  // address on the card, read before the host could reuse the packet
    Clock::time_point queued;
  };
  // The commands of one compute unit. `running` is null while it is idle.
  struct Queue {
    std::deque<Command> waiting;
    BufferPointer running;
    CondVar changed;
  };

  void Work(int unit, Unit* kernel);
  // Returns the time at which the paced unit ended the command. It may be earlier than now, because
  // a real card would not oversleep as this thread does.
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

  Mutex mutex_;
  CondVar completed_;
  int session_ ABSL_GUARDED_BY(mutex_) = 0;
  bool gone_ ABSL_GUARDED_BY(mutex_) = false;
  std::string loaded_ ABSL_GUARDED_BY(mutex_);                          // uuid of the xclbin
  std::vector<std::unique_ptr<Queue>> queues_ ABSL_GUARDED_BY(mutex_);  // of each compute unit
  uint64_t completions_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;

  // One direction of PCIe, which carries one transfer at a time.
  struct Link {
    Mutex mutex;
    Clock::time_point free ABSL_GUARDED_BY(mutex){};
  };
  Link links_[2];
  std::vector<std::thread> units_;
};

}  // namespace ese::emu
