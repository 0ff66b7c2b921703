// SPDX-License-Identifier: Apache-2.0
// Measures costs outside the kernels, for one stream at a time: features, quantization,
// log-softmax, the best path, and loading a model. `./run bench micro` runs it.
#include <benchmark/benchmark.h>

#include <cmath>
#include <vector>

#include "features/fbank.h"
#include "model/log_softmax.h"
#include "model/model.h"
#include "model/testing.h"
#include "server/ctc_decoder.h"

namespace ese {
namespace {

constexpr int kSamplesAFrame = 480;  // 30 ms at 16 kHz

void BM_FbankFrame(benchmark::State& state) {
  FbankStream stream = *FbankStream::Create(FbankOptions{});
  std::vector<int16_t> samples(kSamplesAFrame);
  for (int i = 0; i < kSamplesAFrame; ++i) {
    samples[i] = static_cast<int16_t>(8000 * std::sin(0.05 * i) + (i * 7919) % 301);
  }
  std::vector<float> features;
  for (auto _ : state) {
    features.clear();
    benchmark::DoNotOptimize(stream.Accept(samples, &features));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_FbankFrame);

const Model& PaperModel() {
  static const std::shared_ptr<const Model> model = RandomModel(PaperModelOptions());
  return *model;
}

void BM_QuantizeFrame(benchmark::State& state) {
  const Model& model = PaperModel();
  std::vector<float> features(model.input_dim(), 0.25f);
  std::vector<int8_t> x(model.input_columns());
  for (auto _ : state) {
    benchmark::DoNotOptimize(model.QuantizeFrame(features.data(), x.data()));
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_QuantizeFrame);

std::vector<int32_t> Logits(int units) {
  std::vector<int32_t> logits(units);
  for (int k = 0; k < units; ++k) logits[k] = (k * 7919) % 4001 << 10;
  return logits;
}

void BM_LogSoftmax(benchmark::State& state) {
  const std::vector<int32_t> logits = Logits(static_cast<int>(state.range(0)));
  std::vector<float> posteriors(logits.size());
  for (auto _ : state) {
    LogSoftmax(logits, absl::MakeSpan(posteriors));
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_LogSoftmax)->Arg(40)->Arg(5000);

void BM_BestPathFrame(benchmark::State& state) {
  const std::vector<int32_t> logits = Logits(40);
  CtcDecoder decoder(static_cast<int>(logits.size()), /*blank=*/0);
  std::vector<DecodedUnit> units;
  for (auto _ : state) {
    units.clear();
    decoder.Accept(logits, &units);
    benchmark::DoNotOptimize(units.data());
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_BestPathFrame);

void BM_LoadModel(benchmark::State& state) {
  const std::string bytes = *SerializeModel(RandomModelDraft(PaperModelOptions()));
  for (auto _ : state) benchmark::DoNotOptimize(Model::FromBytes(bytes));
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(bytes.size()));
}
BENCHMARK(BM_LoadModel)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace ese

BENCHMARK_MAIN();
