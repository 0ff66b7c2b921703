// SPDX-License-Identifier: Apache-2.0
// Random models for tests and benchmarks.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "model/model.h"

namespace ese {

struct RandomLayer {
  int cells = 8;
  int projection = 0;  // 0: none
  bool peepholes = false;
  GActivation g_activation = GActivation::kTanh;
  int hidden_fraction_bits = 0;  // 0: a different format in each layer, in turn
};

struct RandomModelOptions {
  int inputs = 5;
  std::vector<RandomLayer> layers = {RandomLayer{}};
  int units = 7;
  double density = 0.3;
  // The scale of the weights: 1 is realistic; large values drive gates and cells into saturation.
  double gain = 1;
  uint32_t seed = 1;
  // The density of the fine entries of every matrix; 0: there are none.
  double fine_density = 0;
  bool wide_input = false;  // `inputs` counts features
};

ModelDraft RandomModelDraft(const RandomModelOptions& options);
// Passes the draft through the writer and the loader.
std::shared_ptr<const Model> RandomModel(const RandomModelOptions& options);

// The LSTM of the ESE paper (Han et al. 2017): 153 inputs, 1024 cells, 512 projected outputs, and a
// density of 11.2 % with the same number of entries in every row of a matrix; here with a dense
// output layer of 40 units.
RandomModelOptions PaperModelOptions();

}  // namespace ese
