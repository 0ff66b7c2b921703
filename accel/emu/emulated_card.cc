#include "accel/emu/emulated_card.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "accel/emu/batch_interpreter.h"

namespace ese::emu {
namespace {

// How often a wait looks at the fault file.
constexpr auto kLookAgain = std::chrono::milliseconds(10);

void FromEnvironment(const char* name, double least, double* value) {
  const char* text = std::getenv(name);
  if (text == nullptr) return;
  if (!absl::SimpleAtod(text, value) || !(*value >= least && *value <= 1e9)) {
    throw std::invalid_argument(
        absl::StrCat(name, " is \"", text, "\"; it must be a number of at least ", least));
  }
}

void SetState(const BufferPointer& packet, ert_cmd_state state) {
  std::atomic_ref<uint32_t> header(*reinterpret_cast<uint32_t*>(packet->host));
  header.store((header.load() & ~uint32_t{0xF}) | static_cast<uint32_t>(state));
}

std::system_error Error(int number, const char* what) {
  return std::system_error(number, std::generic_category(), what);
}

}  // namespace

CardOptions CardOptions::FromEnvironment() {
  CardOptions options;
  double cards = options.cards, mebibytes = static_cast<double>(options.memory_mebibytes);
  emu::FromEnvironment("ESE_EMU_CARDS", 0, &cards);
  emu::FromEnvironment("ESE_EMU_MEMORY_MIB", 1, &mebibytes);
  emu::FromEnvironment("ESE_EMU_CLOCK_MHZ", 0, &options.clock_megahertz);
  emu::FromEnvironment("ESE_EMU_PCIE_GBPS", 0, &options.pcie_gigabytes);
  if (const char* file = std::getenv("ESE_EMU_FAULT_FILE")) options.fault_file = file;
  options.cards = static_cast<int>(std::min(cards, 64.0));
  options.memory_mebibytes = static_cast<int64_t>(mebibytes);
  return options;
}

EmulatedCard::EmulatedCard(int index, const CardOptions& options, FaultFile* faults)
    : index_(index),
      options_(options),
      faults_(faults),
      memory_(static_cast<uint64_t>(options.memory_mebibytes) << 20) {}

EmulatedCard::~EmulatedCard() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (std::thread& unit : units_) unit.join();
}

std::string EmulatedCard::bdf() const { return absl::StrFormat("0000:%02x:00.1", index_ + 1); }

int EmulatedCard::Open() {
  LookForLoss();
  if (faults_->Has(Fault::kPermission, index_)) throw Error(EACCES, "failed to open the card");
  const std::lock_guard lock(mutex_);
  if (gone_) throw Error(ENODEV, "failed to open the card");
  return session_;
}

void EmulatedCard::Require(int session) {
  LookForLoss();
  const std::lock_guard lock(mutex_);
  if (gone_ || session != session_) throw Error(ENODEV, "the card has fallen off the bus");
}

void EmulatedCard::LookForLoss() {
  const bool gone = faults_->Has(Fault::kGone, index_);
  {
    const std::lock_guard lock(mutex_);
    if (gone == std::exchange(gone_, gone) || !gone) return;
    ++session_;
    loaded_.clear();
    memory_.Lose();
    for (const BufferPointer& command : commands_) SetState(command, ERT_CMD_STATE_ABORT);
    for (const BufferPointer& command : running_) SetState(command, ERT_CMD_STATE_ABORT);
    commands_.clear();
    running_.clear();
    ++completions_;
  }
  changed_.notify_all();
}

void EmulatedCard::Load(const std::string& xclbin_uuid, int compute_units) {
  if (faults_->Has(Fault::kBusy, index_)) {
    throw Error(EBUSY, "failed to load the xclbin: another program has one on this card");
  }
  const std::lock_guard lock(mutex_);
  if (loaded_ == xclbin_uuid) return;
  if (!loaded_.empty()) {
    throw Error(EBUSY, "failed to load the xclbin: another one is in use on this card");
  }
  loaded_ = xclbin_uuid;
  for (int unit = static_cast<int>(units_.size()); unit < compute_units; ++unit) {
    units_.emplace_back([this, unit] { Work(unit); });
  }
}

void EmulatedCard::Sync(unsigned int handle, bool to_device, size_t size, size_t offset) {
  const BufferPointer buffer = memory_.Find(handle);
  if (buffer->device.empty()) return;
  if (offset > buffer->size || size > buffer->size - offset) {
    throw std::out_of_range("a transfer beyond its buffer");
  }
  if (faults_->Has(Fault::kDma, index_)) throw Error(EIO, "failed to move a buffer by DMA");
  const std::lock_guard link(link_[to_device]);
  uint8_t* const device = buffer->device.data() + offset;
  uint8_t* const host = buffer->host + offset;
  std::memcpy(to_device ? device : host, to_device ? host : device, size);
  if (options_.pcie_gigabytes > 0) {
    std::this_thread::sleep_for(
        std::chrono::duration<double>(static_cast<double>(size) / (options_.pcie_gigabytes * 1e9)));
  }
  power_.AddBytes(static_cast<double>(size));
}

