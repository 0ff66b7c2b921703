// SPDX-License-Identifier: Apache-2.0
// How the output layer is dealt to PEs: rows go P at a time, and where the last round has few rows,
// several PEs share each of them. A PE's piece of a row is a stretch of its entries; the pieces'
// logits are partial sums, which the host adds up (exactly: 32-bit sums, modulo 2^32).
#pragma once

#include <cstdint>
#include <vector>

#include "accel/card/card_model.h"

namespace ese {

// The passes of the output layer, one or two. `source` is the first column read.
std::vector<CardPass> SplitOutput(const Matrix& output, int pes, int source);

// The entries of piece `piece` of row `row`: the row's own, after entries of weight 0 where the
// piece starts too far from column 0 for one gap.
std::vector<uint16_t> PieceEntries(const Matrix& matrix, int row, int pieces, int piece);

}  // namespace ese
