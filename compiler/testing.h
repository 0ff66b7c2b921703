// SPDX-License-Identifier: Apache-2.0
// Small trained networks for the tests of this folder.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "compiler/calibrate.h"
#include "compiler/network.h"
#include "compiler/safetensors.h"
#include "compiler/topology.h"

namespace ese {

struct TestLayer {
  int cells = 8;
  int projection = 0;
  bool peepholes = false;
  std::string g = "tanh";
};

struct TestNetworkOptions {
  int inputs = 6;
  std::vector<TestLayer> layers = {TestLayer{}};
  int units = 4;
  double gain = 1;  // 1 is realistic
  uint32_t seed = 1;
};

// What a training exports. Tests change the tensors and the topology as they need.
struct TestNetwork {
  struct Tensor {
    std::vector<int64_t> shape;
    std::vector<float> values;
  };
  std::map<std::string, Tensor> tensors;
  std::string topology;  // JSON

  std::string WeightBytes() const;
  // The same, parsed. Aborts if they are invalid.
  Safetensors Weights() const;
  Topology Parsed() const;
  absl::StatusOr<ImportedNetwork> Import() const;
};

TestNetwork MakeTestNetwork(const TestNetworkOptions& options);

// The network with every weight as an entry.
Network Unpruned(const DenseNetwork& dense);

// Expects that the network in real numbers gives the `logits` [frames, units] of the golden
// calibration file at `path`, which also holds `features` and `lengths`.
void ExpectGoldenLogits(const ImportedNetwork& imported, const std::string& path, double tolerance);

// Sets all weights of each row r to zero except the `kept` columns from r on, which wrap around.
void MaskRows(int kept, TestNetwork::Tensor* tensor);

// Utterances of these lengths, with roughly normal values.
Calibration MakeTestCalibration(int dim, const std::vector<int64_t>& lengths, uint32_t seed = 1);
std::string CalibrationBytes(const Calibration& calibration);

// The name of a file in the test's own folder for temporary files.
std::string TemporaryPath(const std::string& name);

}  // namespace ese
