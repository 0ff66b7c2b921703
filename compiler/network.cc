// SPDX-License-Identifier: Apache-2.0
#include "compiler/network.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace ese {

std::string MatrixName::Row(int row) const {
  if (cells == 0) return absl::StrCat("row ", row);
  const char gate = "ifgo"[row % 4];
  return absl::StrCat("row ", blocks[row % 4] * cells + row / 4, " (gate ", std::string(1, gate),
                      " of cell ", row / 4, ")");
}

DenseMatrix JoinGates(MatrixName name, const std::vector<float>& input,
                      const std::vector<float>& recurrent, const std::vector<double>& bias) {
  DenseMatrix gates;
  gates.rows = 4 * name.cells;
  const size_t input_columns = input.size() / gates.rows;
  const size_t recurrent_columns = recurrent.size() / gates.rows;
  gates.columns = static_cast<int>(input_columns + recurrent_columns);
  gates.weights.reserve(size_t(gates.rows) * gates.columns);
  for (int row = 0; row < gates.rows; ++row) {
    const size_t from = size_t(name.blocks[row % 4]) * name.cells + row / 4;
    const auto append = [&](const std::vector<float>& tensor, size_t columns) {
      const auto first = tensor.begin() + from * columns;
      gates.weights.insert(gates.weights.end(), first, first + columns);
    };
    append(input, input_columns);
    append(recurrent, recurrent_columns);
    gates.bias.push_back(bias[from]);
  }
  gates.name = std::move(name);
  return gates;
}

}  // namespace ese
