// SPDX-License-Identifier: Apache-2.0
// The models that a server serves: of each name the version that takes new streams, and versions
// that have been retired and go on with the streams that they have.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "ese/v1/speech.pb.h"
#include "features/fbank.h"
#include "model/model.h"
#include "scheduler/scheduler.h"
#include "scheduler/scheduler_metrics.h"

namespace ese {

// One version of a model with what it runs on. Whoever holds it may use its scheduler; streams hold
// the version that they run on.
struct ServedModel {
  std::shared_ptr<const Model> model;
  std::shared_ptr<const FbankTables> fbank;   // null where the model takes features only
  std::unique_ptr<SchedulerMetrics> metrics;  // of the scheduler; may be null
  std::unique_ptr<Scheduler> scheduler;       // null only in tests of what needs no scheduler
};

// The tables of the model's audio settings; null where it takes features only. INVALID_ARGUMENT:
// the settings cannot be used.
absl::StatusOr<std::shared_ptr<const FbankTables>> FbankTablesOf(const Model& model);

// Thread-safe. Looking a model up costs a short lock.
class ModelCatalog {
 public:
  using ServedPtr = std::shared_ptr<const ServedModel>;

  // So many retired versions wait for streams that come back; of more, the first to have been
  // retired go without their grace.
  static constexpr int kMaxIdle = 4;

  // A retired version stays for `resume_grace` after its last stream. `clock` must outlive this.
  ModelCatalog(Clock* clock, Duration resume_grace);

  // From now on it takes the new streams of its name; the version that did is retired.
  void Publish(ServedPtr served);
  // Publishes a retired version again; false where it is not here.
  bool Reinstate(const std::string& name, const std::string& fingerprint);
  // Retires the version that takes new streams; there may be none.
  void Withdraw(const std::string& name);
  // The retired versions whose time has come. To be called now and then; destroying what it returns
  // joins threads.
  std::vector<ServedPtr> TakeUnused();

  // What takes new streams of this name. An empty name means the only model. NOT_FOUND lists the
  // names there are; INVALID_ARGUMENT: the name is empty and there are several.
  absl::StatusOr<ServedPtr> Find(const std::string& name) const;
  // The version with this fingerprint, retired or not, for streams that go on; an empty name means
  // any. FAILED_PRECONDITION where it is not here.
  absl::StatusOr<ServedPtr> FindVersion(const std::string& name,
                                        const std::string& fingerprint) const;

  // Those that take new streams, and the retired ones, the last to be retired first.
  std::vector<ServedPtr> Current() const;
  std::vector<ServedPtr> Retired() const;
  // Versions of both kinds.
  int size() const;

 private:
  struct RetiredVersion {
    ServedPtr served;
    std::optional<TimePoint> unused_since;
  };

  void PublishLocked(ServedPtr served);

  Clock* const clock_;
  const Duration resume_grace_;

  mutable std::mutex mutex_;
  // Guarded by mutex_:
  std::vector<ServedPtr> current_;       // one of each name
  std::vector<RetiredVersion> retired_;  // the first to be retired first
};

// What clients are told of a model.
v1::Model Describe(const Model& model);

}  // namespace ese
