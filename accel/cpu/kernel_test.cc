// SPDX-License-Identifier: Apache-2.0
// Compares every kernel with the normative reference, bit for bit.
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "accel/cpu/algorithm_plan.h"
#include "accel/cpu/batch_runner.h"
#include "accel/cpu/kernels/kernel_registry.h"
#include "accel/cpu/packed_model.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/arithmetic.h"
#include "model/reference.h"
#include "model/testing.h"

namespace ese {
namespace {

using ::testing::HasSubstr;

// A kernel and the one of its algorithms that computes all steps.
struct KernelAlgorithm {
  const Kernel* kernel;
  Algorithm algorithm;

  AlgorithmPlan plan() const {
    return AlgorithmPlan::LookUpTo(algorithm == Algorithm::kLookup ? kMaxLanes : 0);
  }
};

std::vector<KernelAlgorithm> SupportedAlgorithms() {
  std::vector<KernelAlgorithm> supported;
  for (const Kernel* kernel : SupportedKernels()) {
    supported.push_back({kernel, Algorithm::kColumns});
    if (kernel->lookup() != nullptr) supported.push_back({kernel, Algorithm::kLookup});
  }
  return supported;
}

// One stream's data, for the kernel's batches and, frame by frame, for the reference.
struct Stream {
  explicit Stream(const Model& model) : state(model), next_state(model), expected_state(model) {}

  std::vector<int8_t> frames;
  std::vector<int32_t> logits, expected_logits;
  StreamState state, next_state, expected_state;
};

// Runs batches of streams of given lengths ([batch][lane]; 0 leaves the lane out) and expects the
// reference's results. Streams keep their state from batch to batch.
class Comparison {
 public:
  Comparison(std::shared_ptr<const Model> model, const Kernel* kernel, const AlgorithmPlan& plan,
             uint32_t seed, int threads = 1)
      : model_(std::move(model)),
        runner_(*PackedModel::Create(model_), kernel, plan, threads),
        random_(seed) {}

  // From now on all activations are -128 or 127, those in the state too.
  void UseExtremes() { extremes_ = true; }

  void Run(const std::vector<std::vector<int>>& batches) {
    std::vector<Stream> streams;
    for (size_t i = 0; i < batches[0].size(); ++i) {
      streams.emplace_back(*model_);
      FillState(&streams.back());
    }
    for (const std::vector<int>& lengths : batches) {
      RunBatch(lengths, &streams);
      if (::testing::Test::HasFailure()) return;
    }
  }

 private:
  int8_t RandomByte() {
    if (extremes_) return random_() % 2 == 0 ? -128 : 127;
    return static_cast<int8_t>(random_());
  }

  void FillState(Stream* stream) {
    for (int16_t& c : stream->state.c) c = static_cast<int16_t>(random_());
    for (int8_t& y : stream->state.y) y = RandomByte();
    stream->expected_state = stream->state;
  }

  void RunBatch(const std::vector<int>& lengths, std::vector<Stream>* streams) {
    Batch batch;
    for (size_t i = 0; i < lengths.size(); ++i) {
      if (lengths[i] == 0) continue;
      Stream& stream = (*streams)[i];
      stream.frames.resize(lengths[i] * model_->input_dim());
      for (int8_t& x : stream.frames) x = RandomByte();
      stream.logits.assign(lengths[i] * model_->num_units(), 0);
      stream.expected_logits = stream.logits;
      batch.lanes.push_back({.frames = stream.frames,
                             .state_in = &stream.state,
                             .state_out = &stream.next_state,
                             .logits = absl::MakeSpan(stream.logits)});
    }
    ASSERT_TRUE(ValidateBatch(*model_, batch, kMaxLanes).ok());
    runner_.Run(&batch);
    EXPECT_EQ(batch.steps, *std::max_element(lengths.begin(), lengths.end()));
    for (size_t i = 0; i < lengths.size(); ++i) {
      if (lengths[i] > 0) Compare(&(*streams)[i], i);
    }
  }

