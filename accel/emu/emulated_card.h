// An emulated FPGA card: device memory apart from the host's, and compute units that execute the
// ese_channel kernel's batches (batch_interpreter.h), paced by its cycle formula or as fast as they
// can. It proves the host's use of XRT and the bits; not PCIe, DMA, the driver or any timing.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "accel/emu/device_memory.h"
#include "accel/emu/faults.h"
#include "accel/emu/sensors.h"
#include "accel/rtl/card_model.h"
#include "ert.h"

namespace ese::emu {

// From the environment, of all cards alike.
struct CardOptions {
  int cards = 1;                    // ESE_EMU_CARDS
  int64_t memory_mebibytes = 4096;  // ESE_EMU_MEMORY_MIB
  double clock_megahertz = 0;       // ESE_EMU_CLOCK_MHZ; 0: not paced
  double pcie_gigabytes = 0;        // ESE_EMU_PCIE_GBPS, each way; 0: not paced
  std::string fault_file = {};      // ESE_EMU_FAULT_FILE

  static CardOptions FromEnvironment();
};

// Shared by all handles of one card; thread-safe. Errors are std::exceptions, as in XRT's own
// shims; what a real card's driver answers with a number is a std::system_error of that number.
//
// A card that falls off the bus loses its memory and its xclbin, and ends what runs; its sessions
// are over, also when it is back.
class EmulatedCard {
 public:
  // `faults` must outlive it.
  EmulatedCard(int index, const CardOptions& options, FaultFile* faults);
  ~EmulatedCard();  // ends what runs

  // Begins a session. Throws ENODEV: the card is gone; EACCES.
  int Open();
  // Throws ENODEV if the session is over.
  void Require(int session);

  // Starts a compute unit's thread for each of the xclbin's; of the one loaded already: nothing.
  // Throws EBUSY: another one is in use, or another program has one.
  void Load(const std::string& xclbin_uuid, int compute_units);
  DeviceMemory& memory() { return memory_; }
  // Throws EIO: the transfer failed.
  void Sync(unsigned int handle, bool to_device, size_t size, size_t offset);

  // Queues a start-kernel packet for the first free compute unit of its mask.
  void Execute(unsigned int handle);
  // Waits until a command has ended since *seen was set; false at the end of the time.
  bool WaitForCompletion(uint64_t* seen, std::chrono::milliseconds limit);

  std::string bdf() const;
  bool SensorsFail() { return faults_->Has(Fault::kSensor, index_); }
  double Watts() { return power_.Watts(); }
  int Degrees() { return faults_->Has(Fault::kHot, index_) ? kDegreesWhenHot : kDegrees; }

 private:
  uint8_t* View(uint64_t address, uint64_t size, std::vector<BufferPointer>* pins);
  void Work(int unit);
  void Run(int unit, const BufferPointer& command);
  void Finish(const BufferPointer& command, ert_cmd_state state);
  void HangWhileTold(int unit, const BufferPointer& command);
  void LookForLoss();
  int64_t Cycles(const CardModel& model, int lanes, int frames);

  const int index_;
  const CardOptions options_;
  FaultFile* const faults_;
  DeviceMemory memory_;
  PowerModel power_;

  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  int session_ = 0;
  bool gone_ = false;
  std::string loaded_;
  std::deque<BufferPointer> commands_;
  std::set<BufferPointer> running_;
  uint64_t completions_ = 0;
  bool stopping_ = false;
  // Cycles by entry beats, bytes of the model, lanes and frames.
  std::map<std::tuple<int64_t, size_t, int, int>, int64_t> cycles_;

  std::mutex link_[2];  // to the card, from the card: one transfer at a time each
  std::vector<std::thread> units_;
};

}  // namespace ese::emu
