// SPDX-License-Identifier: Apache-2.0
#include "process/signals.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"

namespace ese {
namespace {

sigset_t HandledSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int handled : {SIGTERM, SIGINT, SIGQUIT, SIGHUP}) sigaddset(&signals, handled);
  return signals;
}

// Blocks the signals in this thread and in those that it starts, and returns a descriptor that
// reads them.
int OpenSignals() {
  for (const int ignored : {SIGPIPE, SIGUSR1, SIGUSR2}) std::signal(ignored, SIG_IGN);
  const sigset_t signals = HandledSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

const char* NameOf(int number) {
  switch (number) {
    case SIGTERM:
      return "SIGTERM";
    case SIGINT:
      return "SIGINT";
    default:
      return "SIGQUIT";
  }
}

}  // namespace

Signals::Signals() : signals_(OpenSignals()), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Signals::~Signals() { Stop(); }

void Signals::Start(Actions actions) {
  actions_ = std::move(actions);
  thread_ = std::thread([this] { Run(); });
}

void Signals::Stop() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  Wake();
  if (thread_.joinable()) thread_.join();
  const sigset_t signals = HandledSignals();
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
}

void Signals::BeginServing() {
  const MutexLock lock(mutex_);
  serving_ = true;
}

const char* Signals::WaitForDrain(Duration limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  const MutexLock lock(mutex_);
  while (received_ == 0 && changed_.WaitUntil(mutex_, end)) {
  }
  return first_;
}

bool Signals::second() const {
  const MutexLock lock(mutex_);
  return received_ > 1;
}

void Signals::EndWithin(Duration limit) {
  {
    const MutexLock lock(mutex_);
    deadline_ = Clock::Real()->Now() + limit;
  }
  Wake();
}

void Signals::Wake() {
  eventfd_write(wake_.get(), 1);  // it fails only if the event is already set
}

int Signals::PollLimit() const {
  const MutexLock lock(mutex_);
  if (!deadline_) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline_ - Clock::Real()->Now());
  return static_cast<int>(std::clamp<int64_t>(left.count(), 0, INT32_MAX));
}

void Signals::Run() {
  pthread_setname_np(pthread_self(), "ese-signals");
  for (;;) {
    pollfd ready[] = {{.fd = signals_.get(), .events = POLLIN, .revents = 0},
                      {.fd = wake_.get(), .events = POLLIN, .revents = 0}};
    poll(ready, 2, PollLimit());
    eventfd_t count = 0;
    eventfd_read(wake_.get(), &count);
    {
      const MutexLock lock(mutex_);
      if (stopping_) return;
    }
    signalfd_siginfo signal = {};
    while (read(signals_.get(), &signal, sizeof signal) == sizeof signal) {
      Receive(static_cast<int>(signal.ssi_signo));
    }
    CheckDeadline();
  }
}

void Signals::Receive(int number) {
  std::string reason;
  bool reload = false;
  {
    const MutexLock lock(mutex_);
    if (number == SIGHUP) {
      reload = serving_ && received_ == 0;
    } else if (number == SIGQUIT) {
      reason = "received SIGQUIT; ending at once";
    } else if (!serving_) {
      reason = absl::StrCat("received ", NameOf(number), " before the server was ready; ending");
    } else if (++received_ > 2) {
      reason = absl::StrCat("received ", NameOf(number), " for the third time; ending at once");
    } else if (received_ == 1) {
      first_ = NameOf(number);
    }
    changed_.NotifyAll();
  }
  if (reload) actions_.reload();
  if (!reason.empty()) actions_.end_now(ExitStatus::kAtOnce, reason);
}

void Signals::CheckDeadline() {
  {
    const MutexLock lock(mutex_);
    if (!deadline_ || Clock::Real()->Now() < *deadline_) return;
    deadline_.reset();
  }
  actions_.end_now(ExitStatus::kStuck, "the server has not ended in time; ending at once");
}

}  // namespace ese
