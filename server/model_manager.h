// SPDX-License-Identifier: Apache-2.0
// Brings models into the catalog and out of it: those given at the start, and those of a watched
// folder as its files come, change and go. All of it happens on a thread of its own, so that
// streams notice nothing.
//
// Of several sources of one name, the one that was written last counts; when it goes, the one
// before it does. A version takes new streams once a channel has passed the known-answer test. What
// cannot be served is refused with one line in the log, and what was served stays.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "accel/backend.h"
#include "metrics/registry.h"
#include "scheduler/scheduler.h"
#include "server/model_catalog.h"
#include "server/model_directory.h"

namespace ese {

// Makes the channels that a model is to run on; at least one. Called by one thread at a time, also
// while the server serves.
using ChannelFactory = std::function<absl::StatusOr<std::vector<std::unique_ptr<Channel>>>(
    std::shared_ptr<const Model>)>;

class ModelManager {
 public:
  // `scheduler` is of each version. `catalog` and `metrics` must outlive this.
  ModelManager(SchedulerOptions scheduler, ChannelFactory make_channels, ModelCatalog* catalog,
               MetricsRegistry* metrics);
  // Stop, if it was not called.
  ~ModelManager();

  // Before Watch: serves a model for as long as no newer file of the folder has its name.
  // INVALID_ARGUMENT: one of that name was added, its audio settings do not fit, or it gets no
  // channel; the factory's errors. Its channels' tests go on after the return.
  absl::Status Add(std::shared_ptr<const Model> model);
  // Serves what is in the folder now, then looks at it every `interval` until Stop. An error: the
  // folder cannot be listed.
  absl::Status Watch(const std::string& folder, Duration interval);
  void Stop();

 private:
  struct Version {
    std::string name;
    std::string fingerprint;
    int64_t order = 0;                   // of the last write
    std::shared_ptr<const Model> model;  // null: in its file
  };
  struct Source {
    std::optional<Version> latest;
    std::optional<Version> former;  // what counts should the latest be refused
    bool is_file = false;
  };

  void Run(Duration interval);
  // One look at the folder, and all that follows from it.
  absl::Status Update();
  // Serves the newest version of each name, and no other name.
  void Settle();
  // Whether the version takes new streams, from now on or already.
  bool Serve(const std::string& source, const Version& version);
  absl::Status Load(const std::string& source, const Version& version);
  absl::StatusOr<std::shared_ptr<ServedModel>> Make(std::shared_ptr<const Model> model);
  // Waits for the tests of its channels.
  absl::Status Prove(const Scheduler& scheduler);
  void Refuse(const std::string& source, const absl::Status& status);
  void FreeUnused();
  void ShowVersions();

  const SchedulerOptions scheduler_options_;
  const ChannelFactory make_channels_;
  ModelCatalog* const catalog_;
  MetricsRegistry* const metrics_;
  Counter* const loaded_;
  Counter* const refused_;

  // Of whoever calls Add and Watch, then of the thread.
  std::optional<ModelDirectory> directory_;
  std::map<std::string, Source> sources_;  // by path
  int64_t order_ = 0;
  bool folder_is_lost_ = false;

  std::mutex mutex_;
  std::condition_variable stop_;
  bool stopping_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace ese
