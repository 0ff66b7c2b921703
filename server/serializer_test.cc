#include "server/serializer.h"

#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ese {
namespace {

TEST(SerializerTest, WorkGivenByWorkRunsAfterIt) {
  Serializer serializer;
  std::vector<int> order;
  serializer.Run([&] {
    serializer.Run([&] { order.push_back(2); });
    order.push_back(1);
  });
  EXPECT_THAT(order, testing::ElementsAre(1, 2));
}

TEST(SerializerTest, WorkOfManyThreadsRunsOneAtATimeAndNoneIsLost) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 10000;
  Serializer serializer;
  int64_t unguarded = 0;
  std::vector<int> last(kThreads, -1);
  bool ordered = true;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < kRounds; ++i) {
          serializer.Run([&, t, i] {
            ++unguarded;
            ordered = ordered && last[t] == i - 1;
            last[t] = i;
          });
        }
      });
    }
  }
  EXPECT_EQ(unguarded, kThreads * kRounds);
  EXPECT_TRUE(ordered);
}

}  // namespace
}  // namespace ese
