// SPDX-License-Identifier: Apache-2.0
#include "accel/emu/emulated_card.h"

#include <pthread.h>
#include <sys/prctl.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "accel/emu/descriptor.h"
#include "accel/emu/functional_unit.h"
#include "accel/emu/rtl_unit.h"

namespace ese::emu {
namespace {

// How often a waiting thread looks at the fault file.
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

std::chrono::nanoseconds Seconds(double seconds) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
      std::chrono::duration<double>(seconds));
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
  double memo_batches = 0;
  emu::FromEnvironment("ESE_EMU_MEMO", 0, &memo_batches);
  options.memo_batches = static_cast<int64_t>(memo_batches);
  const char* fidelity = std::getenv("ESE_EMU_FIDELITY");
  options.rtl = fidelity != nullptr && std::string_view(fidelity) == "rtl";
  if (fidelity != nullptr && !options.rtl && std::string_view(fidelity) != "functional") {
    throw std::invalid_argument(
        absl::StrCat("ESE_EMU_FIDELITY is \"", fidelity, "\"; it must be functional or rtl"));
  }
  if (const char* file = std::getenv("ESE_EMU_FAULT_FILE")) options.fault_file = file;
  options.cards = static_cast<int>(std::min(cards, 64.0));
  options.memory_mebibytes = static_cast<int64_t>(mebibytes);
  return options;
}

EmulatedCard::EmulatedCard(int index, const CardOptions& options, FaultFile* faults,
                           BatchMemo* memo)
    : index_(index),
      options_(options),
      faults_(faults),
      memo_(memo),
      memory_(static_cast<uint64_t>(options.memory_mebibytes) << 20) {}

EmulatedCard::~EmulatedCard() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    for (const auto& queue : queues_) queue->changed.NotifyAll();
  }
  for (std::thread& unit : units_) unit.join();
}

std::string EmulatedCard::bdf() const { return absl::StrFormat("0000:%02x:00.1", bus()); }

int EmulatedCard::Open() {
  LookForLoss();
  if (faults_->Has(Fault::kPermission, index_)) throw Error(EACCES, "failed to open the card");
  const MutexLock lock(mutex_);
  if (gone_) throw Error(ENODEV, "failed to open the card");
  return session_;
}

bool EmulatedCard::IsOver(int session) {
  LookForLoss();
  const MutexLock lock(mutex_);
  return gone_ || session != session_;
}

void EmulatedCard::Require(int session) {
  if (IsOver(session)) throw Error(ENODEV, "the card has fallen off the bus");
}

void EmulatedCard::LookForLoss() {
  {
    const MutexLock lock(mutex_);
    const bool gone = faults_->Has(Fault::kGone, index_);
    if (gone == std::exchange(gone_, gone) || !gone) return;
    ++session_;
    loaded_.clear();
    memory_.Lose();
    for (const auto& queue : queues_) {
      for (const Command& command : queue->waiting) SetState(command.packet, ERT_CMD_STATE_ABORT);
      if (queue->running != nullptr) SetState(queue->running, ERT_CMD_STATE_ABORT);
      queue->waiting.clear();
      queue->running.reset();
      queue->changed.NotifyAll();
    }
    ++completions_;
  }
  completed_.NotifyAll();
}

void EmulatedCard::Load(const std::string& xclbin_uuid, int compute_units) {
  if (faults_->Has(Fault::kBusy, index_)) {
    throw Error(EBUSY, "failed to load the xclbin: another program has one on this card");
  }
  const MutexLock lock(mutex_);
  if (loaded_ == xclbin_uuid) return;
  if (!loaded_.empty()) {
    throw Error(EBUSY, "failed to load the xclbin: another one is in use on this card");
  }
  for (int unit = static_cast<int>(units_.size()); unit < compute_units; ++unit) {
    std::unique_ptr<Unit> kernel =
        options_.rtl ? CreateRtlUnit() : std::make_unique<FunctionalUnit>(CardShape{}, memo_);
    queues_.push_back(std::make_unique<Queue>());
    units_.emplace_back([this, unit, kernel = std::move(kernel)] { Work(unit, kernel.get()); });
  }
  loaded_ = xclbin_uuid;
}

void EmulatedCard::Sync(unsigned int handle, bool to_device, size_t size, size_t offset) {
  const BufferPointer buffer = memory_.Find(handle);
  if (buffer->device.empty()) return;
  if (offset > buffer->size || size > buffer->size - offset) {
    throw std::out_of_range("a transfer beyond its buffer");
  }
  if (faults_->Has(Fault::kDma, index_)) throw Error(EIO, "failed to move a buffer by DMA");
  Link& link = links_[to_device];
  Clock::time_point end;
  {
    const MutexLock lock(link.mutex);
    const auto start = std::max(Clock::now(), link.free);
    uint8_t* const device = buffer->device.data() + offset;
    uint8_t* const host = buffer->host + offset;
    std::memcpy(to_device ? device : host, to_device ? host : device, size);
    if (to_device) buffer->Written();
    if (options_.pcie_gigabytes > 0) {
      link.free = start + Seconds(static_cast<double>(size) / (options_.pcie_gigabytes * 1e9));
    }
    end = link.free;
  }
  std::this_thread::sleep_until(end);
  power_.AddBytes(static_cast<double>(size));
}

