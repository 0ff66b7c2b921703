#include "server/model_catalog.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "features/model_features.h"

namespace ese {

absl::Status ModelCatalog::Add(std::shared_ptr<const Model> model,
                               std::unique_ptr<Scheduler> scheduler) {
  for (const ServedModel& other : models_) {
    if (other.model->name == model->name) {
      return absl::InvalidArgumentError(
          absl::StrCat("two models are named \"", model->name,
                       "\"; clients choose by name, so serve one of them or rename it"));
    }
  }
  ServedModel served;
  if (model->features.sample_rate_hz > 0) {
    const FbankOptions options = ToFbankOptions(model->features);
    auto tables = MakeFbankTables(options);
    if (!tables.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("audio settings of model \"", model->name,
                                                     "\": ", tables.status().message()));
    }
    if (options.num_mel_bins * options.stack != model->input_dim()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "audio settings of model \"", model->name, "\" give ", options.num_mel_bins, " x ",
          options.stack, " features, but it takes ", model->input_dim(), "; compile it again"));
    }
    served.fbank = *std::move(tables);
  }
  served.model = std::move(model);
  served.scheduler = std::move(scheduler);
  models_.push_back(std::move(served));
  return absl::OkStatus();
}

absl::StatusOr<const ServedModel*> ModelCatalog::Find(const std::string& name) const {
  if (name.empty() && models_.size() == 1) return &models_.front();
  if (name.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("config.model is empty, and this server has several; set one of: ", Names()));
  }
  for (const ServedModel& served : models_) {
    if (served.model->name == name) return &served;
  }
  return absl::NotFoundError(
      absl::StrCat("no model is named \"", name, "\"; this server has: ", Names()));
}

absl::StatusOr<const ServedModel*> ModelCatalog::FindVersion(const std::string& name,
                                                             const std::string& fingerprint) const {
  for (const ServedModel& served : models_) {
    const Model& model = *served.model;
    if (model.fingerprint() == fingerprint && (name.empty() || model.name == name)) return &served;
  }
  return absl::FailedPreconditionError(
      absl::StrCat("the stream was computed by model \"", name, "\" ", fingerprint.substr(0, 8),
                   ", which is not here; resume where it is served, or begin a new stream"));
}

std::string ModelCatalog::Names() const {
  return absl::StrJoin(models_, ", ", [](std::string* out, const ServedModel& served) {
    absl::StrAppend(out, served.model->name);
  });
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
