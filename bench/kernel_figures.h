// The kernels' figures beside the race of one model's steps: how near they are to the processor's
// limits, what surrounds them, and other shapes. Each prints its figures.
#pragma once

#include <memory>
#include <vector>

#include "accel/cpu/kernel.h"
#include "accel/cpu/packed_model.h"
#include "accel/cpu/step_plan.h"
#include "bench/gemm_peers.h"

namespace ese {

using SharedModel = std::shared_ptr<const PackedModel>;

// The dense products of one step of all layers, without the output layer.
std::vector<GemmShape> DenseShapes(const Model& model);

// kernel.bound_fraction: the least time that 64 lanes' products could take over the time of the
// whole step, being the lesser of two bounds, as calibration loops measure them in the same rounds:
// kernel.bound64.columns, where four entries of a row need eight unpacks and four vpdpbusd, or six
// loads (four columns, an index, a weight), whichever is slower; and kernel.bound64.lookup, where
// 64 products need a vpermb and a vpdpbusd and nothing is padded. kernel.rest64: the step of a
// model without weights, which is all but the products. Nothing is printed where the processor
// lacks VNNI.
void PrintBoundFraction(const SharedModel& model, const StepKernel* kernel, const StepPlan& plan);

// kernel.pack_ms_per_10mb of .ese file.
void PrintPackTime();

// kernel.convert_share: features, and states in and out, of 64 lanes with 10 frames, as a part of
// what the batch takes.
void PrintConvertShare(const SharedModel& model, const StepKernel* kernel, const StepPlan& plan);

// kernel.step64.2t: frames per second of two threads over those of one, by the clock on the wall.
void PrintTwoThreads(const SharedModel& model, const StepKernel* kernel, const StepPlan& plan);

// kernel.shape.* and kernel.density.*: other models at 64 lanes, against oneDNN's dense products
// (here with the output layer, which is dense in ours too).
void PrintShapes(const StepKernel* kernel);

}  // namespace ese
