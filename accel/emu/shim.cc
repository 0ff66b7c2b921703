// SPDX-License-Identifier: Apache-2.0
// libxrt_core.so.2 with emulated cards. XRT loads it when XILINX_XRT names the parent of its lib
// directory.
#include <boost/any.hpp>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "accel/emu/emulated_card.h"
#include "accel/emu/xrt_core_abi.h"
#include "base/mutex.h"
#include "xclbin.h"

namespace ese::emu {
namespace {

// The queries of XRT 2.13 that an emulated card answers.
enum Key {
  kPcieBdf = 8,
  kRomVbnv = 12,
  kMaxPowerLevel = 40,
  kPowerWarning = 41,
  kNoDma = 62,
  kFpgaTemperature = 76,
  k12VoltMillivolts = 89,
  k12VoltMilliamps = 90,
  kPowerMicrowatts = 136,
  kCdmas = 138,
};

class Query final : public xrt_core::query::request {
 public:
  explicit Query(std::function<boost::any(const xrt_core::device*)> value)
      : value_(std::move(value)) {}
  boost::any get(const xrt_core::device* device) const override { return value_(device); }

 private:
  const std::function<boost::any(const xrt_core::device*)> value_;
};

// A handle of a card, like those that xclOpen of other shims returns.
struct Handle {
  Handle(EmulatedCard* its_card, int its_session) : card(its_card), session(its_session) {}

  EmulatedCard* const card;
  const int session;
  std::shared_ptr<xrt_core::device> device;
};

class Device final : public xrt_core::device {
 public:
  Device(Handle* handle, unsigned int id) : device(id), handle_(handle) {}

  // Throws if the session is over.
  EmulatedCard& card() const {
    handle_->card->Require(handle_->session);
    return *handle_->card;
  }

  void close_device() override { handle_->device.reset(); }
  void open_context(const unsigned char*, unsigned int, bool) override {}
  void close_context(const unsigned char*, unsigned int) override {}
  unsigned int alloc_bo(size_t size, unsigned int flags) override {
    return card().memory().Allocate(size, flags, nullptr);
  }
  unsigned int alloc_bo(void* host, size_t size, unsigned int flags) override {
    return card().memory().Allocate(size, flags, host);
  }
  // Destructors call it, so it works when the card is gone, too.
  void free_bo(unsigned int bo) override { handle_->card->memory().Free(bo); }
  void sync_bo(unsigned int bo, xclBOSyncDirection direction, size_t size, size_t offset) override {
    card().Sync(bo, direction == XCL_BO_SYNC_BO_TO_DEVICE, size, offset);
  }
  void* map_bo(unsigned int bo, bool) override { return card().memory().Find(bo)->host; }
  void unmap_bo(unsigned int, void*) override {}
  void get_bo_properties(unsigned int bo, xclBOProperties* properties) const override {
    const BufferPointer buffer = card().memory().Find(bo);
    *properties = {};
    properties->handle = bo;
    properties->flags = buffer->flags;
    properties->size = buffer->size;
    properties->paddr = buffer->address;
  }
  void exec_buf(unsigned int bo) override { card().Execute(bo); }
  // When the card is gone, this returns rather than fails, like the poll in which real shims wait.
  int exec_wait(int timeout_ms) const override {
    if (handle_->card->IsOver(handle_->session)) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));  // XRT may ask again at once
      return 1;
    }
    return handle_->card->WaitForCompletion(&seen_, std::chrono::milliseconds(timeout_ms)) ? 1 : 0;
  }
  void load_axlf(const axlf* xclbin) override;
  void* get_device_handle() const override { return handle_; }
  const xrt_core::query::request& lookup_query(xrt_core::query::key_type key) const override;

 private:
  Handle* const handle_;
  mutable uint64_t seen_ = 0;  // used by XRT's one monitor thread only
};

void Device::load_axlf(const axlf* xclbin) {
  int units = 0;
  for (uint32_t k = 0; k < xclbin->m_header.m_numSections; ++k) {
    const axlf_section_header& section = xclbin->m_sections[k];
    if (section.m_sectionKind != IP_LAYOUT) continue;
    units = reinterpret_cast<const ip_layout*>(reinterpret_cast<const char*>(xclbin) +
                                               section.m_sectionOffset)
                ->m_count;
  }
  card().Load(std::string(reinterpret_cast<const char*>(xclbin->m_header.uuid), sizeof(xuid_t)),
              units);
  register_axlf(xclbin);
}

