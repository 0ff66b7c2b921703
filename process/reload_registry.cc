// SPDX-License-Identifier: Apache-2.0
#include "process/reload_registry.h"

#include <pthread.h>

#include "spdlog/spdlog.h"

namespace ese {

ReloadRegistry::ReloadRegistry(std::function<void()> begin, std::function<void()> end)
    : begin_(std::move(begin)), end_(std::move(end)), thread_([this] { Run(); }) {}

ReloadRegistry::~ReloadRegistry() { Stop(); }

void ReloadRegistry::Add(std::string name, Reload reload) {
  const MutexLock lock(mutex_);
  reloads_.emplace_back(std::move(name), std::move(reload));
}

void ReloadRegistry::Request() {
  const MutexLock lock(mutex_);
  requested_ = true;
  changed_.NotifyAll();
}

void ReloadRegistry::Stop() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

void ReloadRegistry::Run() {
  pthread_setname_np(pthread_self(), "ese-reload");
  for (;;) {
    std::vector<std::pair<std::string, Reload>> reloads;
    {
      const MutexLock lock(mutex_);
      while (!requested_ && !stopping_) changed_.Wait(mutex_);
      if (stopping_) return;
      requested_ = false;
      reloads = reloads_;
    }
    if (begin_) begin_();
    for (const auto& [name, reload] : reloads) {
      const absl::Status status = reload();
      if (status.ok()) {
        spdlog::info("reloaded {}", name);
      } else {
        spdlog::error("cannot reload {}, and what was loaded before stays: {}", name,
                      std::string(status.message()));
      }
    }
    if (end_) end_();
  }
}

}  // namespace ese
