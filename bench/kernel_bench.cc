// ese-bench-kernel: the paper's LSTM, one step on one thread, against dense products of the same
// shapes. Figures go to standard output, a line of JSON each; a summary for people to standard
// error.
//
// A step is all of it: features in, gates, cells, projection, output layer, and the streams' state
// in and out of a batch of 8 frames. The peers do their two products and nothing else.
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "accel/cpu/batch_runner.h"
#include "accel/cpu/kernel_registry.h"
#include "accel/cpu/packed_model.h"
#include "bench/gemm_peers.h"
#include "bench/interleaved.h"
#include "model/testing.h"
#include "nlohmann/json.hpp"

namespace ese {
namespace {

constexpr int kRounds = 41;
constexpr int kFrames = 8;

// Streams that are stepped in one batch over and over.
class Load {
 public:
  Load(std::shared_ptr<const PackedModel> model, const StepKernel* kernel, int lanes)
      : runner_(model, kernel), frames_(size_t(kFrames) * model->model().input_dim() * lanes) {
    std::mt19937 random(3);
    for (int8_t& x : frames_) x = static_cast<int8_t>(random());
    const size_t frame_bytes = frames_.size() / lanes;
    const size_t logits = size_t(kFrames) * model->model().num_units();
    logits_.resize(logits * lanes);
    states_.assign(2 * lanes, StreamState(model->model()));
    for (int i = 0; i < lanes; ++i) {
      batch_.lanes.push_back(
          {.frames = absl::MakeSpan(frames_).subspan(i * frame_bytes, frame_bytes),
           .state_in = &states_[2 * i],
           .state_out = &states_[2 * i + 1],
           .logits = absl::MakeSpan(logits_).subspan(i * logits, logits)});
    }
  }

  void Run() { runner_.Run(&batch_); }

 private:
  BatchRunner runner_;
  std::vector<int8_t> frames_;
  std::vector<int32_t> logits_;
  std::vector<StreamState> states_;
  Batch batch_;
};

// Rivals of one round, found by name.
class Race {
 public:
  void Add(const std::string& name, int units, std::function<void()> run) {
    contenders_.push_back({.name = name, .run = std::move(run), .units = units});
  }
  void Run(int rounds) { RunInterleaved(rounds, &contenders_); }

  const Contender& Find(const std::string& name) const {
    for (const Contender& contender : contenders_) {
      if (contender.name == name) return contender;
    }
    std::abort();  // a misspelt name in this file
  }
  const std::vector<Contender>& contenders() const { return contenders_; }

 private:
  std::vector<Contender> contenders_;
};

std::string Our(const std::string& kernel, int lanes) {
  return "ese-" + kernel + " x" + std::to_string(lanes);
}
std::string Peer(const std::string& peer, int lanes) { return peer + " x" + std::to_string(lanes); }

void AddOurs(const std::shared_ptr<const PackedModel>& model, const StepKernel* kernel, int lanes,
             Race* race) {
  auto load = std::make_shared<Load>(model, kernel, lanes);
  race->Add(Our(kernel->name(), lanes), kFrames, [load] { load->Run(); });
}

void AddPeers(const std::vector<GemmShape>& shapes, int lanes, Race* race) {
  race->Add(Peer("onednn-fp32-gemm", lanes), 1, OneDnnGemm(shapes, lanes, false));
  race->Add(Peer("onednn-u8s8-gemm", lanes), 1, OneDnnGemm(shapes, lanes, true));
  race->Add(Peer("openblas-sgemm", lanes), 1, OpenBlasGemm(shapes, lanes, false));
  race->Add(Peer("openblas-sgemm-t", lanes), 1, OpenBlasGemm(shapes, lanes, true));
}

// The faster of OpenBLAS's two layouts.
const Contender& OpenBlas(const Race& race, int lanes) {
  const Contender& columns = race.Find(Peer("openblas-sgemm", lanes));
  const Contender& rows = race.Find(Peer("openblas-sgemm-t", lanes));
  return Quantile(columns.microseconds, 0.5) < Quantile(rows.microseconds, 0.5) ? columns : rows;
}

double Rounded(double value) { return std::round(value * 100) / 100; }

void Print(const std::string& name, const Contender& ours, const std::string& peer_name,
           const Contender& peer) {
  const nlohmann::ordered_json line = {{"name", name},
                                       {"value", Rounded(Quantile(ours.microseconds, 0.5))},
                                       {"unit", "us"},
                                       {"peer", peer_name},
                                       {"ratio", Rounded(MedianRatio(peer, ours))}};
  std::printf("%s\n", line.dump().c_str());
}

void Summarise(const Race& race) {
  std::fprintf(stderr, "%-28s %10s %10s %10s   us a step\n", "", "median", "10 %", "90 %");
  for (const Contender& c : race.contenders()) {
    std::fprintf(stderr, "%-28s %10.1f %10.1f %10.1f\n", c.name.c_str(),
                 Quantile(c.microseconds, 0.5), Quantile(c.microseconds, 0.1),
                 Quantile(c.microseconds, 0.9));
  }
}

int Main() {
  const absl::StatusOr<const StepKernel*> chosen = ChooseKernel();
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
  const Layer& layer = (*packed)->model().layers[0];
  const std::vector<GemmShape> shapes = {{layer.gates.rows, layer.gates.columns},
                                         {layer.projection.rows, layer.projection.columns}};
  std::fprintf(stderr, "kernel %s; %.2f MB of packed model; OpenBLAS takes this for %s\n",
               kernel.c_str(), (*packed)->bytes() / 1e6, OpenBlasCore().c_str());

  const std::vector<int> sizes = {64, 32, 16, 8, 4, 2, 1};
  Race race;
  for (const int lanes : sizes) {
    AddOurs(*packed, *chosen, lanes, &race);
    AddPeers(shapes, lanes, &race);
  }
  for (const StepKernel* other : SupportedKernels()) {
    if (other != *chosen) AddOurs(*packed, other, 64, &race);
  }
  race.Run(kRounds);

  Summarise(race);
  for (const int lanes : sizes) {
    const std::string name = "kernel.step" + std::to_string(lanes) + ".1t";
    const Contender& ours = race.Find(Our(kernel, lanes));
    Print(name, ours, "onednn-fp32-gemm", race.Find(Peer("onednn-fp32-gemm", lanes)));
    Print(name, ours, "onednn-u8s8-gemm", race.Find(Peer("onednn-u8s8-gemm", lanes)));
    Print(name, ours, "openblas-sgemm", OpenBlas(race, lanes));
  }
  for (const StepKernel* other : SupportedKernels()) {
    Print("kernel.isa." + std::string(other->name()), race.Find(Our(other->name(), 64)),
          "onednn-fp32-gemm", race.Find(Peer("onednn-fp32-gemm", 64)));
  }
  return 0;
}

}  // namespace
}  // namespace ese

// The peers read these variables before main: one thread each, and no processor type or cache size
// that the environment may force on OpenBLAS and that would make it slower than it is.
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

// oneDNN reports errors by exceptions.
int main(int, char** argv) {
  StartAgainWithFairSettings(argv);
  try {
    return ese::Main();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "ese-bench-kernel: %s\n", e.what());
    return 1;
  }
}
