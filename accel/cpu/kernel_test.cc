// SPDX-License-Identifier: Apache-2.0
// Compares every kernel with the normative reference, bit for bit.
#include "accel/cpu/kernels/kernel.h"

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "accel/cpu/kernel_comparison.h"
#include "accel/cpu/kernels/kernel_registry.h"
#include "gtest/gtest.h"
#include "model/arithmetic.h"
#include "model/testing.h"

namespace ese {
namespace {

class KernelTest : public ::testing::TestWithParam<KernelAlgorithm> {
 protected:
  void Check(const RandomModelOptions& options, const std::vector<std::vector<int>>& batches) {
    KernelComparison(RandomModel(options), GetParam().kernel, GetParam().plan(), options.seed)
        .Run(batches);
  }

  std::mt19937 random_{7};
};

INSTANTIATE_TEST_SUITE_P(All, KernelTest, ::testing::ValuesIn(SupportedAlgorithms()),
                         AlgorithmName);

// The sizes are around a group of four rows, a block of four entries and a strip of 16 rows.
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

// The numbers of columns are around multiples of 64, because activations are looked up in lines of
// 64.
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

TEST_P(KernelTest, EqualsReferenceForEveryVariantOfTheCell) {
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

TEST_P(KernelTest, EqualsReferenceForStacksOfLayers) {
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

// The width shrinks from 64 lanes to 32, 16 and 3. Then some of the streams continue in a batch of
// their own, and all of them in another.
TEST_P(KernelTest, EqualsReferenceAsLanesEnd) {
  std::vector<int> lengths;
  for (int i = 0; i < 64; ++i) lengths.push_back(i % 25 == 0 ? 7 : i % 4 == 0 ? 5 : 1 + i % 4);
  std::vector<int> few(64, 0);
  few[3] = few[63] = few[40] = 2;
  Check({.inputs = 21, .layers = {{.cells = 18, .projection = 10}, {.cells = 5}}, .seed = 500},
        {lengths, few, lengths});
}

TEST_P(KernelTest, EqualsReferenceWithFineEntriesAndWideInputs) {
  const RandomLayer projected{.cells = 37, .projection = 19, .peepholes = true};
  const RandomLayer plain{.cells = 21};
  uint32_t seed = 900;
  for (const double density : {0.0, 0.2, 1.0}) {
    for (const double fine_density : {0.0, 0.1, 1.0}) {
      for (const bool wide_input : {false, true}) {
        for (const double gain : {1.0, 50.0}) {
          SCOPED_TRACE(::testing::Message() << "density " << density << ", fine " << fine_density
                                            << ", wide " << wide_input << ", gain " << gain);
          for (const int lanes : {1, 3, 16, 17, 64}) {
            Check({.inputs = 35,
                   .layers = {projected, plain},
                   .units = 18,
                   .density = density,
                   .gain = gain,
                   .seed = ++seed,
                   .fine_density = fine_density,
                   .wide_input = wide_input},
                  {std::vector<int>(lanes, 2)});
          }
        }
      }
    }
  }
}

TEST_P(KernelTest, EqualsReferenceForRowsWithoutEntries) {
  Check({.layers = {{.cells = 6, .projection = 3}}, .density = 0, .seed = 600}, {{2, 1, 3}});
}

// All weights are -64 or 63, all activations -128 or 127, and the shifts are the largest that the
// loader accepts. This saturates every activation and brings the sums close to their bounds.
TEST_P(KernelTest, EqualsReferenceAtExtremeWeightsAndActivations) {
  for (const double fine_density : {0.0, 0.7}) {
    ModelDraft draft = RandomModelDraft(
        {.inputs = 35,
         .layers = {{.cells = 9, .projection = 5, .peepholes = true}, {.cells = 7}},
         .density = 1,
         .gain = 1000,
         .seed = 700,
         .fine_density = fine_density});
    const auto harden = [&](MatrixDraft* matrix) {
      for (auto* entries : {&matrix->entries, &matrix->fine_entries}) {
        for (uint16_t& entry : *entries) {
          entry = MakeEntry(EntryGap(entry), random_() % 2 == 0 ? kMinWeight : kMaxWeight);
        }
      }
      int64_t largest = int64_t{matrix->entries_per_row} * 64 * 128;
      if (matrix->fine_entries_per_row > 0) {
        largest = (largest << kFineBits) + int64_t{matrix->fine_entries_per_row} * 64 * 128;
      }
      for (uint8_t& shift : matrix->shift) {
        for (shift = kMaxRowShift; shift > 0 && (largest << shift) > INT32_MAX / 2;) --shift;
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
      KernelComparison comparison(*model, GetParam().kernel, GetParam().plan(), 701);
      comparison.UseExtremes();
      comparison.Run({std::vector<int>(lanes, 2), std::vector<int>(lanes, 2)});
    }
  }
}

// The last column is the highest that a 16-bit index can address.
TEST_P(KernelTest, EqualsReferenceAtTheLargestNumberOfColumns) {
  const RandomModelOptions options{
      .inputs = kMaxColumns - 2, .layers = {{.cells = 2}}, .density = 0.1, .seed = 800};
  for (const int lanes : {1, 17, 33}) Check(options, {std::vector<int>(lanes, 1)});
}

TEST_P(KernelTest, EqualsReferenceForThePapersModel) {
  Check(PaperModelOptions(), {{2, 1, 1, 2}, {1, 1, 2, 1}});
}

// Some layers have fewer blocks of cells, and some machines fewer processors, than there are
// threads.
TEST(ThreadTeamTest, EqualsReference) {
  const std::vector<RandomLayer> layers = {
      {.cells = 70, .projection = 41, .peepholes = true}, {.cells = 19}, {.cells = 33}};
  for (const Kernel* kernel : SupportedKernels()) {
    if (kernel->lookup() == nullptr) continue;
    for (const int threads : {2, 3}) {
      SCOPED_TRACE(std::string(kernel->name()) + " " + std::to_string(threads));
      for (const int units : {1, 50}) {
        KernelComparison(RandomModel({.inputs = 21, .layers = layers, .units = units, .seed = 450}),
                         kernel, AlgorithmPlan::LookupUpTo(kMaxLanes), 450, threads)
            .Run({{3, 1, 2}, {2, 2, 2}});
      }
    }
  }
}

}  // namespace
}  // namespace ese
