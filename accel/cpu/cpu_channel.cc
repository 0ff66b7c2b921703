// SPDX-License-Identifier: Apache-2.0
#include "accel/cpu/cpu_channel.h"

#include <pthread.h>
#include <sched.h>

#include <cstring>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "accel/batch_worker.h"
#include "accel/cpu/algorithm_plan.h"
#include "accel/cpu/batch_runner.h"
#include "accel/cpu/kernels/kernel_registry.h"
#include "accel/cpu/packed_model.h"
#include "base/status.h"
#include "spdlog/spdlog.h"

namespace ese {
namespace {

class CpuChannel final : public Channel {
 public:
  CpuChannel(std::shared_ptr<const PackedModel> model, const Kernel* kernel,
             const AlgorithmPlan& plan, int threads, const std::string& name)
      : model_(std::move(model)),
        name_(name),
        kernel_(kernel->name()),
        runner_(model_, kernel, plan, threads),
        worker_(name, "ese-channel", [this](Batch* batch) {
          runner_.Run(batch);
          return absl::OkStatus();
        }) {}

  // Pins the channel's threads to `processor` and the processors that follow it.
  absl::Status Pin(int processor) {
    ESE_RETURN_IF_ERROR(Pin(&worker_.thread(), processor));
    for (std::thread& thread : runner_.team().others()) {
      ESE_RETURN_IF_ERROR(Pin(&thread, ++processor));
    }
    return absl::OkStatus();
  }

  absl::Status Submit(std::unique_ptr<Batch>* batch, Completion done) override {
    ESE_RETURN_IF_ERROR(ValidateBatch(model_->model(), **batch, kMaxLanes));
    return worker_.Submit(batch, std::move(done));
  }

  int max_lanes() const override { return kMaxLanes; }
  const std::string& name() const override { return name_; }
  const std::string& kernel() const override { return kernel_; }

 private:
  absl::Status Pin(std::thread* thread, int processor) {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (processor < CPU_SETSIZE) CPU_SET(processor, &set);
    const int error = pthread_setaffinity_np(thread->native_handle(), sizeof(set), &set);
    if (error == 0) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("cannot pin channel ", name_, " to processor ", processor, ": ",
                     std::strerror(error), "; choose one that this machine has, or -1 for none"));
  }

  const std::shared_ptr<const PackedModel> model_;
  const std::string name_;
  const std::string kernel_;
  BatchRunner runner_;  // used by the worker only
  BatchWorker worker_;  // last, because it uses all of the above
};

}  // namespace

absl::StatusOr<std::vector<std::unique_ptr<Channel>>> CreateCpuChannels(
    std::shared_ptr<const Model> model, const CpuChannelOptions& options) {
  ESE_ASSIGN_OR_RETURN(const Kernel* kernel, ChooseKernel(options.kernel));
  if (options.threads < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("a channel cannot have ", options.threads, " threads; it takes at least 1"));
  }
  if (options.threads > 1 && kernel->lookup() == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("kernel ", kernel->name(), " cannot divide a step between ", options.threads,
                     " threads; use 1 thread, or a kernel that has look-up, such as portable"));
  }
  ESE_ASSIGN_OR_RETURN(const auto packed, PackedModel::Create(std::move(model)));
  const AlgorithmPlan plan = AlgorithmPlan::Measure(packed, kernel);
  spdlog::debug("model {}: kernel {}, look-up for these numbers of lanes: {}", packed->model().name,
                kernel->name(), plan.LookupLanes());
  std::vector<std::unique_ptr<Channel>> channels;
  for (int i = 0; i < options.count; ++i) {
    auto channel =
        std::make_unique<CpuChannel>(packed, kernel, plan, options.threads, absl::StrCat("cpu", i));
    if (options.first_processor >= 0) {
      ESE_RETURN_IF_ERROR(channel->Pin(options.first_processor + i * options.threads));
    }
    channels.push_back(std::move(channel));
  }
  return channels;
}

}  // namespace ese
