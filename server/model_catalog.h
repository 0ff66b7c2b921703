// The models that a server serves, each with its scheduler.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ese/v1/speech.pb.h"
#include "features/fbank.h"
#include "model/model.h"
#include "scheduler/scheduler.h"

namespace ese {

struct ServedModel {
  std::shared_ptr<const Model> model;
  std::shared_ptr<const FbankTables> fbank;  // null where the model takes features only
  std::unique_ptr<Scheduler> scheduler;      // null only in tests of what needs no scheduler
};

// Filled before the server starts and constant afterwards, so that reading needs no lock.
class ModelCatalog {
 public:
  // INVALID_ARGUMENT: a model of that name is there already, or the model's audio settings cannot
  // be used or do not give its input_dim.
  absl::Status Add(std::shared_ptr<const Model> model, std::unique_ptr<Scheduler> scheduler);

  // An empty name means the only model. NOT_FOUND lists the names there are; INVALID_ARGUMENT: the
  // name is empty and there are several. The pointer is valid as long as the catalog.
  absl::StatusOr<const ServedModel*> Find(const std::string& name) const;
  // The model with this fingerprint, for streams that go on; an empty name means any.
  // FAILED_PRECONDITION where it is not here.
  absl::StatusOr<const ServedModel*> FindVersion(const std::string& name,
                                                 const std::string& fingerprint) const;

  const std::vector<ServedModel>& models() const { return models_; }

 private:
  std::string Names() const;

  std::vector<ServedModel> models_;
};

// What clients are told of a model.
v1::Model Describe(const Model& model);

}  // namespace ese
