// SPDX-License-Identifier: Apache-2.0
// More figures of the kernels: how close they come to the processor's limits, what the code around
// them costs, and how fast they are on other shapes. Each function prints its figures.
#pragma once

#include <memory>
#include <vector>

#include "accel/cpu/algorithm_plan.h"
#include "accel/cpu/kernels/kernel.h"
#include "accel/cpu/packed_model.h"
#include "bench/gemm_peers.h"

namespace ese {

inline constexpr int kFrames = 8;  // of each lane in a batch
inline constexpr int kRounds = 41;

using SharedModel = std::shared_ptr<const PackedModel>;

// The dense products of one step of all layers, without the output layer.
std::vector<GemmShape> DenseShapes(const Model& model);

// kernel.bound_fraction: the shortest time in which the vector pipes could compute a step of 64
// lanes, divided by the time of the whole step. The shortest time is the sum of these bounds, which
// calibration loops measure in the same rounds:
// - kernel.bound64.columns: the products by columns, unpadded. Four entries of a row need eight
//   unpacks and four vpdpbusd, or six loads (four columns, an index, a weight) if those are slower.
// - kernel.bound64.lookup: the products by look-up, unpadded. 64 products need a vpermb and a
//   vpdpbusd. The smaller of this bound and the one above counts.
// - kernel.bound64.updates: the way from sums to pre-activations, gates, cells and outputs.
// kernel.bound_fraction.products: the products alone, divided by the whole step. kernel.rest64: a
// step of a model without weights, which is everything but the products. Prints nothing if the
// processor lacks VNNI.
void PrintBoundFraction(const SharedModel& model, const Kernel* kernel, const AlgorithmPlan& plan);

// kernel.pack_ms_per_10mb: the time to pack 10 MB of an .ese file, by the wall clock.
void PrintPackTime();

// kernel.convert_share: the part of a batch's time that goes into loading and storing features,
// logits and states, for 64 lanes with 10 frames; for the plan and for each algorithm alone.
void PrintConvertShare(const SharedModel& model, const Kernel* kernel, const AlgorithmPlan& plan);

// kernel.smoothness: the largest ratio, over all numbers of lanes, of the time of a step to the
// time of the best alternative, which is to add lanes or to take two smaller steps.
void PrintSmoothness(const SharedModel& model, const Kernel* kernel, const AlgorithmPlan& plan);

// kernel.step64.2t: frames per second of two threads divided by those of one, by the wall clock.
void PrintTwoThreads(const SharedModel& model, const Kernel* kernel, const AlgorithmPlan& plan);

// kernel.step<lanes>.team2: the time of a step by look-up whose work two threads share, by the wall
// clock. kernel.step<lanes>.team2.speedup: how many times as long one thread takes.
void PrintTeams(const SharedModel& model, const Kernel* kernel);

// kernel.shape.* and kernel.density.*: other models at 64 lanes, compared with oneDNN's dense
// products (here with the output layer, which is dense in our models too).
void PrintShapes(const Kernel* kernel);

}  // namespace ese
