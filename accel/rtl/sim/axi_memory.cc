// SPDX-License-Identifier: Apache-2.0
#include "accel/rtl/sim/axi_memory.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "accel/card/card_format.h"

namespace ese {

AxiMemory::AxiMemory(int beat_bytes, int read_ports, const AxiMemoryOptions& options, Store store)
    : beat_bytes_(beat_bytes),
      options_(options),
      store_(std::move(store)),
      random_(options.seed),
      reads_(read_ports) {
  for (Reader& reader : reads_) reader.signals.rdata.resize(beat_bytes);
  write_.wdata.resize(beat_bytes);
  write_.wstrb.resize(beat_bytes);
}

uint64_t AxiMemory::Allocate(size_t bytes) {
  const uint64_t address = kBase + bytes_.size();
  bytes_.resize((bytes_.size() + bytes + kCardAlignment - 1) / kCardAlignment * kCardAlignment);
  return address;
}

uint8_t* AxiMemory::Find(uint64_t address, uint64_t size) {
  if (store_) return store_(address, size);
  const bool inside = address >= kBase && address + size <= kBase + bytes_.size();
  return inside ? bytes_.data() + (address - kBase) : nullptr;
}

void AxiMemory::Write(uint64_t address, const std::vector<uint8_t>& bytes) {
  std::copy(bytes.begin(), bytes.end(), bytes_.begin() + static_cast<int64_t>(address - kBase));
}

void AxiMemory::Reset(bool asserted) {
  reset_ = asserted;
  for (Reader& reader : reads_) {
    reader.bursts.clear();
    reader.held = false;
    reader.was_arvalid = false;
    reader.signals.rvalid = false;
  }
  writes_.clear();
  responses_.clear();
  write_.bvalid = false;
}

bool AxiMemory::Chance() {
  if (hang_) return false;
  return options_.stall == 0 || random_() % 1000 >= options_.stall * 1000;
}

bool AxiMemory::TakeBeat() {
  if (options_.bandwidth == 0) return true;
  if (credit_ < 1) return false;
  credit_ -= 1;
  return true;
}

void AxiMemory::Drive() {
  ++cycle_;
  const bool refresh =
      options_.refresh_interval > 0 && cycle_ % options_.refresh_interval < options_.refresh_cycles;
  if (!refresh) credit_ = std::min(credit_ + options_.bandwidth, 4.0);
  if (refresh && options_.bandwidth > 0) credit_ = 0;
  // The ports take turns to be first, so each gets its share of the bandwidth.
  const size_t ports = reads_.size() + 1;
  for (size_t k = 0; k < ports; ++k) {
    const size_t port = (k + size_t(cycle_)) % ports;
    if (port < reads_.size()) {
      DriveRead(&reads_[port]);
    } else {
      DriveWrite();
    }
  }
}

void AxiMemory::Sample() {
  if (reset_) return;
  for (Reader& reader : reads_) SampleRead(&reader);
  SampleWrite();
}

void AxiMemory::CheckBurst(uint64_t address, int beats) {
  const uint64_t bytes = uint64_t(beats) * beat_bytes_;
  if (!store_ && Find(address, bytes) == nullptr) ++violations_;
  if (address / 4096 != (address + bytes - 1) / 4096) ++violations_;
  if (address % beat_bytes_ != 0) ++violations_;
}

void AxiMemory::DriveRead(Reader* reader) {
  ReadPort& port = reader->signals;
  port.arready = reader->bursts.size() < 64 && Chance();
  if (reader->held) return;  // valid stays until it is taken
  port.rvalid = false;
  if (reader->bursts.empty()) return;
  const Burst& burst = reader->bursts.front();
  if (burst.ready > cycle_ || !Chance() || !TakeBeat()) return;
  port.rvalid = true;
  port.rlast = burst.beats == 1;
  const uint8_t* bytes = Find(burst.address, beat_bytes_);
  port.rresp = burst.address == fail_at_ || bytes == nullptr ? 2 : 0;
  if (bytes != nullptr) std::memcpy(port.rdata.data(), bytes, beat_bytes_);
}

void AxiMemory::SampleRead(Reader* reader) {
  const ReadPort& port = reader->signals;
  if (reader->was_arvalid && (!port.arvalid || port.araddr != reader->was_araddr)) ++violations_;
  reader->was_arvalid = port.arvalid && !port.arready;
  reader->was_araddr = port.araddr;
  if (port.rvalid && port.rready) {
    Burst& burst = reader->bursts.front();
    burst.address += beat_bytes_;
    ++beats_read_;
    if (--burst.beats == 0) reader->bursts.pop_front();
  }
  reader->held = port.rvalid && !port.rready;
  if (port.arvalid && port.arready) {
    CheckBurst(port.araddr, port.arlen + 1);
    const int spread = options_.max_latency - options_.min_latency + 1;
    const int64_t latency = options_.min_latency + static_cast<int>(random_() % uint32_t(spread));
    reader->bursts.push_back({port.araddr, port.arlen + 1, cycle_ + latency});
  }
}

void AxiMemory::DriveWrite() {
  write_.awready = writes_.size() < 16 && Chance();
  write_.wready = !writes_.empty() && Chance() && (options_.bandwidth == 0 || credit_ >= 1);
  if (write_.bvalid) return;
  write_.bvalid = !responses_.empty() && Chance();
  if (write_.bvalid) write_.bresp = responses_.front();
}

void AxiMemory::SampleWrite() {
  if (write_.bvalid && write_.bready) {
    responses_.pop_front();
    write_.bvalid = false;
  }
  if (write_.wvalid && write_.wready) {
    credit_ -= 1;  // a beat that could have moved, but did not come, costs nothing
    Burst& burst = writes_.front();
    uint8_t* const bytes = Find(burst.address, beat_bytes_);
    for (int k = 0; k < beat_bytes_ && bytes != nullptr; ++k) {
      if (write_.wstrb[k]) bytes[k] = write_.wdata[k];
    }
    if (burst.address == fail_at_ || bytes == nullptr)
      burst.ready = 1;  // marks the burst to be answered with an error
    burst.address += beat_bytes_;
    --burst.beats;
    if (write_.wlast != (burst.beats == 0)) ++violations_;
    if (burst.beats == 0) {
      responses_.push_back(burst.ready ? 2 : 0);
      writes_.pop_front();
    }
  }
  if (write_.awvalid && write_.awready) {
    CheckBurst(write_.awaddr, write_.awlen + 1);
    writes_.push_back({write_.awaddr, write_.awlen + 1, 0});
  }
}

}  // namespace ese
