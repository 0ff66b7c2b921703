// SPDX-License-Identifier: Apache-2.0
// Parses the JSON file that describes the weights: layers, output units, features and facts.
// compiler/README.md explains each key and has an example.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/model.h"

namespace ese {

// One LSTM layer and the names of its tensors. With the prefix "lstm." and the suffix "_l0",
// Tensor("weight_ih") is "lstm.weight_ih_l0".
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
  FeatureSettings features;  // sample_rate_hz is 0 if the file has none
  std::vector<LayerTopology> layers;
  std::string output_weight;
  std::string output_bias;
  std::vector<std::string> units;
  int blank = -1;
  std::string input_mean;                    // empty: no mean is subtracted
  std::string input_inv_stddev;              // empty: no scale is applied
  std::map<std::string, std::string> facts;  // from "training", nested keys joined by dots
};

// Parses the topology of a safetensors file. Returns INVALID_ARGUMENT for a key that is unknown,
// missing or of the wrong type, for sizes that do not fit together, and for feature settings that
// features/fbank.h cannot compute. The message names `source`, the key (such as "layers[0].cells")
// and what it must be.
absl::StatusOr<Topology> ParseTopology(absl::string_view json, const std::string& source);

// The optional JSON file for ONNX and Kaldi weights, which describe their layers themselves.
struct Annotations {
  std::string name;                // empty: not given
  FeatureSettings features;        // sample_rate_hz is 0 if the file has none
  std::vector<std::string> units;  // empty: not given
  int blank = -1;
  std::vector<float> input_mean;             // empty: not given
  std::vector<float> input_inv_stddev;       // as long as input_mean
  std::map<std::string, std::string> facts;  // as in Topology
};

// Parses annotations. Errors are as for ParseTopology.
absl::StatusOr<Annotations> ParseAnnotations(absl::string_view json, const std::string& source);

// Adds the annotations to a topology whose layers are set. `units` is the number of rows of the
// output layer; without names in the annotations, the units are called U0, U1, and so on. Returns
// INVALID_ARGUMENT if the annotations do not fit the network; the message names `source` and the
// key.
absl::Status Annotate(const Annotations& annotations, int units, const std::string& source,
                      Topology* topology);

}  // namespace ese
