// SPDX-License-Identifier: Apache-2.0
#include "accel/xrt/xrt_card.h"

#include <algorithm>
#include <boost/property_tree/json_parser.hpp>
#include <boost/property_tree/ptree.hpp>
#include <mutex>
#include <sstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "accel/xrt/xrt_batch_slot.h"
#include "accel/xrt/xrt_error.h"
#include "base/status.h"
#include "experimental/xrt_system.h"
#include "spdlog/spdlog.h"

namespace xrt_core {
// From libxrt_coreutil. XRT's public headers have no other way to ask for the version in use.
void get_xrt_build_info(boost::property_tree::ptree&);
}  // namespace xrt_core

namespace ese {
namespace {

using boost::property_tree::ptree;
namespace info = xrt::info;

constexpr const char* kVersion = "2.13.";
// The time between two attempts to open a card that no channel asks for.
constexpr Duration kFirstRest = std::chrono::milliseconds(500);
constexpr Duration kLongestRest = std::chrono::seconds(60);

// XRT's own maps of devices and kernels have no lock. This is a std::mutex because it needs
// try_lock.
std::mutex& Opening() {
  static std::mutex one_at_a_time;
  return one_at_a_time;
}

// For each device, XRT has a thread that accesses the device and the commands that it believes to
// be running, until the program ends. After a start that failed or a batch that did not end, that
// thread would access freed objects. So a lost device is never closed, which costs a file
// descriptor each time.
void KeepForever(std::shared_ptr<const void> object) {
  static Mutex mutex;
  static auto* const kept = new std::vector<std::shared_ptr<const void>>;
  const MutexLock lock(mutex);
  kept->push_back(std::move(object));
}

// Asks the card's management controller. Returns "" if it does not know.
std::string SerialOf(const xrt::device& device) {
  std::string serial;
  const absl::Status ignored = TranslateXrt("", [&] {
    std::istringstream json(device.get_info<info::device::platform>());
    ptree tree;
    boost::property_tree::read_json(json, tree);
    for (const auto& [key, platform] : tree.get_child("platforms")) {
      serial = platform.get("controller.card_mgmt_controller.serial_number", serial);
    }
  });
  return serial == "N/A" ? "" : serial;
}

// The driver answers a query for the name as long as the card is there.
bool Answers(const xrt::device& device) {
  if (!TranslateXrt("", [&] { device.get_info<info::device::name>(); }).ok()) return false;
  bool offline = false;  // not every driver reports this
  const absl::Status ignored =
      TranslateXrt("", [&] { offline = device.get_info<info::device::offline>(); });
  return !offline;
}

}  // namespace

absl::Status CheckXrtVersion(const std::string& version) {
  if (absl::StartsWith(version, kVersion)) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("XRT has version ", version, ", but cards need ",
                                             kVersion, "x; install libxrt1 of Debian 12"));
}

absl::StatusOr<int> CountXrtCards() {
  std::string version;
  unsigned int count = 0;
  ESE_RETURN_IF_ERROR(TranslateXrt("asking for the version of XRT", [&] {
    ptree tree;
    xrt_core::get_xrt_build_info(tree);
    version = tree.get<std::string>("version", "unknown");
  }));
  ESE_RETURN_IF_ERROR(CheckXrtVersion(version));
  const absl::Status found =
      TranslateXrt("looking for cards", [&] { count = xrt::system::enumerate_devices(); });
  if (found.ok()) return static_cast<int>(count);
  return absl::UnavailableError(absl::StrCat(
      found.message(), "; XILINX_XRT must name an installation of XRT (docs/cards.md)"));
}

absl::StatusOr<CardIdentity> Identify(int index, const xrt::device& device) {
  CardIdentity identity{.index = index, .serial = SerialOf(device)};
  ESE_RETURN_IF_ERROR(TranslateXrt(absl::StrCat("asking card ", index, " for its name"),
                                   [&] { identity.name = device.get_info<info::device::name>(); }));
  const absl::Status may_be_unknown =
      TranslateXrt("", [&] { identity.bdf = device.get_info<info::device::bdf>(); });
  return identity;
}

XrtCard::XrtCard(int index, std::shared_ptr<const XclbinFile> xclbin, const XrtOptions& options,
                 MetricsRegistry* metrics)
    : index_(index),
      name_(absl::StrCat("xrt", index)),
      title_(absl::StrCat("card ", index)),
      xclbin_(std::move(xclbin)),
      metrics_(metrics, {.index = index, .serial = {}}),
      sensors_(title_, {.interval = options.sensor_interval, .hot_celsius = options.hot_celsius},
               &metrics_),
      identity_{.index = index, .serial = {}},
      finished_(xclbin_->units.size()),
      rest_(kFirstRest),
      next_try_(Clock::Real()->Now() + rest_) {}

XrtCard::~XrtCard() {
  for (auto& slot : stuck_) KeepForever(std::move(slot));
}

CardIdentity XrtCard::identity() const {
  const MutexLock lock(mutex_);
  return identity_;
}

