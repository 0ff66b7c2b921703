// SPDX-License-Identifier: Apache-2.0
// The LSTM of model/reference.h in real numbers. The quantized model is measured against it.
#pragma once

#include <optional>
#include <vector>

#include "compiler/network.h"

namespace ese {

// The values that a simulation rounds and saturates as the quantized model does. By default it
// rounds nothing.
struct Roundings {
  struct OfLayer {
    std::optional<int> hidden;   // fraction bits of m
    std::optional<int> outputs;  // fraction bits of a projected y
    bool cells = false;          // c
    bool gates = false;          // pre-activations, gates and tanh c
  };
  std::optional<int> input;     // fraction bits of x
  std::vector<OfLayer> layers;  // empty, or one for each layer
};

// Runs one stream at a time, in double precision. Not thread-safe.
class FloatLstm {
 public:
  // `network` must outlive this.
  explicit FloatLstm(const Network* network, const Roundings& roundings = {});

  // Resets the state to that at the start of a stream.
  void Reset();
  // Runs one frame. `features` [inputs of layer 0] are not yet normalised.
  void Step(const float* features);

  // The values of the last step.
  const std::vector<double>& x() const { return x_; }  // normalised features
  const std::vector<double>& logits() const { return logits_; }
  int num_layers() const { return static_cast<int>(layers_.size()); }
  // Gate pre-activations, [4 * cells] in the order of the model's rows.
  const std::vector<double>& pre_activations(int layer) const { return layers_[layer].z; }
  const std::vector<double>& c(int layer) const { return layers_[layer].c; }  // [cells]
  const std::vector<double>& m(int layer) const { return layers_[layer].m; }  // [cells]
  const std::vector<double>& y(int layer) const { return layers_[layer].y; }  // [outputs]

 private:
  struct LayerState {
    std::vector<double> v, z, c, m, y;  // v is [x ; y']
    Roundings::OfLayer roundings;
  };
  void LayerStep(const BasicNetworkLayer<SparseMatrix>& layer, LayerState* state) const;

  const Network* network_;
  std::optional<int> input_bits_;
  std::vector<double> x_;
  std::vector<LayerState> layers_;
  std::vector<double> logits_;
};

}  // namespace ese