  void Compare(Stream* stream, size_t lane) {
    SCOPED_TRACE("lane " + std::to_string(lane));
    const size_t frames = stream->frames.size() / model_->input_dim();
    for (size_t t = 0; t < frames; ++t) {
      ReferenceStep(*model_, &stream->frames[t * model_->input_dim()], &stream->expected_state,
                    &stream->expected_logits[t * model_->num_units()]);
    }
    EXPECT_EQ(stream->logits, stream->expected_logits);
    EXPECT_EQ(absl::MakeSpan(stream->next_state.c), absl::MakeSpan(stream->expected_state.c));
    EXPECT_EQ(absl::MakeSpan(stream->next_state.y), absl::MakeSpan(stream->expected_state.y));
    stream->state = stream->next_state;
  }

  std::shared_ptr<const Model> model_;
  BatchRunner runner_;
  std::mt19937 random_;
  bool extremes_ = false;
};

class KernelTest : public ::testing::TestWithParam<KernelAlgorithm> {
 protected:
  void Check(const RandomModelOptions& options, const std::vector<std::vector<int>>& batches) {
    Comparison(RandomModel(options), GetParam().kernel, GetParam().plan(), options.seed)
        .Run(batches);
  }

  std::mt19937 random_{7};
};

std::string AlgorithmName(const ::testing::TestParamInfo<KernelAlgorithm>& info) {
  return std::string(info.param.kernel->name()) +
         (info.param.algorithm == Algorithm::kLookup ? "_lookup" : "_columns");
}

INSTANTIATE_TEST_SUITE_P(All, KernelTest, ::testing::ValuesIn(SupportedAlgorithms()),
                         AlgorithmName);

// Sizes around a group of four rows, a block of four entries and a strip of 16 rows.
TEST_P(KernelTest, EqualsReferenceAtEverySize) {
  uint32_t seed = 1;
  for (const int cells : {1, 3, 4, 5, 15, 16, 17, 33}) {
    for (const int projection : {0, 1, 3, 4, 5, 17}) {
      for (const double density : {1.0, 0.3}) {
        SCOPED_TRACE(::testing::Message()
                     << cells << " cells, projection " << projection << ", density " << density);
        Check({.inputs = 1 + static_cast<int>(seed % 18),
               .layers = {{.cells = cells, .projection = projection}},
               .units = 1 + static_cast<int>(seed % 6),
               .density = density,
               .seed = seed},
              {{2, 1, 1}});
        ++seed;
      }
    }
  }
}

// Numbers of columns around the 64 of a line in which activations are looked up.
TEST_P(KernelTest, EqualsReferenceAroundALine) {
  uint32_t seed = 50;
  for (const int columns : {63, 64, 65, 127, 128, 129, 192, 193, 256, 257}) {
    for (const int cells : {127, 128, 129}) {
      SCOPED_TRACE(::testing::Message() << columns << " columns, " << cells << " cells");
      Check({.inputs = columns - 17,
             .layers = {{.cells = cells, .projection = 17}},
             .units = 17,
             .density = 0.5,
             .seed = ++seed},
            {{1, 2, 1}});
    }
  }
}

TEST_P(KernelTest, EqualsReferenceInEveryVariantOfTheCell) {
  uint32_t seed = 100;
  for (const bool peepholes : {false, true}) {
    for (const GActivation g : {GActivation::kTanh, GActivation::kSigmoid}) {
      for (const int projection : {0, 6}) {
        for (const double gain : {1.0, 50.0}) {
          SCOPED_TRACE(::testing::Message()
                       << "peepholes " << peepholes << ", g " << static_cast<int>(g)
                       << ", projection " << projection << ", gain " << gain);
          const RandomLayer layer{
              .cells = 13, .projection = projection, .peepholes = peepholes, .g_activation = g};
          for (const int lanes : {1, 2, 4, 8, 16, 32, 64}) {
            Check({.layers = {layer}, .gain = gain, .seed = ++seed},
                  {std::vector<int>(lanes, 3), std::vector<int>(lanes, 1)});
          }
        }
      }
    }
  }
}

TEST_P(KernelTest, EqualsReferenceThroughStacksOfLayers) {
  const RandomLayer projected{.cells = 19, .projection = 9, .peepholes = true};
  const RandomLayer plain{.cells = 11, .g_activation = GActivation::kSigmoid};
  for (const auto& layers : std::vector<std::vector<RandomLayer>>{
           {projected, plain}, {plain, projected}, {projected, projected, plain}}) {
    Check({.layers = layers, .units = 9, .seed = 300}, {{1, 2, 3, 4, 5}, {5, 4, 3, 2, 1}});
  }
}

TEST_P(KernelTest, EqualsReferenceForEveryNumberOfRaggedLanes) {
  const RandomModelOptions options{
      .inputs = 9, .layers = {{.cells = 10, .projection = 6, .peepholes = true}}, .seed = 400};
  for (int lanes = 1; lanes <= kMaxLanes; ++lanes) {
    SCOPED_TRACE(lanes);
    std::vector<std::vector<int>> batches(2);
    for (auto& lengths : batches) {
      for (int i = 0; i < lanes; ++i) lengths.push_back(1 + static_cast<int>(random_() % 5));
    }
    Check(options, batches);
  }
}

// More threads than a layer has blocks of cells, or than the machine has processors.
TEST(ThreadTeamTest, EqualsReference) {
  const std::vector<RandomLayer> layers = {
      {.cells = 70, .projection = 41, .peepholes = true}, {.cells = 19}, {.cells = 33}};
  for (const Kernel* kernel : SupportedKernels()) {
    if (kernel->lookup() == nullptr) continue;
    for (const int threads : {2, 3}) {
      SCOPED_TRACE(std::string(kernel->name()) + " " + std::to_string(threads));
      for (const int units : {1, 50}) {
        Comparison(RandomModel({.inputs = 21, .layers = layers, .units = units, .seed = 450}),
                   kernel, AlgorithmPlan::LookUpTo(kMaxLanes), 450, threads)
            .Run({{3, 1, 2}, {2, 2, 2}});
      }
    }
  }
}

// 64 lanes narrow to 32, then to 16 and to 3. Then some of the streams continue in a batch of their
// own, and all of them in another.
TEST_P(KernelTest, NarrowsAsLanesEnd) {
  std::vector<int> lengths;
  for (int i = 0; i < 64; ++i) lengths.push_back(i % 25 == 0 ? 7 : i % 4 == 0 ? 5 : 1 + i % 4);
  std::vector<int> few(64, 0);
  few[3] = few[63] = few[40] = 2;
  Check({.inputs = 21, .layers = {{.cells = 18, .projection = 10}, {.cells = 5}}, .seed = 500},
        {lengths, few, lengths});
}

TEST_P(KernelTest, RowsWithoutEntriesAreTheirBias) {
  Check({.layers = {{.cells = 6, .projection = 3}}, .density = 0, .seed = 600}, {{2, 1, 3}});
}

// Saturates every activation and, at full density, comes closest to the bounds of the sums: weights
// of -64 and 63 only, activations of -128 and 127 only, the largest shifts that a loader accepts.
TEST_P(KernelTest, EqualsReferenceAtExtremeWeightsAndActivations) {
  ModelDraft draft =
      RandomModelDraft({.inputs = 35,
                        .layers = {{.cells = 9, .projection = 5, .peepholes = true}, {.cells = 7}},
                        .density = 1,
                        .gain = 1000,
                        .seed = 700});
  const auto harden = [&](MatrixDraft* matrix) {
    for (uint16_t& entry : matrix->entries) {
      entry = MakeEntry(EntryGap(entry), random_() % 2 == 0 ? kMinWeight : kMaxWeight);
    }
    const int64_t largest = int64_t{matrix->entries_per_row} * 64 * 128;
    for (uint8_t& shift : matrix->shift) {
      for (shift = kMaxRowShift; (largest << shift) > INT32_MAX / 2;) --shift;
    }
  };
  for (LayerDraft& layer : draft.layers) {
    harden(&layer.gates);
    harden(&layer.projection);
  }
  harden(&draft.output);
  const auto bytes = SerializeModel(draft);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  const auto model = Model::FromBytes(*bytes);
  ASSERT_TRUE(model.ok()) << model.status();
  for (const int lanes : {1, 2, 8, 16, 32, 64}) {
    Comparison comparison(*model, GetParam().kernel, GetParam().plan(), 701);
    comparison.UseExtremes();
    comparison.Run({std::vector<int>(lanes, 2), std::vector<int>(lanes, 2)});
  }
}

// The last column that a 16-bit index can address.
TEST_P(KernelTest, EqualsReferenceAtTheLargestNumberOfColumns) {
  const RandomModelOptions options{
      .inputs = kMaxColumns - 2, .layers = {{.cells = 2}}, .density = 0.1, .seed = 800};
  for (const int lanes : {1, 17, 33}) Check(options, {std::vector<int>(lanes, 1)});
}

TEST_P(KernelTest, ThePapersModelEqualsReference) {
  Check(PaperModelOptions(), {{2, 1, 1, 2}, {1, 1, 2, 1}});
}

TEST(PackedModelTest, RefusesMoreColumnsThanAnIndexReaches) {
  const auto packed = PackedModel::Create(
      RandomModel({.inputs = kMaxColumns - 1, .layers = {{.cells = 2}}, .density = 0.1}));
  EXPECT_EQ(packed.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(packed.status().message(), HasSubstr("layer 0's gates has 8193 columns"));
}

// Passes all calls on to another kernel and records them.
class CountingKernel final : public Kernel {
 public:
  explicit CountingKernel(const Kernel* kernel) : kernel_(kernel) {}
  const char* name() const override { return "counting"; }
  bool Supported() const override { return true; }
  void Cells(const PackedLayer& layer, int width, const uint8_t* v, int16_t* c,
             uint8_t* m) const override {
    widths.push_back(width);
    kernel_->Cells(layer, width, v, c, m);
  }
  void Project(const PackedMatrix& matrix, int shift, int width, const uint8_t* m,
               uint8_t* y) const override {
    kernel_->Project(matrix, shift, width, m, y);
  }
  void Logits(const PackedMatrix& matrix, int width, const uint8_t* y,
              int32_t* logits) const override {
    kernel_->Logits(matrix, width, y, logits);
  }

  const LookupKernel* lookup() const override {
    return kernel_->lookup() == nullptr ? nullptr : &lookup_;
  }

  mutable std::vector<int> widths;  // the argument of each call of Cells
  const std::vector<int>& lookups() const { return lookup_.lanes; }

 private:
  class Lookup final : public LookupKernel {
   public:
    explicit Lookup(const LookupKernel* kernel) : kernel_(kernel) {}
    void Cells(const PackedLayer& layer, int n, const uint8_t* v, int16_t* c,
               uint8_t* m) const override {
      lanes.push_back(n);
      kernel_->Cells(layer, n, v, c, m);
    }
    void Project(const PackedLayer& layer, int n, const uint8_t* m, uint8_t* v) const override {
      kernel_->Project(layer, n, m, v);
    }
    void Logits(const LookupMatrix& matrix, int n, const uint8_t* v, int32_t* logits,
                size_t stride) const override {
      kernel_->Logits(matrix, n, v, logits, stride);
    }

    mutable std::vector<int> lanes;  // the argument of each call of Cells

   private:
    const LookupKernel* const kernel_;
  };

  const Kernel* const kernel_;
  const Lookup lookup_{kernel_->lookup()};
};

TEST_P(KernelTest, IsWhatTheRunnerCalls) {
  const CountingKernel kernel(GetParam().kernel);
  Comparison(RandomModel({}), &kernel, GetParam().plan(), 1).Run({std::vector<int>(64, 2)});
  if (GetParam().algorithm == Algorithm::kLookup) {
    EXPECT_EQ(kernel.lookups(), (std::vector<int>{16, 16, 16, 16, 16, 16, 16, 16}));
    EXPECT_TRUE(kernel.widths.empty());
  } else {
    EXPECT_EQ(kernel.widths, (std::vector<int>{64, 64}));
    EXPECT_TRUE(kernel.lookups().empty());
  }
}

// A runner calls the kernel that it was given, at the narrowest width that holds the remaining
// lanes.
TEST(BatchRunnerTest, RunsTheGivenKernelAtTheNarrowestWidth) {
  const CountingKernel kernel(PortableKernel());
  std::vector<int> lengths(33, 1);
  std::fill_n(lengths.begin(), 32, 2);
  std::fill_n(lengths.begin(), 17, 3);
  std::fill_n(lengths.begin(), 16, 4);
  std::fill_n(lengths.begin(), 1, 5);
  Comparison(RandomModel({}), &kernel, AlgorithmPlan::LookUpTo(0), 1).Run({lengths});
  EXPECT_EQ(kernel.widths, (std::vector<int>{64, 32, 32, 16, 16}));
}

// 41 lanes take one step by columns. 40 of them continue by look-up, in three groups, and nine
// lanes of the first group take one step more.
TEST(BatchRunnerTest, ContinuesByLookUpWhereThePlanSaysSo) {
  const CountingKernel kernel(PortableKernel());
  std::vector<int> lengths(41, 1);
  std::fill_n(lengths.begin(), 40, 2);
  std::fill_n(lengths.begin(), 9, 3);
  Comparison(RandomModel({}), &kernel, AlgorithmPlan::LookUpTo(40), 1).Run({lengths});
  EXPECT_EQ(kernel.widths, (std::vector<int>{64}));
  EXPECT_EQ(kernel.lookups(), (std::vector<int>{13, 9, 13, 14}));
}

class ChooseKernelTest : public ::testing::Test {
 protected:
  void SetUp() override { unsetenv(kKernelVariable); }
  void TearDown() override { unsetenv(kKernelVariable); }
};

TEST_F(ChooseKernelTest, TakesTheFastestSupported) {
  EXPECT_EQ(*ChooseKernel(), SupportedKernels().front());
  EXPECT_EQ(SupportedKernels().back(), PortableKernel());
}

TEST_F(ChooseKernelTest, FindsEveryKernelByItsName) {
  for (const Kernel* kernel : SupportedKernels()) {
    EXPECT_EQ(*ChooseKernel(kernel->name()), kernel);
    setenv(kKernelVariable, kernel->name(), 1);
    EXPECT_EQ(*ChooseKernel(), kernel);
    unsetenv(kKernelVariable);
  }
}

TEST_F(ChooseKernelTest, ANameOverridesTheVariable) {
  setenv(kKernelVariable, "nonsense", 1);
  EXPECT_EQ(*ChooseKernel("portable"), PortableKernel());
}

TEST_F(ChooseKernelTest, AnUnknownNameInTheVariableIsAnErrorThatNamesBoth) {
  setenv(kKernelVariable, "avx9000", 1);
  const absl::Status status = ChooseKernel().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("ESE_CPU_KERNEL=\"avx9000\""));
  EXPECT_THAT(status.message(), HasSubstr("portable"));
}

TEST_F(ChooseKernelTest, AnEmptyVariableIsNoChoice) {
  setenv(kKernelVariable, "", 1);
  EXPECT_EQ(*ChooseKernel(), SupportedKernels().front());
}

}  // namespace
}  // namespace ese
