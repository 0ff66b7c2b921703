// SPDX-License-Identifier: Apache-2.0
#include "process/threads.h"

#include <unistd.h>

#include <cstdlib>
#include <exception>
#include <system_error>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "process/exit_status.h"
#include "process/process.h"

namespace ese {
namespace {

constexpr char kRemedy[] =
    "raise the limit (ulimit -u, ulimit -v, systemd's TasksMax, or pids.max of the control group), "
    "or lower --loops, --channels and --channel-threads";

void Terminate() {
  if (const std::exception_ptr exception = std::current_exception()) {
    try {
      std::rethrow_exception(exception);
    } catch (const std::system_error& error) {
      if (error.code() == std::errc::resource_unavailable_try_again) {
        WriteError(
            absl::StrCat("ese-server: cannot start a thread: ", error.what(), "; ", kRemedy, "\n"));
        _exit(static_cast<int>(ExitStatus::kNoResources));
      }
      WriteError(absl::StrCat("ese-server: ", error.what(), "\n"));
    } catch (const std::exception& error) {
      WriteError(absl::StrCat("ese-server: ", error.what(), "\n"));
    } catch (...) {
      WriteError("ese-server: an unknown exception\n");
    }
  }
  std::abort();
}

}  // namespace

absl::Status CheckThreadsCanStart(int count) {
  Mutex mutex;
  CondVar changed;
  bool end = false;
  std::vector<std::thread> threads;
  threads.reserve(static_cast<size_t>(count));
  absl::Status status;
  try {
    while (static_cast<int>(threads.size()) < count) {
      threads.emplace_back([&] {
        const MutexLock lock(mutex);
        while (!end) changed.Wait(mutex);
      });
    }
  } catch (const std::system_error& error) {
    status = absl::ResourceExhaustedError(
        absl::StrCat("the system lets this process start only ", threads.size(), " of ", count,
                     " threads that it needs: ", error.what(), "; ", kRemedy));
  }
  {
    const MutexLock lock(mutex);
    end = true;
    changed.NotifyAll();
  }
  for (std::thread& thread : threads) thread.join();
  return status;
}

void ExplainMissingThreads() { std::set_terminate(Terminate); }

}  // namespace ese
