// SPDX-License-Identifier: Apache-2.0
// The kernels' figures beside the race of one model's steps: how near they are to the processor's
// limits, what surrounds them, and other shapes. Each prints its figures.
#pragma once

#include <memory>
#include <vector>

#include "accel/cpu/kernels/kernel.h"
#include "accel/cpu/packed_model.h"
#include "accel/cpu/algorithm_plan.h"
#include "bench/gemm_peers.h"

namespace ese {

using SharedModel = std::shared_ptr<const PackedModel>;

// The dense products of one step of all layers, without the output layer.
std::vector<GemmShape> DenseShapes(const Model& model);

// kernel.bound_fraction: the least time that the vector pipes need for a step of 64 lanes over the
// time of the whole step. It is that of the products and of the cell updates, as calibration loops
// measure their instructions in the same rounds: for products the lesser of kernel.bound64.columns,
// where four entries of a row need eight unpacks and four vpdpbusd, or six loads (four columns, an
// index, a weight), whichever is slower, and kernel.bound64.lookup, where 64 products need a vpermb
// and a vpdpbusd; nothing is padded. kernel.bound64.updates: sums to pre-activations, gates, cells
// and outputs. kernel.bound_fraction.products: the products alone over the whole step.
// kernel.rest64: the step of a model without weights, which is all but the products. Nothing is
// printed where the processor lacks VNNI.
void PrintBoundFraction(const SharedModel& model, const Kernel* kernel, const AlgorithmPlan& plan);

// kernel.pack_ms_per_10mb of .ese file, by the clock on the wall.
void PrintPackTime();

// kernel.convert_share, and the same of either way of stepping: features, logits, and states in and
// out, of 64 lanes with 10 frames, as a part of what the batch takes.
void PrintConvertShare(const SharedModel& model, const Kernel* kernel, const AlgorithmPlan& plan);

// kernel.smoothness: over all numbers of lanes, how many times longer a step takes than the best of
// what could be done instead, which is to add lanes or to take two smaller steps.
void PrintSmoothness(const SharedModel& model, const Kernel* kernel, const AlgorithmPlan& plan);

// kernel.step64.2t: frames per second of two threads over those of one, by the clock on the wall.
void PrintTwoThreads(const SharedModel& model, const Kernel* kernel, const AlgorithmPlan& plan);

// kernel.step<lanes>.team2: a step that two threads make together, by look-up and by the clock on
// the wall; kernel.step<lanes>.team2.speedup: how many times longer one thread takes.
void PrintTeams(const SharedModel& model, const Kernel* kernel);

// kernel.shape.* and kernel.density.*: other models at 64 lanes, against oneDNN's dense products
// (here with the output layer, which is dense in ours too).
void PrintShapes(const Kernel* kernel);

}  // namespace ese
