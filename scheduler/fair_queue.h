// SPDX-License-Identifier: Apache-2.0
// The streams that wait for a channel. Tenants get fair shares; within a tenant the earliest
// deadline goes first.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "base/clock.h"
#include "scheduler/ready_queue.h"

namespace ese {

// The streams of one tenant, which share one weight. FairQueue creates and destroys tenants.
class Tenant : public ReadyItem {
 private:
  friend class FairQueue;
  std::string name_;
  double weight_ = 1;
  int streams_ = 0;
  ReadyQueue ready_;
  // Virtual time: frames taken, divided by the weight. It is a TimePoint only to fit the heap.
  TimePoint used_{};
};

// Weighted fair queueing by virtual start times (Goyal, Vin, Cheng: Start-time Fair Queuing, 1996):
// the next stream belongs to the waiting tenant with the least virtual time. Taking frames advances
// a tenant's virtual time by frames / weight. A tenant that returns after a pause continues at the
// current virtual time, so a pause earns no credit. It follows that
//   - while all waiting streams are taken in time, tenants affect only the order;
//   - when there is not enough for all, tenants that always wait get frames in proportion to their
//     weights;
//   - no tenant starves: its turn comes again once every other waiting tenant's virtual time has
//     passed its own.
// All operations are O(log streams + log tenants). Owns no streams. Not thread-safe.
class FairQueue {
 public:
  // Weights by tenant name, each > 0. Tenants that are not named have weight 1.
  explicit FairQueue(std::map<std::string, double> weights);
  ~FairQueue();

  // Call each once for every stream: Join when it is opened and Leave when it is closed. Leave also
  // removes the stream from the queue if it is waiting; afterwards Push ignores the stream.
  Tenant* Join(const std::string& name);
  void Leave(Tenant* tenant, ReadyItem* stream);

  bool empty() const { return size_ == 0; }
  int size() const { return size_; }

  // Does nothing if the stream has left. REQUIRES: the stream is not in the queue.
  void Push(Tenant* tenant, ReadyItem* stream, TimePoint deadline);
  // The stream that Pop removes and returns next. REQUIRES: !empty().
  ReadyItem* First() const;
  ReadyItem* Pop();
  // Charges the tenant for frames that were taken. A negative number refunds frames.
  void Charge(Tenant* tenant, int frames);

 private:
  static Tenant* Downcast(ReadyItem* item) { return static_cast<Tenant*>(item); }

  const std::map<std::string, double> weights_;
  std::map<std::string, std::unique_ptr<Tenant>> tenants_;  // tenants with open streams
  ReadyQueue waiting_;                                      // waiting tenants, by virtual time
  TimePoint virtual_now_{};                                 // that of the tenant popped last
  int size_ = 0;
};

}  // namespace ese
