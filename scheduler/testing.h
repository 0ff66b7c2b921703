// SPDX-License-Identifier: Apache-2.0
// Channels for tests: one that executes when the test says so, and one that is merely correct.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "accel/backend.h"
#include "accel/batch_worker.h"

namespace ese {

// Accepts a batch and keeps it until the test finishes or fails it; completions run on the test's
// thread. Several threads may submit, but only one at a time may play the puppeteer. Puppets whose
// names are alike up to the first '.' share an executor.
class PuppetChannel final : public Channel {
 public:
  PuppetChannel(std::shared_ptr<const Model> model, std::string name, int max_lanes);
  // REQUIRES: idle.
  ~PuppetChannel() override;

  absl::Status Submit(std::unique_ptr<Batch>* batch, Completion done) override;
  int max_lanes() const override { return max_lanes_; }
  const std::string& name() const override { return name_; }
  const std::string& executor() const override { return executor_; }
  const std::string& kernel() const override { return kernel_; }

  bool busy() const;
  // The batch in execution. REQUIRES: busy().
  const Batch& batch() const;
  // Batches accepted, and calls of Submit refused, so far.
  int accepted() const;
  int refused() const;

  // Computes the batch with ReferenceStep and completes it. REQUIRES: busy().
  void Finish(Duration compute_time = std::chrono::milliseconds(1));
  // Computes garbage into the out buffers and completes with the error. REQUIRES: busy().
  void Fail(const absl::Status& error);
  // The same, but completes with OK. REQUIRES: busy().
  void Spoil() { Fail(absl::OkStatus()); }
  // From now on Submit refuses with this error; OK ends that.
  void Refuse(const absl::Status& error);

 private:
  void Complete(std::unique_lock<std::mutex> lock, const absl::Status& status);

  const std::shared_ptr<const Model> model_;
  const std::string name_;
  const std::string executor_;
  const std::string kernel_ = "puppet";
  const int max_lanes_;

  mutable std::mutex mutex_;
  std::unique_ptr<Batch> batch_;
  Completion done_;
  absl::Status refusal_;
  int accepted_ = 0;
  int refused_ = 0;
};

// Executes batches with ReferenceStep on a thread of its own.
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
  BatchWorker worker_;  // last: it uses all of the above
};

// Executes a batch as every channel must, one ReferenceStep after another.
void RunReferenceBatch(const Model& model, Batch* batch);

}  // namespace ese
