// SPDX-License-Identifier: Apache-2.0
// Finds what a quantized model loses its accuracy to: the error of the logits when only one thing
// is quantized and everything else is computed in real numbers.
#pragma once

#include <string>
#include <vector>

#include "compiler/calibrate.h"
#include "compiler/network.h"
#include "model/model.h"

namespace ese {

// One thing that quantization changes, and what to do if it costs too much.
struct Cause {
  std::string what;          // "input", "layer 0 gate weights", "layer 0 cells c"
  double logits_snr_db = 0;  // of the network in which only this is quantized
  std::string remedy;
};

// Measures every cause alone, in the order of the computation: the input, then for each layer the
// weights of its gates, the functions of its gates, cells, cells' outputs m, the weights of its
// projection and the projected outputs y, and at the end the weights of the output layer. Weights
// include the biases and peepholes. Errors that happen together may amplify each other or cancel,
// so that the model's own SNR does not follow from these figures.
//
// Large networks are measured on fewer frames, to bound the time: at most 1,000, and as many as
// 400 million multiplications allow, but at least 20.
// REQUIRES: `model` has the shapes of `network`.
std::vector<Cause> MeasureCauses(const Network& network, const Model& model,
                                 const Calibration& calibration);

// The cause with the lowest SNR. REQUIRES: `causes` is not empty.
const Cause& LargestCause(const std::vector<Cause>& causes);

}  // namespace ese
