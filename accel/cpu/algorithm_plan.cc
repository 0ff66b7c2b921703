// SPDX-License-Identifier: Apache-2.0
#include "accel/cpu/algorithm_plan.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "accel/cpu/columns_runner.h"
#include "accel/cpu/lookup_runner.h"
#include "base/clock.h"

namespace ese {
namespace {

constexpr int kFrames = 4;

// The cost of look-up for a group of n lanes, interpolated between the measured sizes.
double GroupCost(const AlgorithmCosts& costs, int n) {
  constexpr auto& kGroups = AlgorithmCosts::kGroups;
  const size_t i = n <= kGroups[1] ? 1 : 2;
  const double part = double(n - kGroups[i - 1]) / (kGroups[i] - kGroups[i - 1]);
  return costs.lookup[i - 1] + part * (costs.lookup[i] - costs.lookup[i - 1]);
}

double LookupCost(const AlgorithmCosts& costs, int lanes) {
  double cost = 0;
  const int groups = LookupRunner::GroupsFor(lanes);
  for (int i = 0; i < groups; ++i) cost += GroupCost(costs, LookupRunner::GroupSize(lanes, i));
  return cost;
}

double ColumnsCost(const AlgorithmCosts& costs, int lanes) {
  return costs.columns[lanes <= 16 ? 0 : lanes <= 32 ? 1 : 2];
}

// A batch of lanes with kFrames frames of zeros each. A busy server's batches have about as many
// frames, so that loading and storing the states weighs as much here as there.
class Load {
 public:
  Load(const Model& model, int lanes)
      : frames_(size_t(model.input_columns()) * kFrames),
        logits_(size_t(model.num_units()) * kFrames * lanes),
        states_(size_t(2) * lanes, StreamState(model)) {
    const size_t logits = logits_.size() / lanes;
    for (int i = 0; i < lanes; ++i) {
      lanes_.push_back({.frames = frames_,
                        .state_in = &states_[2 * i],
                        .state_out = &states_[2 * i + 1],
                        .logits = absl::MakeSpan(logits_).subspan(i * logits, logits)});
    }
    for (Lane& lane : lanes_) pointers_.push_back(&lane);
  }
  // The first `lanes` lanes.
  Segment First(int lanes) {
    return {.lanes = absl::MakeSpan(pointers_).first(lanes), .first_step = 0, .end_step = kFrames};
  }

 private:
  std::vector<int8_t> frames_;  // shared by all lanes
  std::vector<int32_t> logits_;
  std::vector<StreamState> states_;
  std::vector<Lane> lanes_;
  std::vector<Lane*> pointers_;
};

// Runs the segment and lowers *least to the microseconds of a step if that is less.
template <typename Runner>
void Time(Runner* runner, const Segment& segment, double* least) {
  const TimePoint start = Clock::Real()->Now();
  runner->Run(segment);
  *least = std::min(*least, ToSeconds(Clock::Real()->Now() - start) * 1e6 / kFrames);
}

}  // namespace

AlgorithmPlan AlgorithmPlan::LookupUpTo(int lanes) {
  AlgorithmPlan plan;
  for (int n = 1; n <= lanes; ++n) plan.lookup_.set(n);
  return plan;
}

AlgorithmPlan::AlgorithmPlan(const AlgorithmCosts& costs) {
  for (int n = 1; n <= kMaxLanes; ++n) lookup_[n] = LookupCost(costs, n) < ColumnsCost(costs, n);
}

AlgorithmPlan AlgorithmPlan::Measure(const std::shared_ptr<const PackedModel>& model,
                                     const Kernel* kernel) {
  if (kernel->lookup() == nullptr) return LookupUpTo(0);
  Load load(model->model(), kMaxLanes);
  ThreadTeam alone(1);
  LookupRunner lookup(model, kernel->lookup(), &alone);
  ColumnsRunner columns(model, kernel);
  AlgorithmCosts costs;
  costs.lookup.fill(std::numeric_limits<double>::max());
  costs.columns = costs.lookup;
  // All sizes take turns and the least time of all rounds counts, so that other work that the
  // machine does for a while has little influence.
  constexpr int kRounds = 9;
  for (int round = 0; round < kRounds; ++round) {
    for (size_t i = 0; i < costs.lookup.size(); ++i) {
      Time(&lookup, load.First(AlgorithmCosts::kGroups[i]), &costs.lookup[i]);
      Time(&columns, load.First(AlgorithmCosts::kWidths[i]), &costs.columns[i]);
    }
  }
  return AlgorithmPlan(costs);
}

std::string AlgorithmPlan::LookupLanes() const {
  std::vector<std::string> ranges;
  for (int n = 1; n <= kMaxLanes; ++n) {
    if (!lookup_[n]) continue;
    const int first = n;
    while (n < kMaxLanes && lookup_[n + 1]) ++n;
    ranges.push_back(first == n ? absl::StrCat(n) : absl::StrCat(first, "-", n));
  }
  return ranges.empty() ? "none" : absl::StrJoin(ranges, ",");
}

}  // namespace ese