absl::StatusOr<std::shared_ptr<OpenCard>> XrtCard::Get() {
  const auto current = [this] {
    const MutexLock lock(mutex_);
    return open_;
  };
  if (auto open = current()) return open;
  const std::unique_lock opening(Opening(), std::try_to_lock);
  if (!opening.owns_lock()) {
    return absl::UnavailableError(
        absl::StrCat(title_, " is not open, and another thread is opening a card; try again"));
  }
  if (auto open = current()) return open;
  absl::StatusOr<std::shared_ptr<OpenCard>> opened = OpenNow();
  const MutexLock lock(mutex_);
  if (!opened.ok()) {
    metrics_.Count(CardFault::kOpen);
    Complain(opened.status());
    return opened;
  }
  open_ = *opened;
  complaint_.clear();
  metrics_.Opened();
  spdlog::info("{}: {} at {}, serial {}, xclbin {} from {}, {} units at {}", title_, identity_.name,
               identity_.bdf, identity_.serial.empty() ? "unknown" : identity_.serial,
               xclbin_->uuid, xclbin_->path, xclbin_->units.size(),
               xclbin_->clock_megahertz == 0 ? "an unknown clock"
                                             : absl::StrCat(xclbin_->clock_megahertz, " MHz"));
  return opened;
}

absl::StatusOr<std::shared_ptr<OpenCard>> XrtCard::OpenNow() {
  CardIdentity identity;
  bool identified = false;
  {
    const MutexLock lock(mutex_);
    identity = identity_;
    identified = identified_;
  }
  auto open = std::make_shared<OpenCard>();
  ESE_RETURN_IF_ERROR(TranslateXrt(absl::StrCat("opening ", title_), [&] {
    // A card may come back with another index.
    open->device =
        identified ? xrt::device(identity.bdf) : xrt::device(static_cast<unsigned int>(index_));
  }));
  if (!identified) {
    ESE_ASSIGN_OR_RETURN(identity, Identify(index_, open->device));
    metrics_.Identify(identity);
    const MutexLock lock(mutex_);
    identity_ = identity;
    identified_ = true;
  }
  ESE_RETURN_IF_ERROR(TranslateXrt(absl::StrCat("loading ", title_, " with ", xclbin_->path), [&] {
    const xrt::uuid uuid = open->device.load_xclbin(xclbin_->xclbin);
    for (const std::string& unit : xclbin_->units) {
      xrt::kernel kernel(open->device, uuid, unit);
      const xrt::memory_group group = kernel.group_id(0);
      open->units.push_back({.kernel = std::move(kernel), .group = group});
    }
  }));
  return open;
}

// Logs an error once, no matter how often opening the card is tried.
void XrtCard::Complain(const absl::Status& status) {
  if (status.message() == complaint_) return;
  complaint_ = std::string(status.message());
  spdlog::error("{} cannot be used and will be tried again: {}", title_, complaint_);
}

void XrtCard::Report(OpenCard* open, CardFault fault, const absl::Status& status, bool first) {
  if (first) ++alarms_;
  const bool gone = absl::IsNotFound(status);
  if (!gone && fault != CardFault::kGone) metrics_.Count(fault);
  if (!open->lost && (gone || !Answers(open->device))) Lose(open, std::string(status.message()));
}

void XrtCard::Lose(OpenCard* open, const std::string& reason) {
  if (open->lost.exchange(true)) return;
  {
    const MutexLock lock(mutex_);
    if (open_.get() == open) KeepForever(std::move(open_));
  }
  ++alarms_;
  metrics_.Count(CardFault::kGone);
  metrics_.Lost();
  spdlog::error("{} is lost; its batches run elsewhere, and it will be tried again: {}", title_,
                reason);
}

Duration XrtCard::Succeeded(int unit, TimePoint start) {
  ++successes_;
  const TimePoint now = Clock::Real()->Now();
  const MutexLock lock(mutex_);
  const TimePoint before = std::exchange(finished_[unit], now);
  return now - std::max(start, before);
}

void XrtCard::KeepStuck(std::unique_ptr<XrtBatchSlot> slot) {
  const MutexLock lock(mutex_);
  stuck_.push_back(std::move(slot));
}

bool XrtCard::IsStuck(const OpenCard* open, int unit) {
  const MutexLock lock(mutex_);
  std::erase_if(stuck_, [](const auto& slot) { return !slot->IsStuck(); });
  return std::ranges::any_of(
      stuck_, [&](const auto& slot) { return slot->open() == open && slot->unit() == unit; });
}

std::shared_ptr<OpenCard> XrtCard::GetNowAndThen() {
  const TimePoint now = Clock::Real()->Now();
  {
    const MutexLock lock(mutex_);
    if (open_ != nullptr) {
      rest_ = kFirstRest;
      next_try_ = now + rest_;
      return open_;
    }
    if (now < next_try_) return nullptr;
    rest_ = std::min(2 * rest_, kLongestRest);
    next_try_ = now + rest_;
  }
  auto open = Get();
  return open.ok() ? *std::move(open) : nullptr;
}

absl::StatusOr<SensorReadings> XrtCard::ReadSensors() {
  const auto open = GetNowAndThen();
  if (open == nullptr) return absl::NotFoundError(absl::StrCat(title_, " is not open"));
  std::string electrical, thermal;
  const absl::Status read = TranslateXrt(absl::StrCat("reading the sensors of ", title_), [&] {
    electrical = open->device.get_info<info::device::electrical>();
    thermal = open->device.get_info<info::device::thermal>();
  });
  // This comes last, because if the card was lost during the readings, its sensors are not broken.
  if (!Answers(open->device)) {
    Lose(open.get(), "it does not answer");
    return absl::NotFoundError(absl::StrCat(title_, " does not answer"));
  }
  ESE_RETURN_IF_ERROR(read);
  return ParseSensors(electrical, thermal);
}

}  // namespace ese
