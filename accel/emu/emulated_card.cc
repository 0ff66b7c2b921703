#include "accel/emu/emulated_card.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <new>
#include <stdexcept>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "accel/emu/batch_interpreter.h"
#include "accel/rtl/cycle_formula.h"
#include "ert.h"
#include "xrt_mem.h"

namespace ese::emu {
namespace {

constexpr uint64_t kMemoryBase = uint64_t{1} << 38;  // so that a host's pointer or 0 is no address
constexpr uint64_t kAlignment = 4096;

// A power model, not a measurement: 20 W idle, and as much for products as makes 41 W, the ESE
// paper's whole card, of one compute unit that multiplies 32 x 64 products a cycle at 200 MHz.
// Bytes moved over PCIe: 15 pJ a bit.
constexpr double kIdleWatts = 20;
constexpr double kPaperWatts = 41;
constexpr double kJoulesPerProduct = (kPaperWatts - kIdleWatts) / (kCardMegahertz * 1e6 * 32 * 64);
constexpr double kJoulesPerByte = 15e-12 * 8;

void FromEnvironment(const char* name, double least, double* value) {
  const char* text = std::getenv(name);
  if (text == nullptr) return;
  if (!absl::SimpleAtod(text, value) || !(*value >= least && *value <= 1e9)) {
    throw std::invalid_argument(
        absl::StrCat(name, " is \"", text, "\"; it must be a number of at least ", least));
  }
}

void SetState(uint8_t* packet, ert_cmd_state state) {
  std::atomic_ref<uint32_t> header(*reinterpret_cast<uint32_t*>(packet));
  header.store((header.load() & ~uint32_t{0xF}) | static_cast<uint32_t>(state));
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

EmulatedCard::EmulatedCard(int index, const CardOptions& options)
    : index_(index), options_(options), watts_(kIdleWatts) {}

EmulatedCard::~EmulatedCard() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (std::thread& unit : units_) unit.join();
}

std::string EmulatedCard::bdf() const { return absl::StrFormat("0000:%02x:00.1", index_ + 1); }

void EmulatedCard::Load(const std::string& xclbin_uuid, int compute_units) {
  const std::lock_guard lock(mutex_);
  if (loaded_ == xclbin_uuid) return;
  if (!loaded_.empty()) throw std::runtime_error("another xclbin is in use on this card");
  loaded_ = xclbin_uuid;
  for (int unit = 0; unit < compute_units; ++unit)
    units_.emplace_back([this, unit] { Work(unit); });
}

unsigned int EmulatedCard::Allocate(size_t size, unsigned int flags, void* host) {
  auto buffer = std::make_shared<Buffer>();
  buffer->size = size;
  buffer->flags = flags;
  if (host == nullptr) {
    buffer->own.resize(size);
    host = buffer->own.data();
  }
  buffer->host = static_cast<uint8_t*>(host);
  const std::lock_guard lock(mutex_);
  if ((flags & XCL_BO_FLAGS_EXECBUF) == 0) {
    // The first gap that is wide enough.
    uint64_t address = kMemoryBase;
    for (const auto& [start, other] : by_address_) {
      if (address + size <= start) break;
      address = (start + other->size + kAlignment - 1) / kAlignment * kAlignment;
    }
    if (address + size > kMemoryBase + (static_cast<uint64_t>(options_.memory_mebibytes) << 20)) {
      throw std::bad_alloc();
    }
    buffer->address = address;
    buffer->device.resize(size);
    by_address_[address] = buffer.get();
  }
  buffers_[next_handle_] = std::move(buffer);
  return next_handle_++;
}

void EmulatedCard::Free(unsigned int handle) {
  const std::lock_guard lock(mutex_);
  const auto found = buffers_.find(handle);
  if (found == buffers_.end()) return;
  if (!found->second->device.empty()) by_address_.erase(found->second->address);
  buffers_.erase(found);
}

EmulatedCard::BufferPointer EmulatedCard::Find(unsigned int handle) {
  const std::lock_guard lock(mutex_);
  const auto found = buffers_.find(handle);
  if (found == buffers_.end()) throw std::runtime_error("no such buffer on the emulated card");
  return found->second;
}

uint8_t* EmulatedCard::HostMemory(unsigned int handle) { return Find(handle)->host; }
uint64_t EmulatedCard::Address(unsigned int handle) { return Find(handle)->address; }
size_t EmulatedCard::Size(unsigned int handle) { return Find(handle)->size; }
unsigned int EmulatedCard::Flags(unsigned int handle) { return Find(handle)->flags; }

void EmulatedCard::Sync(unsigned int handle, bool to_device, size_t size, size_t offset) {
  const BufferPointer buffer = Find(handle);
  if (buffer->device.empty()) return;
  if (offset > buffer->size || size > buffer->size - offset) {
    throw std::out_of_range("a transfer beyond its buffer");
  }
  const std::lock_guard link(link_[to_device]);
  uint8_t* const device = buffer->device.data() + offset;
  uint8_t* const host = buffer->host + offset;
  std::memcpy(to_device ? device : host, to_device ? host : device, size);
  if (options_.pcie_gigabytes > 0) {
    std::this_thread::sleep_for(
        std::chrono::duration<double>(static_cast<double>(size) / (options_.pcie_gigabytes * 1e9)));
  }
  const std::lock_guard lock(mutex_);
  joules_ += static_cast<double>(size) * kJoulesPerByte;
}

void EmulatedCard::Execute(unsigned int handle) {
  BufferPointer command = Find(handle);
  SetState(command->host, ERT_CMD_STATE_QUEUED);
  {
    const std::lock_guard lock(mutex_);
    commands_.push_back(std::move(command));
  }
  changed_.notify_all();
}

bool EmulatedCard::WaitForCompletion(uint64_t* seen, std::chrono::milliseconds limit) {
  std::unique_lock lock(mutex_);
  const bool any = changed_.wait_for(lock, limit, [&] { return completions_ != *seen; });
  *seen = completions_;
  return any;
}

double EmulatedCard::Watts() {
  const std::lock_guard lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  const double seconds = std::chrono::duration<double>(now - measured_).count();
  constexpr double kLeastSeconds = 0.1;
  if (seconds >= kLeastSeconds) {
    watts_ = kIdleWatts + joules_ / seconds;
    joules_ = 0;
    measured_ = now;
  }
  return watts_;
}

uint8_t* EmulatedCard::View(uint64_t address, uint64_t size) {
  const std::lock_guard lock(mutex_);
  auto found = by_address_.upper_bound(address);
  if (found == by_address_.begin()) return nullptr;
  Buffer& buffer = *std::prev(found)->second;
  const uint64_t offset = address - buffer.address;
  if (offset > buffer.size || size > buffer.size - offset) return nullptr;
  return buffer.device.data() + offset;
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
    }
    Run(command.get());
    {
      const std::lock_guard lock(mutex_);
      ++completions_;
    }
    changed_.notify_all();
  }
}

