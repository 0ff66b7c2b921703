// SPDX-License-Identifier: Apache-2.0
#include "compiler/float_lstm.h"

#include <algorithm>
#include <cmath>

namespace ese {
namespace {

double Sigmoid(double z) { return 1 / (1 + std::exp(-z)); }

double RowSum(const SparseMatrix& matrix, int r, const std::vector<double>& v) {
  const size_t first = size_t(r) * matrix.entries_per_row;
  const int* column = matrix.column.data() + first;
  const float* weight = matrix.weights.data() + first;
  double sum = 0;
  for (int k = 0; k < matrix.entries_per_row; ++k) sum += weight[k] * v[column[k]];
  return sum + matrix.bias[r];
}

}  // namespace

FloatLstm::FloatLstm(const Network* network) : network_(network) {
  x_.resize(network->layers.front().topology.inputs);
  for (const auto& layer : network->layers) {
    const LayerTopology& shape = layer.topology;
    LayerState state;
    state.v.resize(shape.inputs + shape.outputs());
    state.z.resize(4 * shape.cells);
    state.c.resize(shape.cells);
    state.m.resize(shape.cells);
    state.y.resize(shape.outputs());
    layers_.push_back(std::move(state));
  }
  logits_.resize(network->output.rows);
}

void FloatLstm::Reset() {
  for (LayerState& layer : layers_) {
    std::fill(layer.c.begin(), layer.c.end(), 0.0);
    std::fill(layer.y.begin(), layer.y.end(), 0.0);
  }
}

void FloatLstm::Step(const float* features) {
  for (size_t k = 0; k < x_.size(); ++k) {
    x_[k] = (features[k] - network_->input_mean[k]) * network_->input_inv_stddev[k];
  }
  const std::vector<double>* input = &x_;
  for (size_t l = 0; l < layers_.size(); ++l) {
    LayerState& state = layers_[l];
    const auto after_x = std::copy(input->begin(), input->end(), state.v.begin());
    std::copy(state.y.begin(), state.y.end(), after_x);
    LayerStep(network_->layers[l], &state);
    input = &state.y;
  }
  for (int r = 0; r < network_->output.rows; ++r) logits_[r] = RowSum(network_->output, r, *input);
}

void FloatLstm::LayerStep(const BasicNetworkLayer<SparseMatrix>& layer, LayerState* state) const {
  const LayerTopology& shape = layer.topology;
  for (int cell = 0; cell < shape.cells; ++cell) {
    double* z = &state->z[size_t{4} * cell];
    double& c = state->c[cell];
    for (int gate = 0; gate < 4; ++gate) z[gate] = RowSum(layer.gates, 4 * cell + gate, state->v);
    const float* peephole = shape.peepholes ? &layer.peepholes[size_t{3} * cell] : nullptr;
    if (peephole) {
      z[0] += peephole[0] * c;
      z[1] += peephole[1] * c;
    }
    const double g = shape.g_activation == GActivation::kSigmoid ? Sigmoid(z[2]) : std::tanh(z[2]);
    c = Sigmoid(z[1]) * c + Sigmoid(z[0]) * g;
    if (peephole) z[3] += peephole[2] * c;
    state->m[cell] = Sigmoid(z[3]) * std::tanh(c);
  }
  if (shape.projection == 0) {
    state->y = state->m;
    return;
  }
  for (int r = 0; r < shape.projection; ++r) {
    state->y[r] = RowSum(layer.projection, r, state->m);
  }
}

}  // namespace ese
