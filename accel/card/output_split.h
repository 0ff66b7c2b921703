// SPDX-License-Identifier: Apache-2.0
// Splits the rows of the output layer among PEs. Rows are dealt P at a time. Where the last round
// would leave PEs idle, several PEs share each of its rows: each PE multiplies a piece, which is a
// stretch of the row's entries, and the host adds the partial sums (exactly, modulo 2^32).
#pragma once

#include <cstdint>
#include <vector>

#include "accel/card/card_model.h"

namespace ese {

// Returns the one or two passes of the output layer. `source` is the first column read.
std::vector<CardPass> SplitOutput(const Matrix& output, int pes, int source);

// Returns the entries of piece `piece` of row `row`. If the piece begins too far from column 0 for
// one gap, entries of weight 0 come first.
std::vector<uint16_t> PieceEntries(const Matrix& matrix, int row, int pieces, int piece);

}  // namespace ese