const xrt_core::query::request& Device::lookup_query(xrt_core::query::key_type key) const {
  const auto sensor = [](double (*value)(EmulatedCard*)) {
    return Query([value](const xrt_core::device* device) {
      EmulatedCard& its_card = static_cast<const Device*>(device)->card();
      if (its_card.SensorsFail()) throw xrt_core::query::exception("the sensor cannot be read");
      return boost::any(static_cast<uint64_t>(value(&its_card)));
    });
  };
  static const auto* const queries = new std::map<int, Query>{
      {kPcieBdf, Query([](auto* device) {
         const uint16_t bus = static_cast<const Device*>(device)->card().bus();
         return boost::any(std::tuple<uint16_t, uint16_t, uint16_t, uint16_t>(0, bus, 0, 1));
       })},
      {kNoDma, Query([](auto*) { return boost::any(uint32_t{0}); })},
      {kCdmas, Query([](auto*) { return boost::any(uint32_t{0}); })},
      {kRomVbnv, Query([](auto*) { return boost::any(std::string("emulated_ese_card")); })},
      // 225 W. Without this and the next query XRT reports no power.
      {kMaxPowerLevel, Query([](auto*) { return boost::any(uint64_t{2}); })},
      {kPowerWarning, Query([](auto*) { return boost::any(false); })},
      {kFpgaTemperature, sensor([](EmulatedCard* card) { return double(card->Degrees()); })},
      {k12VoltMillivolts, sensor([](EmulatedCard*) { return kVolts * 1e3; })},
      {k12VoltMilliamps, sensor([](EmulatedCard* card) { return card->Watts() / kVolts * 1e3; })},
      {kPowerMicrowatts, sensor([](EmulatedCard* card) { return card->Watts() * 1e6; })},
  };
  card();  // throws if the card is gone
  const auto found = queries->find(static_cast<int>(key));
  if (found == queries->end()) throw xrt_core::query::no_such_key(key);
  return found->second;
}

class System final : public xrt_core::system {
 public:
  System() {
    CardOptions options;
    try {
      options = CardOptions::FromEnvironment();
    } catch (const std::exception& error) {
      // A global constructor must not throw; get_total_devices reports it.
      wrong_ = error.what();
      return;
    }
    faults_ = std::make_unique<FaultFile>(options.fault_file);
    if (options.memo_batches > 0) memo_ = std::make_unique<BatchMemo>(options.memo_batches);
    for (int k = 0; k < options.cards; ++k) {
      cards_.push_back(std::make_unique<EmulatedCard>(k, options, faults_.get(), memo_.get()));
    }
  }

  unsigned int get_device_id(const std::string& name) const override {
    for (size_t k = 0; k < cards_.size(); ++k) {
      if (cards_[k]->bdf() == name) return static_cast<unsigned int>(k);
    }
    return system::get_device_id(name);
  }
  std::pair<unsigned int, unsigned int> get_total_devices(bool) const override {
    if (!wrong_.empty()) throw std::runtime_error(wrong_);
    const auto count = static_cast<unsigned int>(cards_.size());
    return {count, count};
  }
  std::shared_ptr<xrt_core::device> get_userpf_device(unsigned int id) const override {
    if (id >= cards_.size()) {
      throw std::runtime_error(absl::StrCat("no card ", id, "; there are ", cards_.size()));
    }
    const int session = cards_[id]->Open();
    // XRT keys devices by handle until the process ends, so a handle is never reused.
    Handle* handle = nullptr;
    {
      const MutexLock lock(mutex_);
      handles_.push_back(std::make_unique<Handle>(cards_[id].get(), session));
      handle = handles_.back().get();
    }
    handle->device = xrt_core::get_userpf_device(handle, id);
    return handle->device;
  }
  std::shared_ptr<xrt_core::device> get_userpf_device(void* handle,
                                                      unsigned int id) const override {
    return std::make_shared<Device>(static_cast<Handle*>(handle), id);
  }
  std::shared_ptr<xrt_core::device> get_mgmtpf_device(unsigned int) const override {
    throw std::runtime_error("an emulated card has no management function");
  }

 private:
  std::string wrong_;  // with the environment
  std::unique_ptr<FaultFile> faults_;
  std::unique_ptr<BatchMemo> memo_;
  std::vector<std::unique_ptr<EmulatedCard>> cards_;
  mutable Mutex mutex_;
  mutable std::vector<std::unique_ptr<Handle>> handles_ ABSL_GUARDED_BY(mutex_);
};

System the_system;

}  // namespace
}  // namespace ese::emu
