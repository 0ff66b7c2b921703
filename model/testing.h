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
  int hidden_fraction_bits = 0;  // 0: each format in turn
};

struct RandomModelOptions {
  int inputs = 5;
  std::vector<RandomLayer> layers = {RandomLayer{}};
  int units = 7;
  double density = 0.3;
  // Scale of the weights: 1 is realistic, large values drive gates and cells into saturation.
  double gain = 1;
  uint32_t seed = 1;
};

ModelDraft RandomModelDraft(const RandomModelOptions& options);
// The draft through the writer and the loader.
std::shared_ptr<const Model> RandomModel(const RandomModelOptions& options);

// ESE's LSTM (Han et al. 2017): 153 inputs, 1024 cells, 512 projected, every row of a matrix with
// the same number of entries, 11.2 % in all; a 40-unit dense output layer.
RandomModelOptions PaperModelOptions();

}  // namespace ese
