// SPDX-License-Identifier: Apache-2.0
#include "compiler/testing.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <iostream>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "compiler/float_lstm.h"
#include "compiler/prune.h"
#include "compiler/safetensors_import.h"
#include "nlohmann/json.hpp"

namespace ese {
namespace {

// Uniform reals; std::uniform_real_distribution differs between libraries.
class Uniform {
 public:
  explicit Uniform(uint32_t seed) : bits_(seed) {}
  float operator()(double limit) {
    return static_cast<float>((bits_() / 4294967296.0 * 2 - 1) * limit);
  }

 private:
  std::mt19937 bits_;
};

template <typename T>
T ValueOrDie(absl::StatusOr<T> value) {
  if (!value.ok()) {
    std::cerr << value.status() << std::endl;
    std::abort();
  }
  return *std::move(value);
}

}  // namespace

std::string TestNetwork::WeightBytes() const {
  SafetensorsWriter writer;
  for (const auto& [name, tensor] : tensors) writer.AddFloats(name, tensor.shape, tensor.values);
  return writer.Bytes();
}

Safetensors TestNetwork::Weights() const {
  return ValueOrDie(Safetensors::FromBytes(WeightBytes(), "weights"));
}

Topology TestNetwork::Parsed() const { return ValueOrDie(ParseTopology(topology, "topology")); }

absl::StatusOr<ImportedNetwork> TestNetwork::Import() const {
  return ImportSafetensors(Parsed(), Weights());
}

TestNetwork MakeTestNetwork(const TestNetworkOptions& options) {
  TestNetwork network;
  Uniform uniform(options.seed);
  const auto add = [&](const std::string& name, std::vector<int64_t> shape, double limit) {
    int64_t elements = 1;
    for (const int64_t size : shape) elements *= size;
    TestNetwork::Tensor& tensor = network.tensors[name];
    tensor.shape = std::move(shape);
    for (int64_t k = 0; k < elements; ++k) tensor.values.push_back(uniform(options.gain * limit));
  };
  nlohmann::json topology;
  topology["name"] = "test";
  int64_t inputs = options.inputs;
  for (size_t l = 0; l < options.layers.size(); ++l) {
    const TestLayer& layer = options.layers[l];
    const std::string suffix = absl::StrCat("_l", l);
    const int64_t outputs = layer.projection > 0 ? layer.projection : layer.cells;
    const double limit = 2 / std::sqrt(static_cast<double>(inputs + outputs));
    topology["layers"].push_back({{"prefix", "lstm."},
                                  {"suffix", suffix},
                                  {"input", inputs},
                                  {"cells", layer.cells},
                                  {"projection", layer.projection},
                                  {"peepholes", layer.peepholes},
                                  {"g", layer.g}});
    const int64_t rows = 4 * layer.cells;
    add("lstm.weight_ih" + suffix, {rows, inputs}, limit);
    add("lstm.weight_hh" + suffix, {rows, outputs}, limit);
    add("lstm.bias_ih" + suffix, {rows}, 0.5);
    add("lstm.bias_hh" + suffix, {rows}, 0.5);
    if (layer.projection > 0) {
      add("lstm.weight_hr" + suffix, {outputs, layer.cells}, 3 / std::sqrt(layer.cells));
    }
    for (const char* name : {"weight_ci", "weight_cf", "weight_co"}) {
      if (layer.peepholes) add(absl::StrCat("lstm.", name, suffix), {layer.cells}, 0.5);
    }
    inputs = outputs;
  }
  add("output.weight", {options.units, inputs}, 2);
  add("output.bias", {options.units}, 1);
  topology["output"] = {{"weight", "output.weight"}, {"bias", "output.bias"}};
  for (int u = 0; u < options.units; ++u) {
    topology["output"]["units"].push_back(absl::StrCat("U", u));
  }
  network.topology = topology.dump();
  return network;
}

Network Unpruned(const DenseNetwork& dense) {
  Network network;
  network.input_mean = dense.input_mean;
  network.input_inv_stddev = dense.input_inv_stddev;
  const auto all = [](const DenseMatrix& matrix) {
    return matrix.rows == 0 ? SparseMatrix() : ValueOrDie(Prune(matrix, {.density = 1})).matrix;
  };
  for (const auto& layer : dense.layers) {
    network.layers.push_back(
        {layer.topology, all(layer.gates), all(layer.projection), layer.peepholes});
  }
  network.output = all(dense.output);
  return network;
}

void ExpectGoldenLogits(const ImportedNetwork& imported, const std::string& path,
                        double tolerance) {
  const Safetensors file = ValueOrDie(Safetensors::FromFile(path));
  const Calibration calibration =
      ValueOrDie(ReadCalibration(file, imported.topology.layers.front().inputs));
  const int units = imported.network.output.rows;
  const auto frames = static_cast<int64_t>(calibration.features.size()) / calibration.dim;
  const std::vector<float> expected = ValueOrDie(file.Floats("logits", {frames, units}));
  const Network network = Unpruned(imported.network);
  FloatLstm lstm(&network);
  int64_t frame = 0;
  for (const int64_t length : calibration.lengths) {
    lstm.Reset();
    for (int64_t t = 0; t < length; ++t, ++frame) {
      lstm.Step(&calibration.features[frame * calibration.dim]);
      for (int u = 0; u < units; ++u) {
        EXPECT_NEAR(lstm.logits()[u], expected[frame * units + u], tolerance)
            << "frame " << frame << ", unit " << u;
      }
    }
  }
  EXPECT_EQ(frame, frames);
}

void MaskRows(int kept, TestNetwork::Tensor* tensor) {
  const int64_t columns = tensor->shape[1];
  for (int64_t r = 0; r < tensor->shape[0]; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      if ((c + columns - r % columns) % columns >= kept) tensor->values[r * columns + c] = 0;
    }
  }
}

Calibration MakeTestCalibration(int dim, const std::vector<int64_t>& lengths, uint32_t seed) {
  Calibration calibration;
  calibration.dim = dim;
  calibration.lengths = lengths;
  Uniform uniform(seed);
  for (const int64_t length : lengths) {
    for (int64_t k = 0; k < length * dim; ++k) {
      calibration.features.push_back(uniform(1) + uniform(1) + uniform(1));
    }
  }
  return calibration;
}

std::string CalibrationBytes(const Calibration& calibration) {
  SafetensorsWriter writer;
  const auto frames = static_cast<int64_t>(calibration.features.size()) / calibration.dim;
  writer.AddFloats("features", {frames, calibration.dim}, calibration.features);
  writer.AddIntegers("lengths", calibration.lengths);
  return writer.Bytes();
}

std::string TemporaryPath(const std::string& name) {
  return absl::StrCat(testing::TempDir(), "/",
                      testing::UnitTest::GetInstance()->current_test_info()->test_suite_name(), "_",
                      testing::UnitTest::GetInstance()->current_test_info()->name(), "_", name);
}

}  // namespace ese
