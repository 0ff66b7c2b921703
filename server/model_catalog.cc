// SPDX-License-Identifier: Apache-2.0
#include "server/model_catalog.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "features/model_features.h"

namespace ese {
namespace {

bool IsVersion(const Model& model, const std::string& name, const std::string& fingerprint) {
  return model.fingerprint() == fingerprint && (name.empty() || model.name == name);
}

std::string Names(const std::vector<ModelCatalog::ServedPtr>& models) {
  if (models.empty()) return "no model at the moment";
  return absl::StrJoin(models, ", ", [](std::string* out, const ModelCatalog::ServedPtr& served) {
    absl::StrAppend(out, served->model->name);
  });
}

auto Named(const std::string& name) {
  return [&name](const ModelCatalog::ServedPtr& served) { return served->model->name == name; };
}

}  // namespace

absl::StatusOr<std::shared_ptr<const FbankTables>> FbankTablesOf(const Model& model) {
  if (model.features.sample_rate_hz == 0) return nullptr;
  auto tables = MakeFbankTables(ToFbankOptions(model.features));
  if (!tables.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("the audio settings of model \"", model.name,
                                                   "\" cannot be used: ", tables.status().message(),
                                                   "; correct them and compile the model again"));
  }
  return tables;
}

ModelCatalog::ModelCatalog(Clock* clock, Duration resume_grace)
    : clock_(clock), resume_grace_(resume_grace) {}

void ModelCatalog::Publish(ServedPtr served) {
  const MutexLock lock(mutex_);
  PublishLocked(std::move(served));
}

void ModelCatalog::PublishLocked(ServedPtr served) {
  const auto former = std::ranges::find_if(current_, Named(served->model->name));
  if (former == current_.end()) {
    current_.push_back(std::move(served));
  } else {
    retired_.push_back({std::exchange(*former, std::move(served)), std::nullopt});
  }
}

bool ModelCatalog::Reinstate(const std::string& name, const std::string& fingerprint) {
  const MutexLock lock(mutex_);
  const auto found = std::ranges::find_if(retired_, [&](const RetiredVersion& version) {
    return IsVersion(*version.served->model, name, fingerprint);
  });
  if (found == retired_.end()) return false;
  ServedPtr served = std::move(found->served);
  retired_.erase(found);
  PublishLocked(std::move(served));
  return true;
}

void ModelCatalog::Withdraw(const std::string& name) {
  const MutexLock lock(mutex_);
  const auto found = std::ranges::find_if(current_, Named(name));
  if (found == current_.end()) return;
  retired_.push_back({std::move(*found), std::nullopt});
  current_.erase(found);
}

std::vector<ModelCatalog::ServedPtr> ModelCatalog::TakeUnused() {
  std::vector<ServedPtr> unused;
  const MutexLock lock(mutex_);
  const TimePoint now = clock_->Now();
  int idle = 0;
  for (RetiredVersion& version : retired_) {
    // Nobody can take another reference without the lock, so a count of 1 stays 1.
    if (version.served.use_count() > 1) {
      version.unused_since.reset();
    } else {
      if (!version.unused_since) version.unused_since = now;
      ++idle;
    }
  }
  std::erase_if(retired_, [&](RetiredVersion& version) {
    if (!version.unused_since) return false;
    if (idle <= kMaxIdle && now - *version.unused_since < resume_grace_) return false;
    --idle;
    unused.push_back(std::move(version.served));
    return true;
  });
  return unused;
}

absl::StatusOr<ModelCatalog::ServedPtr> ModelCatalog::Find(const std::string& name) const {
  const MutexLock lock(mutex_);
  if (name.empty() && current_.size() == 1) return current_.front();
  if (name.empty() && !current_.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("config.model is empty, but this server has several models; set one of: ",
                     Names(current_)));
  }
  const auto found = std::ranges::find_if(current_, Named(name));
  if (found != current_.end()) return *found;
  return absl::NotFoundError(
      absl::StrCat("no model is named \"", name, "\"; this server has: ", Names(current_)));
}

absl::StatusOr<ModelCatalog::ServedPtr> ModelCatalog::FindVersion(
    const std::string& name, const std::string& fingerprint) const {
  const MutexLock lock(mutex_);
  for (const ServedPtr& served : current_) {
    if (IsVersion(*served->model, name, fingerprint)) return served;
  }
  for (const RetiredVersion& version : retired_) {
    if (IsVersion(*version.served->model, name, fingerprint)) return version.served;
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "the stream was computed by version ", fingerprint.substr(0, 8), " of ",
      name.empty() ? "a model" : absl::StrCat("model \"", name, "\""),
      ", which this server does not have; resume on a server that has it, or start a new stream"));
}

std::vector<ModelCatalog::ServedPtr> ModelCatalog::Current() const {
  const MutexLock lock(mutex_);
  return current_;
}

std::vector<ModelCatalog::ServedPtr> ModelCatalog::Retired() const {
  const MutexLock lock(mutex_);
  std::vector<ServedPtr> retired;
  for (auto it = retired_.rbegin(); it != retired_.rend(); ++it) retired.push_back(it->served);
  return retired;
}

int ModelCatalog::size() const {
  const MutexLock lock(mutex_);
  return static_cast<int>(current_.size() + retired_.size());
}

v1::Model Describe(const Model& model) {
  v1::Model out;
  out.set_name(model.name);
  out.set_fingerprint(model.fingerprint());
  out.set_input_dim(model.input_dim());
  for (const std::string& unit : model.units) out.add_units(unit);
  out.set_blank(model.blank);
  if (model.features.sample_rate_hz > 0) {
    v1::FeatureSettings* settings = out.mutable_features();
    settings->set_sample_rate_hz(model.features.sample_rate_hz);
    settings->set_frame_length_ms(model.features.frame_length_ms);
    settings->set_frame_shift_ms(model.features.frame_shift_ms);
    settings->set_num_mel_bins(model.features.num_mel_bins);
    settings->set_low_freq_hz(model.features.low_freq_hz);
    settings->set_high_freq_hz(model.features.high_freq_hz);
    settings->set_preemphasis(model.features.preemphasis);
    settings->set_stack(model.features.stack);
  }
  return out;
}

}  // namespace ese
