// An emulated FPGA card: device memory apart from the host's, and compute units that execute the
// ese_channel kernel's batches (batch_interpreter.h), paced by its cycle formula or as fast as they
// can. It proves the host's use of XRT and the bits; not PCIe, DMA, the driver or any timing.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "accel/rtl/card_model.h"

namespace ese::emu {

// From the environment, of all cards alike.
struct CardOptions {
  int cards = 1;                    // ESE_EMU_CARDS
  int64_t memory_mebibytes = 4096;  // ESE_EMU_MEMORY_MIB
  double clock_megahertz = 0;       // ESE_EMU_CLOCK_MHZ; 0: not paced
  double pcie_gigabytes = 0;        // ESE_EMU_PCIE_GBPS, each way; 0: not paced
  // ESE_EMU_FAULT_FILE; while its first word is `error`, `flip` or `hang`, every batch of every
  // card ends in XRT's error state, comes back with a flipped bit, or does not end.
  std::string fault_file = {};

  static CardOptions FromEnvironment();
};

// Shared by all handles of one card; thread-safe. Errors are std::exceptions, as in XRT's own
// shims.
class EmulatedCard {
 public:
  EmulatedCard(int index, const CardOptions& options);
  ~EmulatedCard();  // ends what runs

  // Starts a compute unit's thread for each of the xclbin's; of the one loaded already: nothing.
  void Load(const std::string& xclbin_uuid, int compute_units);

  // Throws std::bad_alloc if the card's memory is full. A command buffer is of the host only.
  unsigned int Allocate(size_t size, unsigned int flags, void* host);
  void Free(unsigned int handle);
  uint8_t* HostMemory(unsigned int handle);
  uint64_t Address(unsigned int handle);
  size_t Size(unsigned int handle);
  unsigned int Flags(unsigned int handle);
  void Sync(unsigned int handle, bool to_device, size_t size, size_t offset);

  // Queues a start-kernel packet for the first free compute unit of its mask.
  void Execute(unsigned int handle);
  // Waits until a command has ended since *seen was set; false at the end of the time.
  bool WaitForCompletion(uint64_t* seen, std::chrono::milliseconds limit);

  std::string bdf() const;
  // From a model: idle watts, and energy for each product and each byte moved since the last call.
  double Watts();

 private:
  struct Buffer {
    std::vector<uint8_t> own;  // host memory, unless the user gave some
    uint8_t* host = nullptr;
    std::vector<uint8_t> device;
    size_t size = 0;
    unsigned int flags = 0;
    uint64_t address = 0;
  };
  using BufferPointer = std::shared_ptr<Buffer>;

  BufferPointer Find(unsigned int handle);
  uint8_t* View(uint64_t address, uint64_t size);
  void Work(int unit);
  void Run(Buffer* command);
  std::string Fault() const;
  void FlipABit(uint64_t descriptor);
  void HangWhileTold();
  int64_t Cycles(const CardModel& model, int lanes, int frames);

  const int index_;
  const CardOptions options_;

  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  std::map<unsigned int, BufferPointer> buffers_;
  std::map<uint64_t, Buffer*> by_address_;
  unsigned int next_handle_ = 1;
  std::string loaded_;
  std::deque<BufferPointer> commands_;
  uint64_t completions_ = 0;
  bool stopping_ = false;
  double joules_ = 0;  // over the idle card's
  std::chrono::steady_clock::time_point measured_ = std::chrono::steady_clock::now();
  double watts_;
  // Cycles by entry beats, bytes of the model, lanes and frames.
  std::map<std::tuple<int64_t, size_t, int, int>, int64_t> cycles_;

  std::mutex link_[2];  // to the card, from the card: one transfer at a time each
  std::vector<std::thread> units_;
};

}  // namespace ese::emu
