// SPDX-License-Identifier: Apache-2.0
// Loads models into the catalog and unloads them: the models given at the start, and those of a
// watched folder as its files are added, changed and removed. The folder is watched on a separate
// thread, so that streams are not disturbed.
//
// If several sources have a model with the same name, the one that was written last is served. When
// it is removed, the one before it is served again. A version serves new streams once one of its
// channels has passed the known-answer test. A model that cannot be served is refused with one line
// in the log, and whatever was served before stays.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "accel/backend.h"
#include "base/mutex.h"
#include "metrics/registry.h"
#include "scheduler/scheduler.h"
#include "server/model_catalog.h"
#include "server/model_directory.h"

namespace ese {

// Makes the channels that a model runs on, at least one. It is called by only one thread at a time,
// and also while the server is serving.
using ChannelFactory = std::function<absl::StatusOr<std::vector<std::unique_ptr<Channel>>>(
    std::shared_ptr<const Model>)>;

class ModelManager {
 public:
  // Every version gets a scheduler with the options `scheduler`. `catalog` and `metrics` must
  // outlive the manager.
  ModelManager(SchedulerOptions scheduler, ChannelFactory make_channels, ModelCatalog* catalog,
               MetricsRegistry* metrics);
  // Calls Stop if nobody has.
  ~ModelManager();

  // Serves a model as long as no newer file in the folder holds a model of the same name. Does not
  // wait until its channels have passed their tests. REQUIRES: Watch has not been called.
  // INVALID_ARGUMENT: a model of that name was added before, its audio settings cannot be used, or
  // it gets no channel. Also returns the factory's errors.
  absl::Status Add(std::shared_ptr<const Model> model);
  // Serves the models that are in the folder now, then checks it every `interval` until Stop.
  // Returns an error if the folder cannot be listed.
  absl::Status Watch(const std::string& folder, Duration interval);
  // Makes the next check read every file, even those that have not changed, and makes that check
  // soon. Thread-safe.
  void ReadAgain() ABSL_LOCKS_EXCLUDED(mutex_);
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Version {
    std::string name;
    std::string fingerprint;
    int64_t order = 0;                   // increases with every write
    std::shared_ptr<const Model> model;  // null: read it from its file
  };
  struct Source {
    std::optional<Version> latest;
    std::optional<Version> former;  // replaces the latest if that is refused
    bool is_file = false;
  };

  void Run(Duration interval) ABSL_LOCKS_EXCLUDED(mutex_);
  // Waits for `limit` or until Stop; returns whether Stop was called.
  bool WaitForStop(Duration limit) ABSL_LOCKS_EXCLUDED(mutex_);
  // The same, but a call of ReadAgain also ends the wait.
  bool WaitForCheck(Duration limit) ABSL_LOCKS_EXCLUDED(mutex_);
  // Checks the folder once and acts on the changes.
  absl::Status Update();
  // Serves the newest version of each name, and withdraws names that have none.
  void ServeNewestVersions();
  // Makes the version serve new streams. Returns false if it had to be refused.
  bool Serve(const std::string& source, const Version& version);
  absl::Status Load(const std::string& source, const Version& version);
  absl::StatusOr<std::shared_ptr<ServedModel>> Make(std::shared_ptr<const Model> model);
  // Waits until the channels have been tested. UNAVAILABLE: none has passed.
  absl::Status WaitForTests(const Scheduler& scheduler);
  void Refuse(const std::string& source, const absl::Status& status);
  void UnloadUnused();
  void UpdateVersionMetrics();

  const SchedulerOptions scheduler_options_;
  const ChannelFactory make_channels_;
  ModelCatalog* const catalog_;
  MetricsRegistry* const metrics_;
  Counter* const loaded_;
  Counter* const refused_;

  // Used by the caller of Add and Watch, later by the thread only.
  std::optional<ModelDirectory> directory_;
  std::map<std::string, Source> sources_;  // by path
  int64_t order_ = 0;
  bool folder_is_lost_ = false;

  Mutex mutex_;
  CondVar stop_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool read_again_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace ese
