// SPDX-License-Identifier: Apache-2.0
#include "process/threads.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <new>
#include <thread>

#include "gtest/gtest.h"

namespace ese {
namespace {

TEST(Threads, MayUsuallyStart) {
  EXPECT_TRUE(CheckThreadsCanStart(0).ok());
  EXPECT_TRUE(CheckThreadsCanStart(20).ok());
}

// Sanitizers reserve address space, which is what these tests limit.
#ifndef ESE_SANITIZED

// Forbids more address space, and with it the stacks of further threads.
void ForbidThreads() {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, size_t{1} << 30);
  pthread_setattr_default_np(&attributes);
  rlimit limit = {};
  getrlimit(RLIMIT_AS, &limit);
  limit.rlim_cur = size_t{1} << 30;
  setrlimit(RLIMIT_AS, &limit);
}

TEST(ThreadsDeathTest, ARefusalIsAStatusThatNamesTheRemedy) {
  EXPECT_EXIT(
      {
        ForbidThreads();
        const absl::Status status = CheckThreadsCanStart(3);
        std::fputs(std::string(status.message()).c_str(), stderr);
        _exit(absl::IsResourceExhausted(status) ? 0 : 1);
      },
      testing::ExitedWithCode(0), "only 0 of 3 threads.*ulimit -u");
}

TEST(ThreadsDeathTest, AnUncaughtRefusalEndsTheProgramWithItsOwnStatus) {
  EXPECT_EXIT(
      {
        ExplainMissingThreads();
        std::thread([] {
          ForbidThreads();
          std::thread([] {}).join();
        }).join();
      },
      testing::ExitedWithCode(7), "cannot start a thread: .*ulimit -u");
}

TEST(ThreadsDeathTest, OtherExceptionsStillAbort) {
  EXPECT_DEATH(
      {
        ExplainMissingThreads();
        std::thread([] { throw std::bad_alloc(); }).join();
      },
      "bad_alloc");
}

#endif

}  // namespace
}  // namespace ese
