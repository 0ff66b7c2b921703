// SPDX-License-Identifier: Apache-2.0
#include "server/model_manager.h"

#include <pthread.h>

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "spdlog/spdlog.h"

namespace ese {
namespace {

// How long to wait until the channels have been tested.
constexpr Duration kTestLimit = std::chrono::seconds(30);
constexpr Duration kTestInterval = std::chrono::milliseconds(5);

std::string VersionOf(const std::string& fingerprint) { return fingerprint.substr(0, 8); }

Labels LabelsOf(const Model& model) {
  return {{"model", model.name}, {"version", VersionOf(model.fingerprint())}};
}

Counter* LoadsCounter(MetricsRegistry* metrics, const char* result) {
  return metrics->GetCounter("ese_model_loads_total",
                             "Attempts to load a model, by whether it could be served.",
                             {{"result", result}});
}

}  // namespace

ModelManager::ModelManager(SchedulerOptions scheduler, ChannelFactory make_channels,
                           ModelCatalog* catalog, MetricsRegistry* metrics)
    : scheduler_options_(std::move(scheduler)),
      make_channels_(std::move(make_channels)),
      catalog_(catalog),
      metrics_(metrics),
      loaded_(LoadsCounter(metrics, "ok")),
      refused_(LoadsCounter(metrics, "refused")) {}

ModelManager::~ModelManager() { Stop(); }

absl::Status ModelManager::Add(std::shared_ptr<const Model> model) {
  Source& source = sources_[absl::StrCat("model ", model->name)];
  if (source.latest) {
    return absl::InvalidArgumentError(
        absl::StrCat("two models are named \"", model->name,
                     "\"; clients choose by name, so serve only one of them, or rename one"));
  }
  source.latest = {model->name, model->fingerprint(), ++order_, model};
  ESE_ASSIGN_OR_RETURN(auto served, Make(std::move(model)));
  catalog_->Publish(std::move(served));
  loaded_->Increment();
  UpdateVersionMetrics();
  return absl::OkStatus();
}

absl::Status ModelManager::Watch(const std::string& folder, Duration interval) {
  directory_.emplace(folder);
  ESE_RETURN_IF_ERROR(Update());
  thread_ = std::thread([this, interval] { Run(interval); });
  return absl::OkStatus();
}

void ModelManager::ReadAgain() {
  const MutexLock lock(mutex_);
  read_again_ = true;
  stop_.NotifyAll();
}

void ModelManager::Stop() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  stop_.NotifyAll();
  if (thread_.joinable()) thread_.join();
}

void ModelManager::Run(Duration interval) {
  pthread_setname_np(pthread_self(), "ese-models");
  while (!WaitForCheck(interval)) {
    const absl::Status status = Update();
    if (!status.ok() && !folder_is_lost_) {
      spdlog::error("{}; the loaded models are still served", std::string(status.message()));
    }
    folder_is_lost_ = !status.ok();
  }
}

bool ModelManager::WaitForStop(Duration limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  const MutexLock lock(mutex_);
  while (!stopping_ && stop_.WaitUntil(mutex_, end)) {
  }
  return stopping_;
}

bool ModelManager::WaitForCheck(Duration limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  const MutexLock lock(mutex_);
  while (!stopping_ && !read_again_ && stop_.WaitUntil(mutex_, end)) {
  }
  if (std::exchange(read_again_, false)) directory_->Forget();
  return stopping_;
}

absl::Status ModelManager::Update() {
  auto changes = directory_->Poll();
  if (changes.ok()) {
    for (const std::string& path : changes->gone) sources_.erase(path);
    for (ModelDirectory::File& file : changes->read) {
      if (!file.model.ok()) {
        Refuse(file.path, file.model.status());
        continue;
      }
      Source& source = sources_[file.path];
      source.is_file = true;
      source.former = std::move(source.latest);
      const Model& model = **file.model;
      source.latest = {model.name, model.fingerprint(), ++order_, *std::move(file.model)};
    }
    if (!changes->gone.empty() || !changes->read.empty()) ServeNewestVersions();
  }
  UnloadUnused();
  UpdateVersionMetrics();
  return changes.status();
}

