// SPDX-License-Identifier: Apache-2.0
#include "scheduler/fair_queue.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace ese {
namespace {

// Virtual nanoseconds of a frame at weight 1. This is fine enough for weights up to 100, and at ten
// million frames a second the virtual clock still runs for thirty years.
constexpr double kFrame = 1000;

}  // namespace

FairQueue::FairQueue(std::map<std::string, double> weights) : weights_(std::move(weights)) {}

FairQueue::~FairQueue() = default;

Tenant* FairQueue::Join(const std::string& name) {
  std::unique_ptr<Tenant>& tenant = tenants_[name];
  if (tenant == nullptr) {
    tenant = std::make_unique<Tenant>();
    tenant->name_ = name;
    const auto weight = weights_.find(name);
    if (weight != weights_.end()) tenant->weight_ = weight->second;
  }
  ++tenant->streams_;
  return tenant.get();
}

void FairQueue::Leave(Tenant* tenant, ReadyItem* stream) {
  const int before = tenant->ready_.size();
  tenant->ready_.Retire(stream);
  size_ -= before - tenant->ready_.size();
  if (before > 0 && tenant->ready_.empty()) waiting_.Remove(tenant);
  if (--tenant->streams_ == 0) tenants_.erase(tenants_.find(tenant->name_));
}

void FairQueue::Push(Tenant* tenant, ReadyItem* stream, TimePoint deadline) {
  if (stream->retired()) return;  // its tenant may be gone as well
  if (tenant->ready_.empty()) {
    tenant->used_ = std::max(tenant->used_, virtual_now_);
    waiting_.Push(tenant, tenant->used_);
  }
  tenant->ready_.Push(stream, deadline);
  ++size_;
}

ReadyItem* FairQueue::First() const { return Downcast(waiting_.First())->ready_.First(); }

ReadyItem* FairQueue::Pop() {
  Tenant* const tenant = Downcast(waiting_.First());
  virtual_now_ = tenant->used_;
  ReadyItem* const stream = tenant->ready_.Pop();
  if (tenant->ready_.empty()) waiting_.Remove(tenant);
  --size_;
  return stream;
}

void FairQueue::Charge(Tenant* tenant, int frames) {
  tenant->used_ += Duration(static_cast<int64_t>(frames * kFrame / tenant->weight_));
  waiting_.Move(tenant, tenant->used_);
}

}  // namespace ese
