// SPDX-License-Identifier: Apache-2.0
#include "features/fbank.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "features/fbank_tables.h"

namespace ese {

int64_t FrameStartSample(const FbankOptions& options, int64_t frame) {
  return frame * options.stack * SamplesIn(options.frame_shift_ms, options.sample_rate_hz);
}

double FrameStartMs(const FbankOptions& options, int64_t frame) {
  return 1000.0 * static_cast<double>(FrameStartSample(options, frame)) / options.sample_rate_hz;
}

absl::StatusOr<FbankStream> FbankStream::Create(const FbankOptions& options) {
  absl::StatusOr<std::shared_ptr<const FbankTables>> tables = MakeFbankTables(options);
  if (!tables.ok()) return tables.status();
  return FbankStream(*std::move(tables));
}

FbankStream::FbankStream(std::shared_ptr<const FbankTables> tables) : tables_(std::move(tables)) {
  pending_.reserve(tables_->window_samples);
  energies_.reserve(tables_->dim);
}

int FbankStream::dim() const { return tables_->dim; }

int FbankStream::Accept(absl::Span<const int16_t> samples, std::vector<float>* out) {
  const FbankTables& t = *tables_;
  const size_t num_mel_bins = t.triangles.size();
  int frames = 0;
  while (pending_.size() + samples.size() >= static_cast<size_t>(t.window_samples)) {
    const size_t taken = t.window_samples - pending_.size();
    pending_.insert(pending_.end(), samples.begin(), samples.begin() + taken);
    samples.remove_prefix(taken);

    energies_.resize(energies_.size() + num_mel_bins);
    ComputeLogMel(t, pending_.data(), energies_.data() + energies_.size() - num_mel_bins);
    pending_.erase(pending_.begin(), pending_.begin() + t.shift_samples);

    if (energies_.size() == static_cast<size_t>(t.dim)) {
      out->insert(out->end(), energies_.begin(), energies_.end());
      energies_.clear();
      ++frames;
    }
  }
  pending_.insert(pending_.end(), samples.begin(), samples.end());
  return frames;
}

void FbankStream::Reset() {
  pending_.clear();
  energies_.clear();
}

}  // namespace ese