void ModelManager::ServeNewestVersions() {
  std::set<std::string> served;
  for (bool done = false; !done;) {
    std::map<std::string, std::pair<const std::string, Source>*> newest;
    for (auto& entry : sources_) {
      if (!entry.second.latest) continue;
      const Version& version = *entry.second.latest;
      auto& best = newest[version.name];
      if (best == nullptr || best->second.latest->order < version.order) best = &entry;
    }
    done = true;
    served.clear();
    for (auto& [name, entry] : newest) {
      auto& [path, source] = *entry;
      served.insert(name);
      if (Serve(path, *source.latest)) continue;
      source.latest = std::exchange(source.former, std::nullopt);
      done = false;
    }
  }
  for (auto& [path, source] : sources_) {
    source.former.reset();
    if (source.is_file && source.latest) source.latest->model.reset();
  }
  for (const auto& current : catalog_->Current()) {
    const std::string& name = current->model->name;
    if (served.contains(name)) continue;
    catalog_->Withdraw(name);
    spdlog::info("model \"{}\" takes no new streams, because no file contains it any more", name);
  }
}

bool ModelManager::Serve(const std::string& source, const Version& version) {
  const auto current = catalog_->Current();
  const bool is_current = std::ranges::any_of(current, [&version](const auto& served) {
    return served->model->name == version.name &&
           served->model->fingerprint() == version.fingerprint;
  });
  if (is_current) return true;
  if (!catalog_->Reinstate(version.name, version.fingerprint)) {
    const absl::Status status = Load(source, version);
    if (!status.ok()) {
      Refuse(source, status);
      return false;
    }
  }
  spdlog::info("new streams of model \"{}\" use version {} from {}", version.name,
               VersionOf(version.fingerprint), source);
  return true;
}

absl::Status ModelManager::Load(const std::string& source, const Version& version) {
  std::shared_ptr<const Model> model = version.model;
  if (model == nullptr) {
    ESE_ASSIGN_OR_RETURN(model, ModelDirectory::Read(source));
    if (model->fingerprint() != version.fingerprint) {
      return absl::AbortedError(
          absl::StrCat(source, " has changed since it was checked; it will be read again"));
    }
  }
  ESE_ASSIGN_OR_RETURN(auto served, Make(std::move(model)));
  ESE_RETURN_IF_ERROR(WaitForTests(*served->scheduler));
  catalog_->Publish(std::move(served));
  loaded_->Increment();
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<ServedModel>> ModelManager::Make(
    std::shared_ptr<const Model> model) {
  ESE_ASSIGN_OR_RETURN(auto fbank, FbankTablesOf(*model));
  ESE_ASSIGN_OR_RETURN(auto channels, make_channels_(model));
  if (channels.empty()) {
    return absl::InvalidArgumentError("a model needs at least one channel to run on");
  }
  const Labels labels = LabelsOf(*model);
  std::shared_ptr<ServedModel> served(new ServedModel,
                                      [metrics = metrics_, labels](ServedModel* last) {
                                        delete last;
                                        metrics->Remove(labels);
                                      });
  served->model = model;
  served->fbank = std::move(fbank);
  served->metrics = std::make_unique<SchedulerMetrics>(metrics_, labels);
  served->scheduler =
      std::make_unique<Scheduler>(std::move(model), std::move(channels), scheduler_options_,
                                  Clock::Real(), served->metrics.get());
  return served;
}

absl::Status ModelManager::WaitForTests(const Scheduler& scheduler) {
  const TimePoint end = Clock::Real()->Now() + kTestLimit;
  while (true) {
    const int working = scheduler.working_channels();
    const int proven = scheduler.proven_channels();
    if (working > 0 && proven >= working) return absl::OkStatus();
    const bool late = Clock::Real()->Now() >= end;
    if (late && proven > 0) return absl::OkStatus();
    if (late || working == 0) {
      return absl::UnavailableError(absl::StrCat(
          "no channel passed the known-answer test with model \"", scheduler.model().name,
          "\"; the log gives the reason; write the file again to retry"));
    }
    if (WaitForStop(kTestInterval)) {
      return absl::CancelledError("the server is stopping");
    }
  }
}

void ModelManager::Refuse(const std::string& source, const absl::Status& status) {
  refused_->Increment();
  spdlog::error("{} is refused, and the models served before stay: {}", source, status.ToString());
}

void ModelManager::UnloadUnused() {
  for (auto& served : catalog_->TakeUnused()) {
    spdlog::info("model \"{}\", version {}, is unloaded, because no stream uses it any more",
                 served->model->name, VersionOf(served->model->fingerprint()));
    served.reset();
  }
}

void ModelManager::UpdateVersionMetrics() {
  const auto show = [this](const ModelCatalog::ServedPtr& served, double value) {
    metrics_
        ->GetGauge("ese_model_takes_streams",
                   "1 if this version of the model takes new streams, 0 if it is retired and only "
                   "continues the streams that it has.",
                   LabelsOf(*served->model))
        ->Set(value);
  };
  for (const auto& served : catalog_->Current()) show(served, 1);
  for (const auto& served : catalog_->Retired()) show(served, 0);
}

}  // namespace ese
