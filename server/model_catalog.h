// SPDX-License-Identifier: Apache-2.0
// The models that a server serves: for each name the version that serves new streams, and the
// retired versions, which only continue the streams that they have.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "ese/v1/speech.pb.h"
#include "features/fbank.h"
#include "model/model.h"
#include "scheduler/scheduler.h"
#include "scheduler/scheduler_metrics.h"

namespace ese {

// One version of a model, with its scheduler. Whoever holds it may use the scheduler; every stream
// holds the version that it runs on.
struct ServedModel {
  std::shared_ptr<const Model> model;
  std::shared_ptr<const FbankTables> fbank;   // null if the model takes features only
  std::unique_ptr<SchedulerMetrics> metrics;  // of the scheduler; may be null
  std::unique_ptr<Scheduler> scheduler;       // null only in tests that need no scheduler
};

// Returns the filter-bank tables for the model's audio settings, or null if the model takes
// features only. INVALID_ARGUMENT: the settings cannot be used.
absl::StatusOr<std::shared_ptr<const FbankTables>> FbankTablesOf(const Model& model);

// Thread-safe. Each method holds one lock for a short time.
class ModelCatalog {
 public:
  using ServedPtr = std::shared_ptr<const ServedModel>;

  // At most this many retired versions without streams stay loaded. If there are more, those that
  // were retired first are dropped before their grace period ends.
  static constexpr int kMaxIdle = 4;

  // A retired version stays for `resume_grace` after its last stream has ended. `clock` must
  // outlive the catalog.
  ModelCatalog(Clock* clock, Duration resume_grace);

  // From now on this version serves all new streams that ask for its name. Retires the version that
  // did so before, if there is one.
  void Publish(ServedPtr served);
  // Publishes a retired version again. Returns false if the catalog does not have it.
  bool Reinstate(const std::string& name, const std::string& fingerprint);
  // Retires the version that serves new streams of this name, if there is one.
  void Withdraw(const std::string& name);
  // Removes and returns the retired versions whose time has come. Call it periodically. Destroying
  // the returned versions joins threads.
  std::vector<ServedPtr> TakeUnused();

  // Returns the version that serves new streams of this name; an empty name means the only model.
  // NOT_FOUND: there is none; the message lists the names. INVALID_ARGUMENT: the name is empty and
  // there are several models.
  absl::StatusOr<ServedPtr> Find(const std::string& name) const;
  // Returns the version with this fingerprint, retired or not, for a stream that resumes. An empty
  // name matches every model. FAILED_PRECONDITION: the catalog does not have it.
  absl::StatusOr<ServedPtr> FindVersion(const std::string& name,
                                        const std::string& fingerprint) const;

  // The versions that serve new streams.
  std::vector<ServedPtr> Current() const;
  // The retired versions, beginning with the one that was retired last.
  std::vector<ServedPtr> Retired() const;
  // Number of versions, current and retired.
  int size() const;

 private:
  struct RetiredVersion {
    ServedPtr served;
    std::optional<TimePoint> unused_since;
  };

  void PublishLocked(ServedPtr served) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Clock* const clock_;
  const Duration resume_grace_;

  mutable Mutex mutex_;
  std::vector<ServedPtr> current_ ABSL_GUARDED_BY(mutex_);       // one for each name
  std::vector<RetiredVersion> retired_ ABSL_GUARDED_BY(mutex_);  // in the order of retirement
};

// The description of a model that clients get.
v1::Model Describe(const Model& model);

}  // namespace ese
