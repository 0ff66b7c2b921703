// SPDX-License-Identifier: Apache-2.0
#include "compiler/safetensors_import.h"

#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace ese {
namespace {

// Reads tensors and records which ones were read.
class TensorReader {
 public:
  explicit TensorReader(const Safetensors& tensors) : tensors_(tensors) {}

  absl::StatusOr<std::vector<float>> Read(const std::string& name,
                                          const std::vector<int64_t>& shape) {
    used_.insert(name);
    return tensors_.Floats(name, shape);
  }

  // A PyTorch module that was created without a bias has no such tensor.
  absl::StatusOr<std::vector<float>> ReadBias(const std::string& name, int64_t size) {
    if (tensors_.Has(name)) return Read(name, {size});
    const absl::Status none = tensors_.Floats(name, {size}).status();
    return absl::Status(none.code(),
                        absl::StrCat(none.message(), "; for a module without a bias, save ", size,
                                     " zeros under that name"));
  }

  std::vector<std::string> Unused() const {
    std::vector<std::string> unused;
    for (std::string& name : tensors_.names()) {
      if (used_.count(name) == 0) unused.push_back(std::move(name));
    }
    return unused;
  }

 private:
  const Safetensors& tensors_;
  std::set<std::string> used_;
};

// [weight_ih | weight_hh] with the rows of each cell adjacent.
absl::StatusOr<DenseMatrix> ReadGates(const LayerTopology& layer, TensorReader* reader) {
  const int64_t rows = int64_t{4} * layer.cells;
  const std::string ih = layer.Tensor("weight_ih");
  const std::string hh = layer.Tensor("weight_hh");
  ESE_ASSIGN_OR_RETURN(const std::vector<float> weight_ih, reader->Read(ih, {rows, layer.inputs}));
  ESE_ASSIGN_OR_RETURN(const std::vector<float> weight_hh,
                       reader->Read(hh, {rows, layer.outputs()}));
  ESE_ASSIGN_OR_RETURN(const std::vector<float> bias_ih,
                       reader->ReadBias(layer.Tensor("bias_ih"), rows));
  ESE_ASSIGN_OR_RETURN(const std::vector<float> bias_hh,
                       reader->ReadBias(layer.Tensor("bias_hh"), rows));
  std::vector<double> bias(bias_ih.begin(), bias_ih.end());
  for (size_t row = 0; row < bias.size(); ++row) bias[row] += double{bias_hh[row]};
  return JoinGates({absl::StrCat(ih, " | ", hh), "--density-gates", layer.cells}, weight_ih,
                   weight_hh, bias);
}

absl::StatusOr<BasicNetworkLayer<DenseMatrix>> ReadLayer(const LayerTopology& topology,
                                                         TensorReader* reader) {
  BasicNetworkLayer<DenseMatrix> layer;
  layer.topology = topology;
  ESE_ASSIGN_OR_RETURN(layer.gates, ReadGates(topology, reader));
  if (topology.projection > 0) {
    DenseMatrix& projection = layer.projection;
    projection.name = {topology.Tensor("weight_hr"), "--density-projection"};
    projection.rows = topology.projection;
    projection.columns = topology.cells;
    ESE_ASSIGN_OR_RETURN(projection.weights, reader->Read(projection.name.tensors,
                                                          {projection.rows, projection.columns}));
    projection.bias.assign(projection.rows, 0.0);
  }
  if (topology.peepholes) {
    layer.peepholes.resize(size_t{3} * topology.cells);
    const char* const kNames[] = {"weight_ci", "weight_cf", "weight_co"};
    for (int k = 0; k < 3; ++k) {
      ESE_ASSIGN_OR_RETURN(const std::vector<float> values,
                           reader->Read(topology.Tensor(kNames[k]), {topology.cells}));
      for (int cell = 0; cell < topology.cells; ++cell) {
        layer.peepholes[size_t{3} * cell + k] = values[cell];
      }
    }
  }
  return layer;
}

// A left-over LSTM is most often a layer or a direction that the topology forgot.
absl::Status CheckUnused(const std::vector<std::string>& unused) {
  std::vector<std::string> recurrent;
  for (const std::string& name : unused) {
    for (const char* part : {"weight_ih", "weight_hh", "weight_hr"}) {
      if (absl::StrContains(name, part)) recurrent.push_back(name);
    }
  }
  if (recurrent.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "the topology does not use the LSTM weights ", NameList(recurrent),
      "; add their layer to the topology (a reverse direction cannot be served), or give "
      "--allow-unused-lstm if the network works without them"));
}

}  // namespace

absl::StatusOr<ImportedNetwork> ImportSafetensors(const Topology& topology,
                                                  const Safetensors& tensors,
                                                  bool allow_unused_lstm) {
  TensorReader reader(tensors);
  ImportedNetwork imported;
  imported.topology = topology;
  DenseNetwork& network = imported.network;
  const int inputs = topology.layers.front().inputs;
  network.input_mean.assign(inputs, 0.0f);
  network.input_inv_stddev.assign(inputs, 1.0f);
  if (!topology.input_mean.empty()) {
    ESE_ASSIGN_OR_RETURN(network.input_mean, reader.Read(topology.input_mean, {inputs}));
    ESE_ASSIGN_OR_RETURN(network.input_inv_stddev,
                         reader.Read(topology.input_inv_stddev, {inputs}));
  }
  for (const LayerTopology& layer : topology.layers) {
    ESE_ASSIGN_OR_RETURN(auto read, ReadLayer(layer, &reader));
    network.layers.push_back(std::move(read));
  }
  DenseMatrix& output = network.output;
  output.name = {topology.output_weight, "--density-output"};
  output.rows = static_cast<int>(topology.units.size());
  output.columns = topology.layers.back().outputs();
  ESE_ASSIGN_OR_RETURN(output.weights,
                       reader.Read(topology.output_weight, {output.rows, output.columns}));
  ESE_ASSIGN_OR_RETURN(const std::vector<float> bias,
                       reader.ReadBias(topology.output_bias, output.rows));
  output.bias.assign(bias.begin(), bias.end());
  const std::vector<std::string> unused = reader.Unused();
  if (!allow_unused_lstm) ESE_RETURN_IF_ERROR(CheckUnused(unused));
  if (!unused.empty()) {
    imported.notices.push_back(
        absl::StrCat("the topology does not use the tensors ", NameList(unused)));
  }
  return imported;
}

}  // namespace ese
