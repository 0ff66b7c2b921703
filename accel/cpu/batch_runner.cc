// SPDX-License-Identifier: Apache-2.0
#include "accel/cpu/batch_runner.h"

#include <algorithm>
#include <utility>

#include "accel/cpu/segment.h"

namespace ese {

BatchRunner::BatchRunner(std::shared_ptr<const PackedModel> model, const Kernel* kernel,
                         const AlgorithmPlan& plan, int threads)
    : model_(std::move(model)), plan_(plan), team_(threads), columns_(model_, kernel) {
  if (kernel->lookup() != nullptr) lookup_.emplace(model_, kernel->lookup(), &team_);
}

BatchRunner::Method BatchRunner::MethodFor(int lanes) const {
  const Algorithm algorithm = plan_.For(lanes);
  return {algorithm, algorithm == Algorithm::kColumns ? ColumnsRunner::WidthFor(lanes) : 0};
}

void BatchRunner::Run(Batch* batch) {
  sorted_.clear();
  for (Lane& lane : batch->lanes) sorted_.push_back(&lane);
  std::stable_sort(sorted_.begin(), sorted_.end(), [](const Lane* a, const Lane* b) {
    return a->frames.size() > b->frames.size();
  });
  const int input_columns = model_->model().input_columns();
  batch->steps = static_cast<int>(sorted_[0]->frames.size() / input_columns);
  for (Segment segment{sorted_}; segment.first_step < batch->steps;) {
    const int active = segment.ActiveAt(segment.first_step, input_columns);
    segment.lanes = segment.lanes.first(active);
    const Method method = MethodFor(active);
    segment.end_step = segment.first_step + 1;
    while (segment.end_step < batch->steps &&
           MethodFor(segment.ActiveAt(segment.end_step, input_columns)) == method) {
      ++segment.end_step;
    }
    if (method.algorithm == Algorithm::kLookup) {
      lookup_->Run(segment);
    } else {
      columns_.Run(segment);
    }
    segment.first_step = segment.end_step;
  }
}

}  // namespace ese
