// SPDX-License-Identifier: Apache-2.0
// The tables that are computed once for all streams with the same FbankOptions, and the computation
// of one analysis window with them. Private to features/.
#pragma once

#include <cstdint>
#include <vector>

#include "features/fbank.h"

namespace ese {

// A triangle over the num_bins FFT bins from first_bin on, which have weights other than zero.
struct MelTriangle {
  int first_bin;
  int num_bins;
  int first_weight;  // index into FbankTables::weights
};

struct FbankTables {
  int dim;             // floats in a frame
  int window_samples;  // length of an analysis window
  int shift_samples;   // from one window to the next
  int fft_samples;     // window_samples rounded up to a power of two; the rest is zeros
  float preemphasis;
  std::vector<float> window;  // [window_samples]
  std::vector<MelTriangle> triangles;
  std::vector<float> weights;
};

// The whole samples in `ms`, rounded down in double precision as Kaldi does
// (FrameExtractionOptions::WindowSize and WindowShift).
int SamplesIn(float ms, int sample_rate_hz);

// ln(x) to within one unit in the last place, for normal x > 0. Uses IEEE operations only, so that
// it is the same on every processor; the C library chooses its code, and with it the last bits, by
// processor.
float PortableLog(float x);

// Computes the log-mel energies of one analysis window: reads samples [tables.window_samples] and
// writes energies [tables.triangles.size()].
void ComputeLogMel(const FbankTables& tables, const int16_t* samples, float* energies);

}  // namespace ese
