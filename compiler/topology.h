// SPDX-License-Identifier: Apache-2.0
// The JSON file beside the weights: what they mean.
// compiler/README.md has an example and says what each key is.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/model.h"

namespace ese {

// One LSTMP layer and where its tensors are: Tensor("weight_ih") is "lstm.weight_ih_l0" with the
// prefix "lstm." and the suffix "_l0".
struct LayerTopology {
  std::string prefix;
  std::string suffix;
  int inputs = 0;
  int cells = 0;
  int projection = 0;  // 0: none
  bool peepholes = false;
  GActivation g_activation = GActivation::kTanh;

  int outputs() const { return projection > 0 ? projection : cells; }
  std::string Tensor(absl::string_view base) const;
};

struct Topology {
  std::string name;
  FeatureSettings features;  // sample_rate_hz is 0 where the file has none
  std::vector<LayerTopology> layers;
  std::string output_weight;
  std::string output_bias;
  std::vector<std::string> units;
  int blank = -1;
  std::string input_mean;                    // empty: the features are not shifted
  std::string input_inv_stddev;              // empty: nor scaled
  std::map<std::string, std::string> facts;  // of "training", nested keys joined by dots
};

// INVALID_ARGUMENT naming `source`, the key (as "layers[0].cells") and what it has to be: a key
// that is unknown, missing or of the wrong type, sizes that do not fit together, feature settings
// that features/fbank.h cannot compute.
absl::StatusOr<Topology> ParseTopology(absl::string_view json, const std::string& source);

// The optional JSON file beside weights that say themselves what their layers are (ONNX, Kaldi).
struct Annotations {
  std::string name;                // empty: not given
  FeatureSettings features;        // sample_rate_hz is 0 where the file has none
  std::vector<std::string> units;  // empty: not given
  int blank = -1;
  std::vector<float> input_mean;             // empty: not given
  std::vector<float> input_inv_stddev;       // as long as input_mean
  std::map<std::string, std::string> facts;  // as in Topology
};

// Errors as of ParseTopology.
absl::StatusOr<Annotations> ParseAnnotations(absl::string_view json, const std::string& source);

// Puts the annotations into a topology that has layers and `units` rows of the output layer: the
// units become U0, U1, ... where they are not given. INVALID_ARGUMENT naming `source` and the key
// where they do not fit.
absl::Status Annotate(const Annotations& annotations, int units, const std::string& source,
                      Topology* topology);

}  // namespace ese
