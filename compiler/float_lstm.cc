// SPDX-License-Identifier: Apache-2.0
#include "compiler/float_lstm.h"

#include <algorithm>
#include <cmath>

#include "model/arithmetic.h"

namespace ese {
namespace {

double Sigmoid(double z) { return 1 / (1 + std::exp(-z)); }

// Rounds half up and saturates to 8 bits with this many fraction bits.
void RoundToBytes(const std::optional<int>& fraction_bits, std::vector<double>* values) {
  if (!fraction_bits) return;
  for (double& value : *values) {
    const double raw = std::floor(std::ldexp(value, *fraction_bits) + 0.5);
    value = std::ldexp(std::clamp(raw, -128.0, 127.0), -*fraction_bits);
  }
}

// The activation functions: exact, or as the quantized model computes them.
struct Functions {
  bool quantized = false;

  double SigmoidOf(double z) const {
    return quantized ? Sigmoid(PreActivation::FromReal(z)).ToReal() : Sigmoid(z);
  }
  double TanhOf(double z) const {
    return quantized ? Tanh(ToTanhInput(PreActivation::FromReal(z))).ToReal() : std::tanh(z);
  }
  double TanhOfCell(double c) const {
    return quantized ? Tanh(TanhInput::FromReal(c)).ToReal() : std::tanh(c);
  }
};

double RowSum(const SparseMatrix& matrix, int r, const std::vector<double>& v) {
  const size_t first = size_t(r) * matrix.entries_per_row;
  const int* column = matrix.column.data() + first;
  const float* weight = matrix.weights.data() + first;
  double sum = 0;
  for (int k = 0; k < matrix.entries_per_row; ++k) sum += weight[k] * v[column[k]];
  return sum + matrix.bias[r];
}

}  // namespace

FloatLstm::FloatLstm(const Network* network, const Roundings& roundings)
    : network_(network), input_bits_(roundings.input) {
  x_.resize(network->layers.front().topology.inputs);
  for (const auto& layer : network->layers) {
    const LayerTopology& shape = layer.topology;
    LayerState state;
    state.v.resize(shape.inputs + shape.outputs());
    state.z.resize(4 * shape.cells);
    state.c.resize(shape.cells);
    state.m.resize(shape.cells);
    state.y.resize(shape.outputs());
    if (!roundings.layers.empty()) state.roundings = roundings.layers[layers_.size()];
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
  RoundToBytes(input_bits_, &x_);
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
  const Functions functions{state->roundings.gates};
  for (int cell = 0; cell < shape.cells; ++cell) {
    double* z = &state->z[size_t{4} * cell];
    double& c = state->c[cell];
    for (int gate = 0; gate < 4; ++gate) z[gate] = RowSum(layer.gates, 4 * cell + gate, state->v);
    const float* peephole = shape.peepholes ? &layer.peepholes[size_t{3} * cell] : nullptr;
    if (peephole) {
      z[0] += peephole[0] * c;
      z[1] += peephole[1] * c;
    }
    const double g = shape.g_activation == GActivation::kSigmoid ? functions.SigmoidOf(z[2])
                                                                 : functions.TanhOf(z[2]);
    c = functions.SigmoidOf(z[1]) * c + functions.SigmoidOf(z[0]) * g;
    if (state->roundings.cells) c = Cell::FromReal(c).ToReal();
    if (peephole) z[3] += peephole[2] * c;
    state->m[cell] = functions.SigmoidOf(z[3]) * functions.TanhOfCell(c);
  }
  RoundToBytes(state->roundings.hidden, &state->m);
  if (shape.projection == 0) {
    state->y = state->m;
    return;
  }
  for (int r = 0; r < shape.projection; ++r) {
    state->y[r] = RowSum(layer.projection, r, state->m);
  }
  RoundToBytes(state->roundings.outputs, &state->y);
}

}  // namespace ese