void EmulatedCard::Execute(unsigned int handle) {
  BufferPointer command = memory_.Find(handle);
  SetState(command, ERT_CMD_STATE_QUEUED);
  {
    const std::lock_guard lock(mutex_);
    commands_.push_back(std::move(command));
  }
  changed_.notify_all();
}

bool EmulatedCard::WaitForCompletion(uint64_t* seen, std::chrono::milliseconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (true) {
    LookForLoss();
    std::unique_lock lock(mutex_);
    const auto now = std::chrono::steady_clock::now();
    const bool any = changed_.wait_until(lock, std::min(end, now + kLookAgain),
                                         [&] { return completions_ != *seen; });
    if (!any && now < end) continue;
    *seen = completions_;
    return any;
  }
}

uint8_t* EmulatedCard::View(uint64_t address, uint64_t size, std::vector<BufferPointer>* pins) {
  BufferPointer buffer = memory_.At(address, size);
  if (buffer == nullptr) return nullptr;
  uint8_t* const bytes = buffer->device.data() + (address - buffer->address);
  pins->push_back(std::move(buffer));
  return bytes;
}

int64_t EmulatedCard::Cycles(const CardModel& model, int lanes, int frames) {
  const auto key = std::tuple(model.entry_beats, model.bytes.size(), lanes, frames);
  {
    const std::lock_guard lock(mutex_);
    const auto found = cycles_.find(key);
    if (found != cycles_.end()) return found->second;
  }
  const int64_t cycles = BatchCycles(model, lanes, frames);
  const std::lock_guard lock(mutex_);
  return cycles_[key] = cycles;
}

void EmulatedCard::Work(int unit) {
  const uint32_t mask = uint32_t{1} << unit;
  while (true) {
    BufferPointer command;
    {
      std::unique_lock lock(mutex_);
      auto found = commands_.end();
      changed_.wait(lock, [&] {
        found = std::find_if(commands_.begin(), commands_.end(), [&](const BufferPointer& waiting) {
          return (reinterpret_cast<ert_start_kernel_cmd*>(waiting->host)->cu_mask & mask) != 0;
        });
        return found != commands_.end() || stopping_;
      });
      if (stopping_) return;
      command = std::move(*found);
      commands_.erase(found);
      running_.insert(command);
    }
    Run(unit, command);
  }
}

void EmulatedCard::Finish(const BufferPointer& command, ert_cmd_state state) {
  {
    const std::lock_guard lock(mutex_);
    if (running_.erase(command) == 0) return;  // the card was lost meanwhile
    SetState(command, state);
    ++completions_;
  }
  changed_.notify_all();
}

void EmulatedCard::HangWhileTold(int unit, const BufferPointer& command) {
  while (faults_->Has(Fault::kHang, index_, unit)) {
    LookForLoss();
    std::unique_lock lock(mutex_);
    const auto over = [&] { return stopping_ || running_.count(command) == 0; };
    if (changed_.wait_for(lock, kLookAgain, over)) return;
  }
}

void EmulatedCard::Run(int unit, const BufferPointer& command) {
  if (faults_->Has(Fault::kError, index_, unit)) return Finish(command, ERT_CMD_STATE_ERROR);
  HangWhileTold(unit, command);
  const auto start = std::chrono::steady_clock::now();
  const auto* packet = reinterpret_cast<ert_start_kernel_cmd*>(command->host);
  // Registers 0x10 and 0x14 of the kernel.
  const uint32_t* registers = packet->data + packet->extra_cu_masks;
  const uint64_t descriptor = registers[4] | uint64_t{registers[5]} << 32;
  std::vector<BufferPointer> pins;
  const MemoryView memory = [&](uint64_t address, uint64_t size) {
    return View(address, size, &pins);
  };
  if (const auto rule = faults_->Find(Fault::kKernelError, index_, unit)) {
    EndWithError(memory, descriptor, static_cast<CardError>(rule->code));
    return Finish(command, ERT_CMD_STATE_COMPLETED);
  }
  int64_t cycles = 0;
  double products = 0;
  RunBatch(CardShape{}, memory, descriptor, [&](const CardModel& model, int lanes, int frames) {
    products = static_cast<double>(model.entry_beats) * frames * model.shape.pes * lanes;
    return cycles = Cycles(model, lanes, frames);
  });
  if (options_.clock_megahertz > 0) {
    const int slower = faults_->Has(Fault::kHot, index_) ? kThrottle : 1;
    std::this_thread::sleep_until(
        start + std::chrono::duration_cast<std::chrono::nanoseconds>(
                    std::chrono::duration<double, std::micro>(static_cast<double>(cycles) * slower /
                                                              options_.clock_megahertz)));
  }
  power_.AddProducts(products);
  if (faults_->Has(Fault::kFlip, index_, unit)) FlipABit(memory, descriptor);
  Finish(command, ERT_CMD_STATE_COMPLETED);
}

}  // namespace ese::emu
