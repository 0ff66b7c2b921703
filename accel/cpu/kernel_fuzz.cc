// SPDX-License-Identifier: Apache-2.0
// kernel_fuzz: compares both algorithms of every kernel with the reference. The input's bytes
// decide the shapes, densities, gain, lengths and activations. With clang and
// -DESE_BUILD_FUZZERS=ON this is a libFuzzer target. Otherwise it has a main that feeds it random
// inputs:
//
//     kernel_fuzz [INPUTS [SEED]]
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "accel/cpu/batch_runner.h"
#include "accel/cpu/kernels/kernel_registry.h"
#include "accel/cpu/packed_model.h"
#include "model/reference.h"
#include "model/testing.h"

namespace ese {
namespace {

// Reads the input's bytes, then zeros.
class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  uint8_t Next() { return at_ < size_ ? data_[at_++] : uint8_t{0}; }
  int Between(int first, int last) { return first + Next() % (last - first + 1); }
  bool Flag() { return Next() % 2 != 0; }

 private:
  const uint8_t* const data_;
  const size_t size_;
  size_t at_ = 0;
};

RandomModelOptions ModelOptions(Bytes* bytes) {
  RandomModelOptions options;
  options.inputs = bytes->Between(1, 150);
  options.layers.clear();
  for (int layers = bytes->Between(1, 3); layers > 0; --layers) {
    RandomLayer layer;
    layer.cells = bytes->Between(1, 80);
    layer.projection = bytes->Flag() ? bytes->Between(1, 40) : 0;
    layer.peepholes = bytes->Flag();
    layer.g_activation = bytes->Flag() ? GActivation::kSigmoid : GActivation::kTanh;
    options.layers.push_back(layer);
  }
  options.units = bytes->Between(1, 40);
  constexpr double kDensities[] = {0, 0.05, 0.11, 0.3, 0.7, 1};
  options.density = kDensities[bytes->Between(0, 5)];
  constexpr double kGains[] = {0.1, 1, 30, 1000};
  options.gain = kGains[bytes->Between(0, 3)];
  constexpr double kFineDensities[] = {0, 0, 0.05, 0.3, 1};
  options.fine_density = kFineDensities[bytes->Between(0, 4)];
  options.wide_input = bytes->Flag();
  options.seed = bytes->Next() * 256 + bytes->Next();
  return options;
}

struct Stream {
  explicit Stream(const Model& model) : before(model), after(model), expected(model) {}
  std::vector<int8_t> frames;
  std::vector<int32_t> logits, expected_logits;
  StreamState before, after, expected;
};

Stream MakeStream(const Model& model, int frames, Bytes* bytes) {
  Stream stream(model);
  // A few bytes of input make many values. Some streams have extreme values only.
  std::minstd_rand random(1 + bytes->Next());
  const bool extreme = bytes->Flag();
  const auto byte = [&] {
    return static_cast<int8_t>(extreme ? random() % 2 * 255 - 128 : random());
  };
  stream.frames.resize(size_t(frames) * model.input_columns());
  for (int8_t& x : stream.frames) x = byte();
  for (int8_t& y : stream.before.y) y = byte();
  for (int16_t& c : stream.before.c) c = static_cast<int16_t>(extreme ? byte() * 258 : random());
  stream.logits.resize(size_t(frames) * model.num_units());
  stream.expected_logits = stream.logits;
  stream.expected = stream.before;
  for (int t = 0; t < frames; ++t) {
    ReferenceStep(model, &stream.frames[size_t(t) * model.input_columns()], &stream.expected,
                  &stream.expected_logits[size_t(t) * model.num_units()]);
  }
  return stream;
}

template <typename T>
bool Same(const AlignedBuffer<T>& a, const AlignedBuffer<T>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

void Check(const std::shared_ptr<const PackedModel>& model, const Kernel* kernel, int lookup_lanes,
           std::vector<Stream>* streams) {
  Batch batch;
  for (Stream& stream : *streams) {
    std::fill(stream.logits.begin(), stream.logits.end(), 0);
    batch.lanes.push_back({.frames = stream.frames,
                           .state_in = &stream.before,
                           .state_out = &stream.after,
                           .logits = absl::MakeSpan(stream.logits)});
  }
  BatchRunner(model, kernel, AlgorithmPlan::LookupUpTo(lookup_lanes)).Run(&batch);
  for (size_t i = 0; i < streams->size(); ++i) {
    const Stream& stream = (*streams)[i];
    if (stream.logits == stream.expected_logits && Same(stream.after.c, stream.expected.c) &&
        Same(stream.after.y, stream.expected.y)) {
      continue;
    }
    std::fprintf(stderr,
                 "kernel %s, look-up for up to %d lanes: lane %zu differs from the reference\n",
                 kernel->name(), lookup_lanes, i);
    std::abort();
  }
}

}  // namespace
}  // namespace ese

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ese::Bytes bytes(data, size);
  const auto model = ese::RandomModel(ese::ModelOptions(&bytes));
  const auto packed = *ese::PackedModel::Create(model);
  std::vector<ese::Stream> streams;
  const int lanes = bytes.Between(1, ese::kMaxLanes);
  for (int i = 0; i < lanes; ++i) {
    const int frames = bytes.Between(1, 3);
    streams.push_back(ese::MakeStream(*model, frames, &bytes));
  }
  for (const ese::Kernel* kernel : ese::SupportedKernels()) {
    ese::Check(packed, kernel, 0, &streams);
    if (kernel->lookup() == nullptr) continue;
    ese::Check(packed, kernel, bytes.Between(1, ese::kMaxLanes - 1), &streams);
    ese::Check(packed, kernel, ese::kMaxLanes, &streams);
  }
  return 0;
}

#ifndef ESE_LIBFUZZER
int main(int argc, char** argv) {
  const int inputs = argc > 1 ? std::atoi(argv[1]) : 100;
  std::mt19937 random(argc > 2 ? std::atoi(argv[2]) : 1);
  for (int i = 0; i < inputs; ++i) {
    std::vector<uint8_t> input(200);
    for (uint8_t& byte : input) byte = static_cast<uint8_t>(random());
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
  std::printf("%d inputs: every kernel equals the reference\n", inputs);
  return 0;
}
#endif
