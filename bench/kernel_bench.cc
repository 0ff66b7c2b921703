// SPDX-License-Identifier: Apache-2.0
// ese-bench-kernel compares one step of the paper's LSTM on one thread with other libraries'
// products of the same shapes, dense and sparse. Figures go to standard output, one line of JSON
// each; a summary for people goes to standard error.
//
// Our time includes everything in a batch of 8 frames: loading features and states, gates, cells,
// projection, output layer, and storing states. The peers compute their two products and nothing
// else.
//
// ese-bench-kernel --answer prints the time of a step for each number of lanes that it reads from
// standard input.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "accel/cpu/algorithm_plan.h"
#include "accel/cpu/kernels/kernel_registry.h"
#include "accel/cpu/packed_model.h"
#include "bench/figures.h"
#include "bench/gemm_peers.h"
#include "bench/interleaved.h"
#include "bench/kernel_figures.h"
#include "bench/kernel_load.h"
#include "bench/sparse_peer.h"
#include "model/testing.h"

namespace ese {
namespace {

std::string Our(const std::string& kernel, int lanes) {
  return "ese-" + kernel + " x" + std::to_string(lanes);
}
std::string Peer(const std::string& peer, int lanes) { return peer + " x" + std::to_string(lanes); }

void AddOurs(const std::shared_ptr<const PackedModel>& model, const Kernel* kernel,
             const AlgorithmPlan& plan, int lanes, Race* race) {
  auto load = std::make_shared<KernelLoad>(model, kernel, plan, lanes, kFrames);
  race->Add(Our(kernel->name(), lanes), kFrames, [load] { load->Run(); });
}

void AddPeers(const Model& model, int lanes, Race* race) {
  const std::vector<GemmShape> shapes = DenseShapes(model);
  race->Add(Peer("onednn-fp32-gemm", lanes), 1, OneDnnGemm(shapes, lanes, false));
  race->Add(Peer("onednn-int8-gemm", lanes), 1, OneDnnGemm(shapes, lanes, true));
  race->Add(Peer("openblas-sgemm", lanes), 1, OpenBlasGemm(shapes, lanes, false));
  race->Add(Peer("openblas-sgemm-t", lanes), 1, OpenBlasGemm(shapes, lanes, true));
  race->Add(Peer("eigen-sparse", lanes), 1, EigenSparse(model, lanes));
}

// Returns OpenBLAS's contender with the faster of the two layouts.
const Contender& OpenBlas(const Race& race, int lanes) {
  const Contender& columns = race.Find(Peer("openblas-sgemm", lanes));
  const Contender& rows = race.Find(Peer("openblas-sgemm-t", lanes));
  return Quantile(columns.microseconds, 0.5) < Quantile(rows.microseconds, 0.5) ? columns : rows;
}

// For every number of lanes on standard input, prints the processor time of a step in us. With
// this, bench/peers takes turns with this program.
void Answer(const SharedModel& model, const Kernel* kernel) {
  const AlgorithmPlan plan = AlgorithmPlan::Measure(model, kernel);
  std::map<int, Race> races;
  for (int lanes; std::scanf("%d", &lanes) == 1 && lanes >= 1 && lanes <= kMaxLanes;) {
    Race& race = races[lanes];
    if (race.contenders().empty()) AddOurs(model, kernel, plan, lanes, &race);
    race.Run(5);
    std::vector<double> all = race.contenders()[0].microseconds;
    all.erase(all.begin(), all.end() - 5);
    std::printf("%.3f\n", Quantile(all, 0.5));
    std::fflush(stdout);
  }
}

int Main(bool answer) {
  const absl::StatusOr<const Kernel*> chosen = ChooseKernel();
  if (!chosen.ok()) {
    std::fprintf(stderr, "ese-bench-kernel: %s\n", std::string(chosen.status().message()).c_str());
    return 1;
  }
  const std::string kernel = (*chosen)->name();
  const auto packed = PackedModel::Create(RandomModel(PaperModelOptions()));
  if (!packed.ok()) {
    std::fprintf(stderr, "ese-bench-kernel: %s\n", std::string(packed.status().message()).c_str());
    return 1;
  }
  if (answer) {
    Answer(*packed, *chosen);
    return 0;
  }
  const AlgorithmPlan plan = AlgorithmPlan::Measure(*packed, *chosen);
  std::fprintf(stderr,
               "kernel %s, look-up for these numbers of lanes: %s; %.2f MB of packed model; "
               "OpenBLAS detected %s\n",
               kernel.c_str(), plan.LookupLanes().c_str(), (*packed)->bytes() / 1e6,
               OpenBlasCore().c_str());

  const std::vector<int> sizes = {64, 32, 16, 8, 4, 2, 1};
  Race race;
  for (const int lanes : sizes) {
    AddOurs(*packed, *chosen, plan, lanes, &race);
    AddPeers((*packed)->model(), lanes, &race);
  }
  for (const Kernel* other : SupportedKernels()) {
    if (other == *chosen) continue;
    const AlgorithmPlan measured = AlgorithmPlan::Measure(*packed, other);
    for (const int lanes : sizes) AddOurs(*packed, other, measured, lanes, &race);
  }
  race.Run(kRounds);

  Summarise(race);
  for (const int lanes : sizes) {
    const std::string name = "kernel.step" + std::to_string(lanes) + ".1t";
    const Contender& ours = race.Find(Our(kernel, lanes));
    PrintAgainst(name, ours, "onednn-fp32-gemm", race.Find(Peer("onednn-fp32-gemm", lanes)));
    PrintAgainst(name, ours, "onednn-int8-gemm", race.Find(Peer("onednn-int8-gemm", lanes)));
    PrintAgainst(name, ours, "openblas-sgemm", OpenBlas(race, lanes));
    PrintAgainst(name, ours, "eigen-sparse", race.Find(Peer("eigen-sparse", lanes)));
  }
  for (const Kernel* other : SupportedKernels()) {
    PrintAgainst("kernel.isa." + std::string(other->name()), race.Find(Our(other->name(), 64)),
                 "onednn-fp32-gemm", race.Find(Peer("onednn-fp32-gemm", 64)));
    for (const int lanes : sizes) {
      PrintFigure("kernel.isa." + std::string(other->name()) + ".step" + std::to_string(lanes),
                  Quantile(race.Find(Our(other->name(), lanes)).microseconds, 0.5), "us");
    }
  }
  PrintBoundFraction(*packed, *chosen, plan);
  PrintConvertShare(*packed, *chosen, plan);
  PrintSmoothness(*packed, *chosen, plan);
  PrintTwoThreads(*packed, *chosen, plan);
  PrintTeams(*packed, *chosen);
  PrintPackTime();
  PrintShapes(*chosen);
  return 0;
}

}  // namespace
}  // namespace ese

// Restarts the program with the right environment, because the peers' libraries read these
// variables before main: one thread each, and no processor type or cache size forced on OpenBLAS,
// which could make it slower than it is.
void StartAgainWithFairSettings(char** argv) {
  const char* const threads = std::getenv("OMP_NUM_THREADS");
  bool fair = threads != nullptr && std::string(threads) == "1";
  setenv("OMP_NUM_THREADS", "1", 1);
  for (const char* name : {"OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OPENBLAS_NUM_THREADS"}) {
    fair = fair && std::getenv(name) == nullptr;
    unsetenv(name);
  }
  if (!fair) execv("/proc/self/exe", argv);
}

// oneDNN reports errors as exceptions.
int main(int argc, char** argv) {
  StartAgainWithFairSettings(argv);
  try {
    return ese::Main(argc > 1 && std::string(argv[1]) == "--answer");
  } catch (const std::exception& e) {
    std::fprintf(stderr, "ese-bench-kernel: %s\n", e.what());
    return 1;
  }
}
