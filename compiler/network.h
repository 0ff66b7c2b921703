// SPDX-License-Identifier: Apache-2.0
// A trained network in real numbers: what the importers produce and the compiler quantizes.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "compiler/topology.h"

namespace ese {

// The largest dimension of a network, and the longest list in a topology.
inline constexpr int kMaxSize = 1 << 16;

// For each of our gates i, f, g, o: the index of its block of `cells` rows in the file.
using GateBlocks = std::array<int, 4>;
inline constexpr GateBlocks kTorchGates = {0, 1, 2, 3};
inline constexpr GateBlocks kOnnxGates = {0, 2, 3, 1};   // blocks i, o, f, c
inline constexpr GateBlocks kKaldiGates = {1, 2, 0, 3};  // blocks g, i, f, o

// How error messages name a matrix and its rows: by the tensors that it came from.
struct MatrixName {
  std::string tensors;       // "lstm.weight_ih_l0 | lstm.weight_hh_l0"
  std::string density_flag;  // the option that prunes it, "--density-gates"
  // For gates only: our row 4 * cell + gate is the file's row blocks[gate] * cells + cell.
  int cells = 0;
  GateBlocks blocks = kTorchGates;

  // "row 1029 (gate f of cell 5)". The row number is that of the tensor in the file.
  std::string Row(int row) const;
};

struct DenseMatrix {
  MatrixName name;
  int rows = 0;
  int columns = 0;
  std::vector<float> weights;  // [rows][columns]
  std::vector<double> bias;    // [rows]
};

// A matrix with the same number of entries in every row, as the model stores it.
struct SparseMatrix {
  MatrixName name;
  int rows = 0;
  int columns = 0;
  int entries_per_row = 0;
  std::vector<int> column;     // [rows][entries_per_row], ascending, gaps of at most kMaxGap
  std::vector<float> weights;  // [rows][entries_per_row], 0 for fillers
  std::vector<double> bias;    // [rows]
};

// One layer. Rows and columns are as in model/model.h: the gate rows of each cell are adjacent, in
// the order i, f, g, o, and their columns are [x ; y'].
template <typename Matrix>
struct BasicNetworkLayer {
  LayerTopology topology;
  Matrix gates;
  Matrix projection;             // empty if the layer has none
  std::vector<float> peepholes;  // [cells][3] for i, f, o; empty if the layer has none
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

// What every importer returns.
struct ImportedNetwork {
  Topology topology;
  DenseNetwork network;
  std::vector<std::string> notices;  // what the user should know
};

// Joins the matrices of the gates to [input | recurrent], with the rows of each cell adjacent. Both
// matrices are row-major, in four blocks of name.cells rows; name.blocks gives their order. `bias`
// is [4 * name.cells] in the same order.
DenseMatrix JoinGates(MatrixName name, const std::vector<float>& input,
                      const std::vector<float>& recurrent, const std::vector<double>& bias);

}  // namespace ese