void EmulatedCard::Execute(unsigned int handle) {
  const MutexLock lock(mutex_);  // so that the card is not lost before the buffer is queued
  BufferPointer packet = memory_.Find(handle);
  const auto* start = reinterpret_cast<ert_start_kernel_cmd*>(packet->host);
  const uint32_t mask = start->cu_mask;
  const uint32_t* registers = start->data + start->extra_cu_masks;
  const uint32_t* words = registers + kCardDescriptorRegister / sizeof(uint32_t);
  const uint64_t descriptor = words[0] | uint64_t{words[1]} << 32;
  SetState(packet, ERT_CMD_STATE_QUEUED);
  Queue* chosen = nullptr;
  size_t least = 0;
  for (size_t unit = 0; unit < queues_.size(); ++unit) {
    Queue* const queue = queues_[unit].get();
    const size_t load = queue->waiting.size() + (queue->running != nullptr);
    if ((mask >> unit & 1) == 0 || (chosen != nullptr && load >= least)) continue;
    chosen = queue;
    least = load;
  }
  if (chosen == nullptr) throw Error(EINVAL, "the command is for no compute unit of this card");
  chosen->waiting.push_back({std::move(packet), descriptor, Clock::now()});
  chosen->changed.NotifyAll();
}

bool EmulatedCard::WaitForCompletion(uint64_t* seen, std::chrono::milliseconds limit) {
  const auto end = Clock::now() + limit;
  while (true) {
    LookForLoss();
    const MutexLock lock(mutex_);
    const auto now = Clock::now();
    const auto look_again = std::min(end, now + kLookAgain);
    while (completions_ == *seen && completed_.WaitUntil(mutex_, look_again)) {
    }
    const bool any = completions_ != *seen;
    if (!any && now < end) continue;
    *seen = completions_;
    return any;
  }
}

void EmulatedCard::Work(int unit, Unit* kernel) {
  // The name tells the cost of the emulation from that of the host.
  pthread_setname_np(pthread_self(), "ese-emu");
  // Makes sleeps end within about 1 microsecond instead of 50.
  prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL);
  Clock::time_point free{};
  while (true) {
    Command command;
    {
      const MutexLock lock(mutex_);
      Queue& queue = *queues_[unit];
      while (queue.waiting.empty() && !stopping_) queue.changed.Wait(mutex_);
      if (stopping_) return;
      command = std::move(queue.waiting.front());
      queue.waiting.pop_front();
      queue.running = command.packet;
    }
    free = Run(unit, kernel, command, free);
  }
}

void EmulatedCard::Finish(int unit, const BufferPointer& packet, ert_cmd_state state) {
  {
    const MutexLock lock(mutex_);
    BufferPointer& running = queues_[unit]->running;
    if (running != packet) return;  // the card was lost meanwhile
    running.reset();
    SetState(packet, state);
    ++completions_;
  }
  completed_.NotifyAll();
}

void EmulatedCard::HangWhileTold(int unit, const BufferPointer& packet) {
  while (faults_->Has(Fault::kHang, index_, unit)) {
    LookForLoss();
    const MutexLock lock(mutex_);
    Queue& queue = *queues_[unit];
    const auto look_again = Clock::now() + kLookAgain;
    do {
      if (stopping_ || queue.running != packet) return;
    } while (queue.changed.WaitUntil(mutex_, look_again));
    if (stopping_ || queue.running != packet) return;
  }
}

EmulatedCard::Clock::time_point EmulatedCard::Run(int unit, Unit* kernel, const Command& command,
                                                  Clock::time_point free) {
  auto start = std::max(command.queued, free);
  if (faults_->Has(Fault::kHang, index_, unit)) {
    HangWhileTold(unit, command.packet);
    start = Clock::now();
  }
  PinnedMemory memory(&memory_);
  auto state = ERT_CMD_STATE_COMPLETED;
  UnitWork work;
  if (faults_->Has(Fault::kError, index_, unit)) {
    state = ERT_CMD_STATE_ERROR;
  } else if (const auto rule = faults_->Find(Fault::kKernelError, index_, unit)) {
    EndWithError(&memory, command.descriptor, static_cast<CardError>(rule->code));
  } else {
    work = kernel->Run(&memory, command.descriptor);
    if (faults_->Has(Fault::kFlip, index_, unit)) FlipABit(&memory, command.descriptor);
  }
  auto end = Clock::now();
  if (options_.clock_megahertz > 0 && !options_.rtl) {
    const int slower = faults_->Has(Fault::kHot, index_) ? kThrottle : 1;
    const auto takes =
        Seconds(static_cast<double>(work.cycles) * slower / (options_.clock_megahertz * 1e6));
    end = std::max(end, start + takes);
    std::this_thread::sleep_until(end);
  }
  power_.AddProducts(work.products);
  Finish(unit, command.packet, state);
  return end;
}

}  // namespace ese::emu
