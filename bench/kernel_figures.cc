// SPDX-License-Identifier: Apache-2.0
#include "bench/kernel_figures.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <deque>
#include <random>
#include <string>
#include <thread>

#include "bench/calibration.h"
#include "bench/figures.h"
#include "bench/kernel_load.h"
#include "model/testing.h"

namespace ese {
namespace {

constexpr int kLanes = 64;

double Entries(const PackedMatrix& matrix) {
  return double(matrix.groups) * matrix.blocks_per_group * kBlockRows * kBlockEntries;
}

double Entries(const PackedModel& model) {
  double entries = Entries(model.output());
  for (const PackedLayer& layer : model.layers()) {
    entries += Entries(layer.gates) + Entries(layer.projection);
  }
  return entries;
}

double Cells(const Model& model) {
  double cells = 0;
  for (const Layer& layer : model.layers) cells += layer.cells;
  return cells;
}

// A kernel that computes nothing, so that a batch takes only the time to load and store its data.
class NoKernel final : public Kernel, public LookupKernel {
 public:
  const char* name() const override { return "none"; }
  bool Supported() const override { return true; }
  const LookupKernel* lookup() const override { return this; }

  void Cells(const PackedLayer&, int, const uint8_t*, int16_t*, uint8_t*) const override {}
  void Project(const PackedMatrix&, int, int, const uint8_t*, uint8_t*) const override {}
  void Project(const PackedLayer&, int, const uint8_t*, uint8_t*) const override {}
  void Logits(const PackedMatrix&, int, const uint8_t*, int32_t*) const override {}
  void Logits(const LookupMatrix&, int, const uint8_t*, int32_t*, size_t) const override {}
};

// Batches per second of `threads` threads together, each with its own load.
double BatchesPerSecond(std::deque<KernelLoad>* loads, size_t threads) {
  constexpr int kBatches = 40;
  const auto start = std::chrono::steady_clock::now();
  std::vector<std::thread> workers;
  for (size_t i = 0; i < threads; ++i) {
    workers.emplace_back([load = &(*loads)[i]] {
      for (int n = 0; n < kBatches; ++n) load->Run();
    });
  }
  for (std::thread& worker : workers) worker.join();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  return double(kBatches) * threads / seconds.count();
}

// The time of a step by the wall clock.
double WallMicroseconds(KernelLoad* load) {
  constexpr int kBatches = 20;
  const auto start = std::chrono::steady_clock::now();
  for (int n = 0; n < kBatches; ++n) load->Run();
  const std::chrono::duration<double, std::micro> time = std::chrono::steady_clock::now() - start;
  return time.count() / (kBatches * kFrames);
}

void PrintShape(const std::string& name, const RandomModelOptions& options, const Kernel* kernel) {
  const auto packed = PackedModel::Create(RandomModel(options));
  if (!packed.ok()) return;  // cannot happen: all of them fit
  auto load = std::make_shared<KernelLoad>(*packed, kernel, AlgorithmPlan::Measure(*packed, kernel),
                                           kLanes, kFrames);
  Race race;
  race.Add("ours", kFrames, [load] { load->Run(); });
  std::vector<GemmShape> dense = DenseShapes((*packed)->model());
  const Matrix& output = (*packed)->model().output;
  dense.push_back({output.rows, output.columns});
  race.Add("dense", 1, OneDnnGemm(dense, kLanes, false));
  race.Run(kRounds / 4);
  PrintAgainst(name, race.Find("ours"), "onednn-fp32-gemm", race.Find("dense"));
}

}  // namespace

std::vector<GemmShape> DenseShapes(const Model& model) {
  std::vector<GemmShape> shapes;
  for (const Layer& layer : model.layers) {
    shapes.push_back({layer.gates.rows, layer.gates.columns});
    if (layer.has_projection) shapes.push_back({layer.projection.rows, layer.projection.columns});
  }
  return shapes;
}

void PrintBoundFraction(const SharedModel& model, const Kernel* kernel, const AlgorithmPlan& plan) {
  CalibrationLoops loops;
  if (!GetCalibrationLoops(&loops)) return;
  auto load = std::make_shared<KernelLoad>(model, kernel, plan, kLanes, kFrames);
  Race race;
  race.Add("step", kFrames, [load] { load->Run(); });
  RandomModelOptions options = PaperModelOptions();
  options.density = 0;
  const auto empty = PackedModel::Create(RandomModel(options));
  if (!empty.ok()) return;  // cannot happen: it fits
  auto rest = std::make_shared<KernelLoad>(*empty, kernel, plan, kLanes, kFrames);
  race.Add("rest", kFrames, [rest] { rest->Run(); });
  race.Add("products", kCalibrationRepeats * 4, loops.products);  // four entries each
  race.Add("loads", kCalibrationRepeats * 16, loops.loads);
  race.Add("dots", kCalibrationRepeats * 16, loops.dots);
  race.Add("updates", kCalibrationRepeats, loops.updates);
  if (loops.lookups) race.Add("lookups", kCalibrationRepeats * 16, loops.lookups);
  race.Run(kRounds);
  const auto median = [&](const char* name) { return Quantile(race.Find(name).microseconds, 0.5); };
  constexpr int kLoadsForFour = 6;
  const double four = std::max(median("products"), kLoadsForFour * median("loads"));
  const double columns = Entries(*model) / 4 * four;
  // A look-up computes 64 products of one lane; 64 lanes take as many look-ups as there are
  // entries.
  const double lookup = loops.lookups ? Entries(*model) * median("lookups") : columns;
  const double products = std::min(columns, lookup);
  const double updates = Cells(model->model()) * kLanes / kUpdatedCells * median("updates");
  const double step = median("step"), without_products = median("rest");
  PrintFigure("kernel.peak.vpdpbusd", 1e-3 / median("dots"), "10^9/s");
  PrintFigure("kernel.peak.loads64", 1e-3 / median("loads"), "10^9/s");
  PrintFigure("kernel.peak.four_entries", median("products") * 1e3, "ns");
  if (loops.lookups) PrintFigure("kernel.peak.lookup64", median("lookups") * 1e3, "ns");
  PrintFigure("kernel.peak.update32", median("updates") * 1e3, "ns");
  PrintFigure("kernel.bound64.columns", columns, "us");
  PrintFigure("kernel.bound64.lookup", lookup, "us");
  PrintFigure("kernel.bound64.updates", updates, "us");
  PrintFigure("kernel.rest64", without_products, "us");
  PrintFigure("kernel.bound_fraction", (products + updates) / step, "1");
  PrintFigure("kernel.bound_fraction.products", products / step, "1");
}

void PrintPackTime() {
  RandomModelOptions options = PaperModelOptions();
  options.layers.assign(4, options.layers[0]);
  const ModelDraft draft = RandomModelDraft(options);
  const absl::StatusOr<std::string> bytes = SerializeModel(draft);
  const auto model = RandomModel(options);
  if (!bytes.ok()) return;  // cannot happen: a random model of this size is valid
  std::vector<double> milliseconds;
  for (int round = 0; round < kRounds / 2; ++round) {
    const auto start = std::chrono::steady_clock::now();
    (void)PackedModel::Create(model);
    const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
    milliseconds.push_back(time.count());
  }
  PrintFigure("kernel.pack_ms_per_10mb", Quantile(milliseconds, 0.5) * 1e7 / double(bytes->size()),
              "ms");
}

void PrintConvertShare(const SharedModel& model, const Kernel* kernel, const AlgorithmPlan& plan) {
  constexpr int kConvertFrames = 10;
  static const NoKernel none;
  const auto print = [&](const std::string& name, const AlgorithmPlan& used) {
    auto load = std::make_shared<KernelLoad>(model, kernel, used, kLanes, kConvertFrames);
    auto conversion = std::make_shared<KernelLoad>(model, &none, used, kLanes, kConvertFrames);
    Race race;
    race.Add("batch", 1, [load] { load->Run(); });
    race.Add("conversion", 1, [conversion] { conversion->Run(); });
    race.Run(kRounds);
    PrintFigure(name, MedianRatio(race.Find("conversion"), race.Find("batch")), "1");
  };
  print("kernel.convert_share", plan);
  print("kernel.convert_share.columns", AlgorithmPlan::LookupUpTo(0));
  if (kernel->lookup() != nullptr) {
    print("kernel.convert_share.lookup", AlgorithmPlan::LookupUpTo(kMaxLanes));
  }
}

void PrintSmoothness(const SharedModel& model, const Kernel* kernel, const AlgorithmPlan& plan) {
  Race race;
  for (int lanes = 1; lanes <= kMaxLanes; ++lanes) {
    auto load = std::make_shared<KernelLoad>(model, kernel, plan, lanes, kFrames);
    race.Add(std::to_string(lanes), kFrames, [load] { load->Run(); });
  }
  race.Run(kRounds / 2);
  std::vector<double> us(kMaxLanes + 1);
  for (int n = 1; n <= kMaxLanes; ++n) {
    us[n] = Quantile(race.Find(std::to_string(n)).microseconds, 0.5);
  }
  double worst = 1;
  int worst_lanes = 1;
  for (int n = 1; n <= kMaxLanes; ++n) {
    double other = *std::min_element(us.begin() + n, us.end());
    for (int part = 1; part < n; ++part) other = std::min(other, us[part] + us[n - part]);
    if (us[n] / other > worst) {
      worst = us[n] / other;
      worst_lanes = n;
    }
  }
  PrintFigure("kernel.smoothness", worst, "1");
  PrintFigure("kernel.smoothness.lanes", worst_lanes, "lanes");
}

void PrintTwoThreads(const SharedModel& model, const Kernel* kernel, const AlgorithmPlan& plan) {
  std::deque<KernelLoad> loads;
  for (int i = 0; i < 2; ++i) loads.emplace_back(model, kernel, plan, kLanes, kFrames);
  std::vector<double> ratios;
  for (int round = 0; round < kRounds / 2; ++round) {
    const double one = BatchesPerSecond(&loads, 1);
    ratios.push_back(BatchesPerSecond(&loads, 2) / one);
  }
  PrintFigure("kernel.step64.2t", Quantile(ratios, 0.5), "frames/s to one thread's");
}

void PrintTeams(const SharedModel& model, const Kernel* kernel) {
  if (kernel->lookup() == nullptr) return;
  const AlgorithmPlan plan = AlgorithmPlan::LookupUpTo(kMaxLanes);
  for (const int lanes : {1, 2, 4, 8, 16}) {
    KernelLoad one(model, kernel, plan, lanes, kFrames, 1),
        two(model, kernel, plan, lanes, kFrames, 2);
    std::vector<double> times, ratios;
    for (int round = 0; round < kRounds; ++round) {
      const double alone = WallMicroseconds(&one);
      times.push_back(WallMicroseconds(&two));
      ratios.push_back(alone / times.back());
    }
    const std::string name = "kernel.step" + std::to_string(lanes) + ".team2";
    PrintFigure(name, Quantile(times, 0.5), "us");
    PrintFigure(name + ".speedup", Quantile(ratios, 0.5), "1");
  }
}

void PrintShapes(const Kernel* kernel) {
  const RandomModelOptions paper = PaperModelOptions();
  RandomModelOptions options = paper;
  options.layers.assign(3, RandomLayer{.cells = 512});
  PrintShape("kernel.shape.3x512", options, kernel);
  options.layers.assign(5, RandomLayer{.cells = 320});
  PrintShape("kernel.shape.5x320", options, kernel);
  options = paper;
  options.units = 5000;
  PrintShape("kernel.shape.5000units", options, kernel);
  options = paper;
  for (const double percent : {5.0, 11.2, 20.0, 50.0, 100.0}) {
    options.density = percent / 100;
    const std::string number = percent == 11.2 ? "11.2" : std::to_string(int(percent));
    PrintShape("kernel.density." + number, options, kernel);
  }
}

}  // namespace ese
