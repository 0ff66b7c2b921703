// SPDX-License-Identifier: Apache-2.0
// ese-bench-paper runs a cycle model of the ESE paper's machine and compares it with the paper. It
// prints each figure as a line of JSON, which docs/ese_paper.md explains. It measures no time.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "bench/ese_paper/network.h"
#include "bench/ese_paper/paper.h"
#include "bench/ese_paper/product.h"
#include "bench/ese_paper/step.h"
#include "bench/figures.h"

namespace ese {
namespace {

constexpr uint64_t kSeed = 1;
constexpr char kPeer[] = "paper";

double RealUs(const std::vector<CscMatrix>& matrices, const Machine& machine) {
  return CyclesToUs(TimeStep(matrices, machine).Sum().Cycles());
}

double TheoreticalUs(const std::vector<CscMatrix>& matrices) {
  double words = 0;
  for (const CscMatrix& matrix : matrices) words += static_cast<double>(matrix.Words());
  return CyclesToUs(words);
}

int64_t Entries(const std::vector<CscMatrix>& matrices) {
  int64_t entries = 0;
  for (const CscMatrix& matrix : matrices) entries += matrix.Entries();
  return entries;
}

int64_t Padding(const std::vector<CscMatrix>& matrices) {
  int64_t padding = 0;
  for (const CscMatrix& matrix : matrices) padding += matrix.padding;
  return padding;
}

// The share of PE cycles that multiply while a product runs. Passes and waits do not count.
double BusyPercent(const std::vector<CscMatrix>& matrices, const PeArray& array) {
  double cycles = 0;
  for (const CscMatrix& m : matrices) cycles += static_cast<double>(TimeProduct(m, array).cycles);
  return 100 * static_cast<double>(Entries(matrices)) / (kPaperPes * cycles);
}

void PrintEncoding(const std::string& prefix, const std::vector<CscMatrix>& matrices) {
  double weights = 0;
  for (const PaperMatrix& m : kPaperMatrices) weights += static_cast<double>(m.rows) * m.columns;
  const auto entries = static_cast<double>(Entries(matrices));
  const auto padding = static_cast<double>(Padding(matrices));
  PrintFigure(prefix + "kept", 100 * (entries - padding) / weights, "%");
  PrintFigure(prefix + "padding", 100 * padding / (entries - padding), "%");
  PrintBeside(prefix + "theoretical_us", TheoreticalUs(matrices), "us", kPeer, kPaperTheoreticalUs);
}

// Prints each matrix's state beside the paper's row. The pass of m counts as part of Wym, which
// waits for it. The pass of o belongs to no matrix, because the paper's rows leave 5.35 us over.
void PrintMatrices(const std::vector<CscMatrix>& matrices, const StepTime& step) {
  double with_next = 0, rows = 0;
  for (size_t s = 0; s < kStates.size(); ++s) {
    const double us = CyclesToUs(step.states[s].Cycles());
    if (kStates[s].product < 0) {
      with_next = kStates[s].name == "m" ? us : 0;
      continue;
    }
    const PaperMatrix& paper = kPaperMatrices[kStates[s].product];
    const CscMatrix& matrix = matrices[kStates[s].product];
    const std::string name = "ese_paper.matrix." + std::string(paper.name);
    PrintBeside(name + ".words", static_cast<double>(matrix.Words()), "words", kPeer,
                paper.Words());
    PrintBeside(name + ".real_us", us + with_next, "us", kPeer, paper.real_us);
    rows += paper.real_us;
    with_next = 0;
  }
  const auto o = std::find_if(kStates.begin(), kStates.end(),
                              [](const State& state) { return state.name == "o"; });
  PrintBeside("ese_paper.matrix.none.real_us",
              CyclesToUs(step.states[o - kStates.begin()].Cycles()), "us", kPeer,
              kPaperRealUs - rows);
}

void PrintWhereTimeGoes(const StepTime& step) {
  const std::string prefix = "ese_paper.cycles.";
  const StateTime sum = step.Sum();
  double alone = 0;  // passes with no product beside them
  for (size_t s = 0; s < kStates.size(); ++s) {
    if (kStates[s].product < 0) alone += step.states[s].pass;
  }
  PrintFigure(prefix + "words", sum.words, "cycles");
  PrintFigure(prefix + "out_of_step", sum.out_of_step, "cycles");
  PrintFigure(prefix + "pass_beside_product", sum.pass - alone, "cycles");
  PrintFigure(prefix + "pass_alone", alone, "cycles");
  PrintFigure(prefix + "latency", sum.latency, "cycles");
  PrintFigure(prefix + "memory", sum.memory, "cycles");
}

void PrintQueueDepths(const std::vector<CscMatrix>& matrices) {
  for (int depth = 1; depth <= 16; ++depth) {
    Machine machine;
    machine.array.queue_depth = depth;
    const std::string prefix = "ese_paper.queue." + std::to_string(depth) + ".";
    PrintFigure(prefix + "real_us", RealUs(matrices, machine), "us");
    PrintFigure(prefix + "busy", BusyPercent(matrices, machine.array), "%");
  }
}

void PrintSpeedup(const std::string& name, double speedup, double paper) {
  if (paper > 0) {
    PrintBeside("ese_paper.speedup." + name, speedup, "x", kPeer, paper);
  } else {
    PrintFigure("ese_paper.speedup." + name, speedup, "x");
  }
}

// Prints how much faster than dense the network is at 90 % pruned.
void PrintSpeedupIf(const std::string& assumption, const Network& network, const Machine& machine) {
  const double dense = RealUs(network.Pruned(1, Pruning::kBalanced), machine);
  const std::string prefix = "ese_paper.if." + assumption + ".";
  PrintFigure(prefix + "dense_us", dense, "us");
  PrintFigure(prefix + "speedup.balanced.90",
              dense / RealUs(network.Pruned(0.1, Pruning::kBalanced), machine), "x");
  PrintFigure(prefix + "speedup.unbalanced.90",
              dense / RealUs(network.Pruned(0.1, Pruning::kUnbalanced), machine), "x");
}

void PrintSpeedups(const Network& network) {
  const Machine machine;
  const double dense = RealUs(network.Pruned(1, Pruning::kBalanced), machine);
  PrintFigure("ese_paper.dense_us", dense, "us");
  std::vector<PaperSpeedup> points(kPaperSpeedups.begin(), kPaperSpeedups.end());
  points.push_back({95, 0, 0});  // the paper's plot has no readable value here
  for (const PaperSpeedup& point : points) {
    const double density = 1 - point.percent_pruned / 100.0;
    const std::string percent = std::to_string(point.percent_pruned);
    PrintSpeedup("balanced." + percent,
                 dense / RealUs(network.Pruned(density, Pruning::kBalanced), machine),
                 point.balanced);
    PrintSpeedup("unbalanced." + percent,
                 dense / RealUs(network.Pruned(density, Pruning::kUnbalanced), machine),
                 point.unbalanced);
  }
}

// Prints the results under other assumptions.
void PrintAssumptions(const Network& network, const std::vector<CscMatrix>& matrices) {
  const auto with = [&](const std::string& name, auto change) {
    Machine machine;
    change(&machine);
    PrintFigure("ese_paper.if." + name + ".real_us", RealUs(matrices, machine), "us");
    return machine;
  };
  with("no_latency", [](Machine* m) { m->latency = 0; });
  with("two_elements_a_cycle", [](Machine* m) { m->elements_per_cycle = 2; });
  with("empty_columns_free", [](Machine* m) { m->array.empty_column_cycles = 0; });
  with("one_memory_module", [](Machine* m) { m->bytes_per_cycle /= 2; });
  with("memory_at_80_percent", [](Machine* m) { m->bytes_per_cycle *= 0.8 / 0.9; });
  const Machine ideal = with("ideal_memory", [](Machine* m) { m->bytes_per_cycle = 1e9; });
  PrintSpeedupIf("ideal_memory", network, ideal);
  const Network alike(kSeed, 0);
  PrintFigure("ese_paper.if.spread_x0.real_us", RealUs(alike.OfThePapersSize(), Machine()), "us");
  PrintSpeedupIf("spread_x0", alike, Machine());
  PrintSpeedupIf("spread_x2", Network(kSeed, 2), Machine());
  PrintSpeedupIf("spread_x3", Network(kSeed, 3), Machine());
}

// Prints the largest minus the smallest of five networks: how much depends on the random weights.
void PrintSeedRange() {
  std::vector<double> balanced, unbalanced;
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    const Network network(seed, 1);
    balanced.push_back(RealUs(network.Pruned(0.1, Pruning::kBalanced), Machine()));
    unbalanced.push_back(RealUs(network.Pruned(0.1, Pruning::kUnbalanced), Machine()));
  }
  const auto range = [](const std::vector<double>& values) {
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    return *high - *low;
  };
  PrintFigure("ese_paper.seeds.balanced.90.range_us", range(balanced), "us");
  PrintFigure("ese_paper.seeds.unbalanced.90.range_us", range(unbalanced), "us");
}

void Run() {
  const Network network(kSeed, 1);
  const std::vector<CscMatrix> matrices = network.OfThePapersSize();
  const Machine machine;
  const StepTime step = TimeStep(matrices, machine);
  PrintEncoding("ese_paper.", matrices);
  PrintBeside("ese_paper.real_us", CyclesToUs(step.Sum().Cycles()), "us", kPeer, kPaperRealUs);
  PrintFigure("ese_paper.busy",
              100 * static_cast<double>(Entries(matrices)) / (kPaperPes * step.Sum().Cycles()),
              "%");
  PrintFigure("ese_paper.memory_busy", 100 * step.load_cycles / step.Sum().Cycles(), "%");
  PrintMatrices(matrices, step);
  PrintWhereTimeGoes(step);
  PrintEncoding("ese_paper.ten_percent.", network.Pruned(0.1, Pruning::kBalanced));
  PrintQueueDepths(matrices);
  PrintSpeedups(network);
  PrintAssumptions(network, matrices);
  PrintSeedRange();
}

}  // namespace
}  // namespace ese

int main() { ese::Run(); }
