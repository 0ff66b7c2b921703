// SPDX-License-Identifier: Apache-2.0
#include "accel/cpu/step_plan.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "accel/cpu/column_steps.h"
#include "accel/cpu/lookup_steps.h"
#include "base/clock.h"

namespace ese {
namespace {

constexpr int kFrames = 4;

// Of a group of n lanes, between those that were measured.
double GroupCost(const StepCosts& costs, int n) {
  constexpr auto& kGroups = StepCosts::kGroups;
  const size_t i = n <= kGroups[1] ? 1 : 2;
  const double part = double(n - kGroups[i - 1]) / (kGroups[i] - kGroups[i - 1]);
  return costs.lookup[i - 1] + part * (costs.lookup[i] - costs.lookup[i - 1]);
}

double LookupCost(const StepCosts& costs, int lanes) {
  double cost = 0;
  const int groups = LookupSteps::GroupsFor(lanes);
  for (int i = 0; i < groups; ++i) cost += GroupCost(costs, LookupSteps::GroupSize(lanes, i));
  return cost;
}

double ColumnsCost(const StepCosts& costs, int lanes) {
  return costs.columns[lanes <= 16 ? 0 : lanes <= 32 ? 1 : 2];
}

// Lanes of some frames of zeros, about as many as the batches of a busy server have, so that states
// go in and out no more often.
class Load {
 public:
  Load(const Model& model, int lanes)
      : frames_(size_t(model.input_dim()) * kFrames),
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
  Segment First(int lanes) {
    return {.lanes = absl::MakeSpan(pointers_).first(lanes), .first_step = 0, .end_step = kFrames};
  }

 private:
  std::vector<int8_t> frames_;  // shared
  std::vector<int32_t> logits_;
  std::vector<StreamState> states_;
  std::vector<Lane> lanes_;
  std::vector<Lane*> pointers_;
};

// Of a step; lowers *least.
template <typename Steps>
void Time(Steps* steps, const Segment& segment, double* least) {
  const TimePoint start = Clock::Real()->Now();
  steps->Run(segment);
  *least = std::min(*least, ToSeconds(Clock::Real()->Now() - start) * 1e6 / kFrames);
}

}  // namespace

StepPlan StepPlan::LookUpTo(int lanes) {
  StepPlan plan;
  for (int n = 1; n <= lanes; ++n) plan.lookup_.set(n);
  return plan;
}

StepPlan::StepPlan(const StepCosts& costs) {
  for (int n = 1; n <= kMaxLanes; ++n) lookup_[n] = LookupCost(costs, n) < ColumnsCost(costs, n);
}

StepPlan StepPlan::Measure(const std::shared_ptr<const PackedModel>& model,
                           const StepKernel* kernel) {
  if (kernel->lookup() == nullptr) return LookUpTo(0);
  Load load(model->model(), kMaxLanes);
  StepTeam alone(1);
  LookupSteps lookup(model, kernel->lookup(), &alone);
  ColumnSteps columns(model, kernel);
  StepCosts costs;
  costs.lookup.fill(std::numeric_limits<double>::max());
  costs.columns = costs.lookup;
  // The least of all rounds, and all take turns, so that what else the machine does for a while
  // counts little.
  constexpr int kRounds = 9;
  for (int round = 0; round < kRounds; ++round) {
    for (size_t i = 0; i < costs.lookup.size(); ++i) {
      Time(&lookup, load.First(StepCosts::kGroups[i]), &costs.lookup[i]);
      Time(&columns, load.First(StepCosts::kWidths[i]), &costs.columns[i]);
    }
  }
  return StepPlan(costs);
}

std::string StepPlan::LookupLanes() const {
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