std::string EmulatedCard::Fault() const {
  std::string word;
  if (!options_.fault_file.empty()) std::ifstream(options_.fault_file) >> word;
  return word;
}

void EmulatedCard::FlipABit(uint64_t descriptor) {
  constexpr uint64_t kOutputsField = 32;
  const uint8_t* field = View(descriptor + kOutputsField, sizeof(uint64_t));
  if (field == nullptr) return;
  uint64_t outputs = 0;
  std::memcpy(&outputs, field, sizeof(outputs));
  if (uint8_t* byte = View(outputs, 1)) *byte ^= 1;
}

void EmulatedCard::HangWhileTold() {
  constexpr auto kLookAgain = std::chrono::milliseconds(10);
  while (Fault() == "hang") {
    std::unique_lock lock(mutex_);
    if (changed_.wait_for(lock, kLookAgain, [this] { return stopping_; })) return;
  }
}

void EmulatedCard::Run(Buffer* command) {
  const std::string fault = Fault();
  if (fault == "error") return SetState(command->host, ERT_CMD_STATE_ERROR);
  if (fault == "hang") HangWhileTold();
  const auto start = std::chrono::steady_clock::now();
  const auto* packet = reinterpret_cast<ert_start_kernel_cmd*>(command->host);
  // Registers 0x10 and 0x14 of the kernel.
  const uint32_t* registers = packet->data + packet->extra_cu_masks;
  const uint64_t descriptor = registers[4] | uint64_t{registers[5]} << 32;
  int64_t cycles = 0;
  double products = 0;
  RunBatch(
      CardShape{}, [this](uint64_t address, uint64_t size) { return View(address, size); },
      descriptor,
      [&](const CardModel& model, int lanes, int frames) {
        products = static_cast<double>(model.entry_beats) * frames * model.shape.pes * lanes;
        return cycles = Cycles(model, lanes, frames);
      });
  if (options_.clock_megahertz > 0) {
    std::this_thread::sleep_until(start +
                                  std::chrono::duration_cast<std::chrono::nanoseconds>(
                                      std::chrono::duration<double, std::micro>(
                                          static_cast<double>(cycles) / options_.clock_megahertz)));
  }
  {
    const std::lock_guard lock(mutex_);
    joules_ += products * kJoulesPerProduct;
  }
  if (fault == "flip") FlipABit(descriptor);
  SetState(command->host, ERT_CMD_STATE_COMPLETED);
}

}  // namespace ese::emu
