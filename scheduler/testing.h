// SPDX-License-Identifier: Apache-2.0
// Channels for tests: one that executes when the test says so, and one that uses the reference.
#pragma once

#include <memory>
#include <string>

#include "accel/backend.h"
#include "accel/batch_worker.h"
#include "base/mutex.h"

namespace ese {

// Accepts a batch and keeps it until the test finishes or fails it. Completions run on the test's
// thread. Several threads may submit, but only one at a time may call Finish, Fail and Spoil.
// Puppets whose names are equal up to the first '.' share an executor.
class PuppetChannel final : public Channel {
 public:
  PuppetChannel(std::shared_ptr<const Model> model, std::string name, int max_lanes);
  // REQUIRES: !busy().
  ~PuppetChannel() override;

  absl::Status Submit(std::unique_ptr<Batch>* batch, Completion done) override;
  int max_lanes() const override { return max_lanes_; }
  const std::string& name() const override { return name_; }
  const std::string& executor() const override { return executor_; }
  const std::string& kernel() const override { return kernel_; }

  bool busy() const;
  // The batch that the channel has accepted. REQUIRES: busy().
  const Batch& batch() const;
  // How many batches Submit has accepted and refused so far.
  int accepted() const;
  int refused() const;

  // Computes the batch with ReferenceStep and completes it. REQUIRES: busy().
  void Finish(Duration compute_time = std::chrono::milliseconds(1));
  // Writes garbage to the out buffers and completes the batch with the error. REQUIRES: busy().
  void Fail(const absl::Status& error);
  // Writes garbage but completes with OK. REQUIRES: busy().
  void Spoil() { Fail(absl::OkStatus()); }
  // From now on Submit refuses with this error, or accepts again if the status is OK.
  void Refuse(const absl::Status& error);

 private:
  // A batch and its completion, taken out of the channel.
  struct Accepted {
    std::unique_ptr<Batch> batch;
    Completion done;
  };
  Accepted TakeAccepted() ABSL_LOCKS_EXCLUDED(mutex_);

  const std::shared_ptr<const Model> model_;
  const std::string name_;
  const std::string executor_;
  const std::string kernel_ = "puppet";
  const int max_lanes_;

  mutable Mutex mutex_;
  std::unique_ptr<Batch> batch_ ABSL_GUARDED_BY(mutex_);
  Completion done_ ABSL_GUARDED_BY(mutex_);
  absl::Status refusal_ ABSL_GUARDED_BY(mutex_);
  int accepted_ ABSL_GUARDED_BY(mutex_) = 0;
  int refused_ ABSL_GUARDED_BY(mutex_) = 0;
};

// Executes batches with ReferenceStep, on a thread of its own.
class ReferenceChannel final : public Channel {
 public:
  ReferenceChannel(std::shared_ptr<const Model> model, std::string name, int max_lanes);

  absl::Status Submit(std::unique_ptr<Batch>* batch, Completion done) override;
  int max_lanes() const override { return max_lanes_; }
  const std::string& name() const override { return name_; }
  const std::string& kernel() const override { return kernel_; }

 private:
  const std::shared_ptr<const Model> model_;
  const std::string name_;
  const std::string kernel_ = "reference";
  const int max_lanes_;
  BatchWorker worker_;  // last, because it uses all of the above
};

// Executes a batch with ReferenceStep. Every channel must give the same results.
void RunReferenceBatch(const Model& model, Batch* batch);

}  // namespace ese
