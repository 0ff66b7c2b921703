// SPDX-License-Identifier: Apache-2.0
// Imports, compiles and runs many ONNX files for bench/import_fuzz/import_fuzz.py.
//
//   ese-import-check FOLDER COUNT
//
// For each K below COUNT it reads FOLDER/K.onnx and FOLDER/K.features (float32, one utterance). For
// an accepted graph it writes FOLDER/K.logits: float32, those of the network in real numbers and
// then those of the compiled model, each [frames][units]. One line of JSON per graph says whether
// it was accepted, or the message.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "compiler/compile.h"
#include "compiler/files.h"
#include "compiler/float_lstm.h"
#include "compiler/import.h"
#include "compiler/prune.h"
#include "model/arithmetic.h"
#include "model/reference.h"
#include "nlohmann/json.hpp"

namespace ese {
namespace {

absl::StatusOr<SparseMatrix> AllWeights(const DenseMatrix& matrix) {
  ESE_ASSIGN_OR_RETURN(PrunedMatrix pruned, Prune(matrix, {}));
  return std::move(pruned.matrix);
}

absl::StatusOr<Network> AllWeights(const DenseNetwork& dense) {
  Network network;
  network.input_mean = dense.input_mean;
  network.input_inv_stddev = dense.input_inv_stddev;
  for (const auto& from : dense.layers) {
    auto& to = network.layers.emplace_back();
    to.topology = from.topology;
    to.peepholes = from.peepholes;
    ESE_ASSIGN_OR_RETURN(to.gates, AllWeights(from.gates));
  }
  ESE_ASSIGN_OR_RETURN(network.output, AllWeights(dense.output));
  return network;
}

absl::StatusOr<Calibration> ReadFeatures(const std::string& path, int dim) {
  ESE_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path));
  Calibration calibration;
  calibration.dim = dim;
  calibration.features.resize(bytes.size() / sizeof(float));
  std::memcpy(calibration.features.data(), bytes.data(),
              calibration.features.size() * sizeof(float));
  if (calibration.features.size() % dim != 0) {
    return absl::InvalidArgumentError("the features are not whole frames of the network");
  }
  calibration.lengths = {static_cast<int64_t>(calibration.features.size()) / dim};
  return calibration;
}

// The logits of the network, and then those of the model.
std::vector<float> Run(const Network& network, const Model& model, const Calibration& calibration) {
  std::vector<float> real, quantized;
  FloatLstm lstm(&network);
  lstm.Reset();
  StreamState state(model);
  std::vector<int8_t> x(model.input_columns());
  std::vector<int32_t> logits(model.num_units());
  for (size_t at = 0; at < calibration.features.size(); at += calibration.dim) {
    lstm.Step(&calibration.features[at]);
    real.insert(real.end(), lstm.logits().begin(), lstm.logits().end());
    model.QuantizeFrame(&calibration.features[at], x.data());
    ReferenceStep(model, x.data(), &state, logits.data());
    for (const int32_t logit : logits) {
      quantized.push_back(static_cast<float>(Accumulator{logit}.ToReal()));
    }
  }
  real.insert(real.end(), quantized.begin(), quantized.end());
  return real;
}

absl::Status Check(const std::string& path, nlohmann::json* answer) {
  ESE_ASSIGN_OR_RETURN(const ImportedNetwork imported, ImportFile(path + ".onnx", ""));
  (*answer)["accepted"] = true;
  ESE_ASSIGN_OR_RETURN(const Calibration features,
                       ReadFeatures(path + ".features", imported.topology.layers.front().inputs));
  ESE_ASSIGN_OR_RETURN(const Compiled compiled, Compile(imported, &features, {}));
  ESE_ASSIGN_OR_RETURN(const Network network, AllWeights(imported.network));
  const std::vector<float> logits = Run(network, *compiled.report.model, features);
  (*answer)["units"] = imported.network.output.rows;
  (*answer)["snr_db"] = compiled.report.fidelity->logits_snr_db;
  return WriteFileAtomically(
      path + ".logits",
      std::string(reinterpret_cast<const char*>(logits.data()), logits.size() * sizeof(float)));
}

int Main(int argc, char** argv) {
  int count = 0;
  if (argc != 3 || !absl::SimpleAtoi(argv[2], &count)) {
    std::cerr << "usage: ese-import-check FOLDER COUNT\n";
    return 2;
  }
  for (int k = 0; k < count; ++k) {
    nlohmann::json answer = {{"accepted", false}};
    const absl::Status status = Check(absl::StrCat(argv[1], "/", k), &answer);
    if (!status.ok()) answer["error"] = std::string(status.message());
    std::cout << answer.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
  }
  return 0;
}

}  // namespace
}  // namespace ese

int main(int argc, char** argv) { return ese::Main(argc, argv); }
