// SPDX-License-Identifier: Apache-2.0
// The streams that wait for a channel: fair shares between tenants, and within a tenant the
// earliest deadline first.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "base/clock.h"
#include "scheduler/ready_queue.h"

namespace ese {

// Those whose streams share what is one's due. Tenants are made and forgotten by FairQueue.
class Tenant : public ReadyItem {
 private:
  friend class FairQueue;
  std::string name_;
  double weight_ = 1;
  int streams_ = 0;
  ReadyQueue ready_;
  // Frames taken, divided by the weight: the tenant's virtual time (a TimePoint to fit the heap).
  TimePoint used_{};
};

// Weighted fair queueing by virtual start times (Goyal, Vin, Cheng: Start-time Fair Queuing, 1996):
// the next stream is one of the tenant with the least virtual time among those that wait, and what
// is taken moves that time on by frames / weight. A tenant that comes back after a pause begins at
// the present virtual time: nobody saves up. So
//   - while all waiting streams are taken in time, tenants do not matter but for the order;
//   - where there is not enough for all, tenants that always wait get frames as their weights are;
//   - each of them is taken from again after the others have had frames for as much virtual time as
//     one of its own batches moved it on: none starves.
// All operations are O(log streams + log tenants). Owns no streams. Not thread-safe.
class FairQueue {
 public:
  // Weights by name, each > 0; 1 for tenants that are not named.
  explicit FairQueue(std::map<std::string, double> weights);
  ~FairQueue();

  // For each stream once, at its beginning and end. Leave also removes the stream if it waits, and
  // never lets it in again: it is about to be destroyed.
  Tenant* Join(const std::string& name);
  void Leave(Tenant* tenant, ReadyItem* stream);

  bool empty() const { return size_ == 0; }
  int size() const { return size_; }

  // Does nothing if the stream has left. REQUIRES: the stream is not in a queue.
  void Push(Tenant* tenant, ReadyItem* stream, TimePoint deadline);
  // The stream that Pop removes next. REQUIRES: !empty().
  ReadyItem* First() const;
  ReadyItem* Pop();
  // So many frames of the tenant were taken; fewer than charged before if negative.
  void Charge(Tenant* tenant, int frames);

 private:
  static Tenant* Downcast(ReadyItem* item) { return static_cast<Tenant*>(item); }

  const std::map<std::string, double> weights_;
  std::map<std::string, std::unique_ptr<Tenant>> tenants_;  // those with streams
  ReadyQueue waiting_;                                      // tenants by virtual time
  TimePoint virtual_now_{};                                 // of the tenant popped last
  int size_ = 0;
};

}  // namespace ese
