// SPDX-License-Identifier: Apache-2.0
#include "compiler/quantize.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "model/arithmetic.h"

namespace ese {
namespace {

constexpr int kFinerScales = 2;  // candidates beyond the finest scale that clips nothing

// A real weight times 2^exponent, rounded to an integer with halves up, before saturation.
double Scaled(double weight, int exponent) {
  return std::floor(std::ldexp(weight, exponent) + 0.5);
}

int Clip(double scaled) {
  return static_cast<int>(std::clamp<double>(scaled, kMinWeight, kMaxWeight));
}

bool Fits(const std::vector<double>& row, int exponent) {
  return std::all_of(row.begin(), row.end(), [&](double weight) {
    const double scaled = Scaled(weight, exponent);
    return scaled >= kMinWeight && scaled <= kMaxWeight;
  });
}

double SquaredError(const std::vector<double>& row, int exponent) {
  double sum = 0;
  for (const double weight : row) {
    const double error = weight - std::ldexp(Clip(Scaled(weight, exponent)), -exponent);
    sum += error * error;
  }
  return sum;
}

// The amount that a peephole adds to the loader's bound on the sums of a gate row.
int64_t PeepholeBound(const MatrixName& name, int row, const std::vector<int16_t>& peepholes) {
  constexpr int kOfGate[] = {0, 1, -1, 2};  // i, f, g, o
  if (name.cells == 0 || peepholes.empty() || kOfGate[row % 4] < 0) return 0;
  const int64_t p = peepholes[size_t(row / 4) * 3 + kOfGate[row % 4]];
  return RoundShift(std::abs(p) << 15, kPeepholeShift) + 1;
}

// Quantizes one matrix row by row.
class Quantizer {
 public:
  Quantizer(const SparseMatrix& real, const ColumnFormats& formats,
            const std::vector<int16_t>& peepholes)
      : real_(real), formats_(formats), peepholes_(peepholes) {}

  absl::StatusOr<MatrixDraft> Run() {
    draft_.rows = real_.rows;
    draft_.columns = real_.columns;
    draft_.entries_per_row = real_.entries_per_row;
    draft_.entries.reserve(real_.column.size());
    for (int r = 0; r < real_.rows; ++r) ESE_RETURN_IF_ERROR(AppendRow(r));
    return std::move(draft_);
  }

 private:
  template <typename... Args>
  absl::Status Error(int row, const Args&... what) const {
    return absl::InvalidArgumentError(
        absl::StrCat(real_.name.tensors, ", ", real_.name.Row(row), ": ", what...));
  }

  absl::Status AppendRow(int r) {
    const size_t first = size_t(r) * real_.entries_per_row;
    row_.clear();
    for (int k = 0; k < real_.entries_per_row; ++k) {
      // One unit of an input with fewer fraction bits is worth several units of the finest format.
      const int finer = formats_.Largest() - formats_.Of(real_.column[first + k]);
      row_.push_back(std::ldexp(double{real_.weights[first + k]}, finer));
    }
    ESE_ASSIGN_OR_RETURN(const int exponent, ChooseExponent(r));
    const int shift = Accumulator::kFractionBits - formats_.Largest() - exponent;
    int previous = -1;
    int64_t magnitude = 0;
    for (int k = 0; k < real_.entries_per_row; ++k) {
      const int weight = Clip(Scaled(row_[k], exponent));
      const int column = real_.column[first + k];
      draft_.entries.push_back(MakeEntry(column - previous - 1, weight));
      magnitude += std::abs(weight);
      previous = column;
    }
    draft_.shift.push_back(static_cast<uint8_t>(shift));
    return AppendBias(r, (magnitude * 128) << shift);
  }

  absl::StatusOr<int> ChooseExponent(int r) const {
    const int finest = Accumulator::kFractionBits - formats_.Largest();
    int exponent = finest;
    while (exponent > finest - kMaxRowShift && !Fits(row_, exponent)) --exponent;
    if (!Fits(row_, exponent)) {
      return Error(r, "its largest weight is beyond ", std::ldexp(kMaxWeight, -exponent),
                   " and cannot be represented; clip the weights in training");
    }
    const int coarsest = exponent;
    double least = SquaredError(row_, exponent);
    for (int finer = coarsest + 1; finer <= std::min(coarsest + kFinerScales, finest); ++finer) {
      const double error = SquaredError(row_, finer);
      if (error < least) {
        least = error;
        exponent = finer;
      }
    }
    return exponent;
  }

