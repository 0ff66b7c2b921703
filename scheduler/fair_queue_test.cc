// SPDX-License-Identifier: Apache-2.0
#include "scheduler/fair_queue.h"

#include <map>
#include <vector>

#include "gtest/gtest.h"

namespace ese {
namespace {

TimePoint At(int64_t t) { return TimePoint(Duration(t)); }

struct Stream : ReadyItem {
  explicit Stream(Tenant* t) : tenant(t) {}
  Tenant* tenant;
};

TEST(FairQueueTest, ServesTheEarliestDeadlineFirstWithinATenant) {
  FairQueue queue({});
  Tenant* const tenant = queue.Join("");
  queue.Join("");
  Stream a(tenant), b(tenant);
  queue.Push(tenant, &a, At(2));
  queue.Push(tenant, &b, At(1));
  EXPECT_EQ(queue.size(), 2);
  EXPECT_EQ(queue.First(), &b);
  EXPECT_EQ(queue.Pop(), &b);
  queue.Charge(tenant, 1000);
  EXPECT_EQ(queue.Pop(), &a);
  EXPECT_TRUE(queue.empty());
  queue.Leave(tenant, &a);
  queue.Leave(tenant, &b);
}

// Takes `frames` frames of the first stream, n times, while all tenants always wait. Returns the
// frames of each tenant.
std::map<Tenant*, int> Serve(FairQueue* queue, std::vector<Stream>* streams, int frames, int n) {
  for (Stream& stream : *streams) queue->Push(stream.tenant, &stream, At(0));
  std::map<Tenant*, int> served;
  for (int i = 0; i < n; ++i) {
    auto* const stream = static_cast<Stream*>(queue->Pop());
    queue->Charge(stream->tenant, frames);
    served[stream->tenant] += frames;
    queue->Push(stream->tenant, stream, At(i + 1));
  }
  for (size_t i = 0; i < streams->size(); ++i) queue->Pop();
  return served;
}

TEST(FairQueueTest, SharesFollowTheWeightsRegardlessOfTheNumberOfStreams) {
  FairQueue queue({{"big", 3}, {"small", 0.5}});
  Tenant* const big = queue.Join("big");
  Tenant* const other = queue.Join("other");
  Tenant* const small = queue.Join("small");
  std::vector<Stream> streams;
  streams.emplace_back(big);
  for (int i = 0; i < 50; ++i) streams.emplace_back(other);
  for (int i = 0; i < 5; ++i) streams.emplace_back(small);
  auto served = Serve(&queue, &streams, 8, 4500);
  EXPECT_NEAR(served[big], 8 * 3000, 16);
  EXPECT_NEAR(served[other], 8 * 1000, 16);
  EXPECT_NEAR(served[small], 8 * 500, 16);
}

TEST(FairQueueTest, AnIdleTenantDoesNotAccumulateCredit) {
  FairQueue queue({});
  Tenant* const busy = queue.Join("busy");
  Tenant* const idle = queue.Join("idle");
  std::vector<Stream> streams = {Stream(busy)};
  Serve(&queue, &streams, 8, 1000);
  streams.emplace_back(idle);
  auto served = Serve(&queue, &streams, 8, 100);
  EXPECT_NEAR(served[idle], 400, 16);
}

TEST(FairQueueTest, GivesBackWhatWasChargedTooMuch) {
  FairQueue queue({});
  Tenant* const a = queue.Join("a");
  Tenant* const b = queue.Join("b");
  Stream of_a(a), of_b(b);
  queue.Push(a, &of_a, At(0));
  queue.Push(b, &of_b, At(0));
  queue.Charge(a, 16);
  queue.Charge(b, 10);
  EXPECT_EQ(queue.First(), &of_b);
  queue.Charge(a, -8);
  EXPECT_EQ(queue.First(), &of_a);
  queue.Leave(a, &of_a);
  EXPECT_EQ(queue.Pop(), &of_b);
  EXPECT_TRUE(queue.empty());
}

TEST(FairQueueTest, AStreamThatLeftStaysOutAndATenantEndsWithItsLastStream) {
  FairQueue queue({});
  Tenant* const a = queue.Join("a");
  ASSERT_EQ(queue.Join("a"), a);
  Stream first(a), second(a);
  queue.Push(a, &first, At(0));
  queue.Leave(a, &first);
  EXPECT_TRUE(queue.empty());
  queue.Leave(a, &second);
  queue.Push(a, &second, At(0));  // the tenant is gone
  EXPECT_TRUE(queue.empty());
}

}  // namespace
}  // namespace ese
