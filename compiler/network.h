// SPDX-License-Identifier: Apache-2.0
// A trained network in real numbers, on its way from tensors to a compiled model.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "compiler/topology.h"

namespace ese {

// Which of a file's four blocks of `cells` rows each of our gates i, f, g, o is.
using GateBlocks = std::array<int, 4>;
inline constexpr GateBlocks kTorchGates = {0, 1, 2, 3};
inline constexpr GateBlocks kOnnxGates = {0, 2, 3, 1};   // blocks i, o, f, c
inline constexpr GateBlocks kKaldiGates = {1, 2, 0, 3};  // blocks g, i, f, o

// What errors call a matrix and its rows: by the tensors it came from.
struct MatrixName {
  std::string tensors;       // "lstm.weight_ih_l0 | lstm.weight_hh_l0"
  std::string density_flag;  // the option that prunes it, "--density-gates"
  int cells = 0;             // not 0 for gates: row 4 * cell + gate was blocks[gate] * cells + cell
  GateBlocks blocks = kTorchGates;

  // "row 1029 (gate f of cell 5)", counted as in the tensors.
  std::string Row(int row) const;
};

struct DenseMatrix {
  MatrixName name;
  int rows = 0;
  int columns = 0;
  std::vector<float> weights;  // [rows][columns]
  std::vector<double> bias;    // [rows]
};

// The same number of entries in every row, as the model stores them.
struct SparseMatrix {
  MatrixName name;
  int rows = 0;
  int columns = 0;
  int entries_per_row = 0;
  std::vector<int> column;     // [rows][entries_per_row], ascending, gaps of at most kMaxGap
  std::vector<float> weights;  // [rows][entries_per_row], 0 for fillers
  std::vector<double> bias;    // [rows]
};

// Rows, columns and gates as in model/model.h: gate rows cell by cell in the order i, f, g, o; the
// gates read [x ; y'].
template <typename Matrix>
struct BasicNetworkLayer {
  LayerTopology topology;
  Matrix gates;
  Matrix projection;             // empty where there is none
  std::vector<float> peepholes;  // [cells][3] for i, f, o; empty where there are none
};

template <typename Matrix>
struct BasicNetwork {
  std::vector<float> input_mean;        // [inputs of layer 0]
  std::vector<float> input_inv_stddev;  // [inputs of layer 0]
  std::vector<BasicNetworkLayer<Matrix>> layers;
  Matrix output;
};
using DenseNetwork = BasicNetwork<DenseMatrix>;
using Network = BasicNetwork<SparseMatrix>;

// What each importer makes of its file, for all that follows.
struct ImportedNetwork {
  Topology topology;
  DenseNetwork network;
  std::vector<std::string> notices;  // for the user's attention
};

// [input | recurrent] with the rows of a cell side by side. The weights are row-major, four blocks
// of name.cells rows in the order that name.blocks says; `bias` is [4 * name.cells], in that order.
DenseMatrix JoinGates(MatrixName name, const std::vector<float>& input,
                      const std::vector<float>& recurrent, const std::vector<double>& bias);

}  // namespace ese