  // Proves that no sum of this row exceeds 32 bits, by the loader's bound (docs/arithmetic.md, 9).
  absl::Status AppendBias(int r, int64_t largest_sum) {
    constexpr int64_t kRoundingMargin = int64_t{1} << (Accumulator::kFractionBits - 1);
    const double bias = Scaled(real_.bias[r], Accumulator::kFractionBits);
    const double bound = static_cast<double>(largest_sum) + std::abs(bias) +
                         static_cast<double>(PeepholeBound(real_.name, r, peepholes_)) +
                         static_cast<double>(kRoundingMargin);
    if (bound > std::numeric_limits<int32_t>::max()) {
      return Error(r, "its sums can reach ", std::ldexp(bound, -Accumulator::kFractionBits),
                   " but a 32-bit sum must stay below 4096: the weights' magnitudes add up to ",
                   std::ldexp(static_cast<double>(largest_sum), -Accumulator::kFractionBits),
                   " with inputs at their limits, the bias is ", real_.bias[r],
                   "; clip weights and biases in training, or prune to a lower ",
                   real_.name.density_flag);
    }
    draft_.bias.push_back(static_cast<int32_t>(bias));
    return absl::OkStatus();
  }

  const SparseMatrix& real_;
  const ColumnFormats& formats_;
  const std::vector<int16_t>& peepholes_;
  MatrixDraft draft_;
  std::vector<double> row_;  // weights of the current row, scaled to the finest input format
};

}  // namespace

absl::StatusOr<MatrixDraft> Quantize(const SparseMatrix& matrix, const ColumnFormats& formats,
                                     const std::vector<int16_t>& peepholes) {
  return Quantizer(matrix, formats, peepholes).Run();
}

absl::StatusOr<std::vector<int16_t>> QuantizePeepholes(const LayerTopology& layer,
                                                       const std::vector<float>& peepholes) {
  std::vector<int16_t> quantized;
  for (size_t k = 0; k < peepholes.size(); ++k) {
    const double scaled = Scaled(peepholes[k], Peephole::kFractionBits);
    if (scaled < std::numeric_limits<int16_t>::min() ||
        scaled > std::numeric_limits<int16_t>::max()) {
      const char* const kNames[] = {"weight_ci", "weight_cf", "weight_co"};
      return absl::InvalidArgumentError(
          absl::StrCat(layer.Tensor(kNames[k % 3]), ": the peephole of cell ", k / 3, " is ",
                       peepholes[k], ", outside [-8, 8); clip it in training"));
    }
    quantized.push_back(static_cast<int16_t>(scaled));
  }
  return quantized;
}

double RealWeight(int weight, int shift, int fraction_bits) {
  return std::ldexp(weight, shift - Accumulator::kFractionBits + fraction_bits);
}

double WeightSnrDb(const SparseMatrix& real, const Matrix& quantized,
                   const ColumnFormats& formats) {
  double signal = 0;
  double error = 0;
  std::vector<double> difference(real.columns);
  for (int r = 0; r < real.rows; ++r) {
    std::fill(difference.begin(), difference.end(), 0.0);
    const size_t first = size_t(r) * real.entries_per_row;
    for (int k = 0; k < real.entries_per_row; ++k) {
      const double weight = real.weights[first + k];
      signal += weight * weight;
      difference[real.column[first + k]] = weight;
    }
    int column = -1;
    for (int k = 0; k < quantized.entries_per_row; ++k) {
      const uint16_t entry = quantized.entries[size_t(r) * quantized.entries_per_row + k];
      column += EntryGap(entry) + 1;
      difference[column] -= RealWeight(EntryWeight(entry), quantized.shift[r], formats.Of(column));
    }
    for (const double d : difference) error += d * d;
  }
  return Decibels(signal, error);
}

double Decibels(double signal, double error) {
  if (error == 0) return std::numeric_limits<double>::infinity();
  if (signal == 0) return -std::numeric_limits<double>::infinity();
  return 10 * std::log10(signal / error);
}

}  // namespace ese
