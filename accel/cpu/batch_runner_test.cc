// SPDX-License-Identifier: Apache-2.0
// Checks which calls to the kernel the runner makes for a batch.
#include "accel/cpu/batch_runner.h"

#include <algorithm>
#include <vector>

#include "accel/cpu/kernel_comparison.h"
#include "accel/cpu/kernels/kernel_registry.h"
#include "gtest/gtest.h"
#include "model/testing.h"

namespace ese {
namespace {

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

class BatchRunnerAlgorithmTest : public ::testing::TestWithParam<KernelAlgorithm> {};
INSTANTIATE_TEST_SUITE_P(All, BatchRunnerAlgorithmTest, ::testing::ValuesIn(SupportedAlgorithms()),
                         AlgorithmName);

TEST_P(BatchRunnerAlgorithmTest, CallsTheGivenKernel) {
  const CountingKernel kernel(GetParam().kernel);
  KernelComparison(RandomModel({}), &kernel, GetParam().plan(), 1).Run({std::vector<int>(64, 2)});
  if (GetParam().algorithm == Algorithm::kLookup) {
    EXPECT_EQ(kernel.lookups(), (std::vector<int>{16, 16, 16, 16, 16, 16, 16, 16}));
    EXPECT_TRUE(kernel.widths.empty());
  } else {
    EXPECT_EQ(kernel.widths, (std::vector<int>{64, 64}));
    EXPECT_TRUE(kernel.lookups().empty());
  }
}

// At each step, the runner uses the narrowest width that holds the remaining lanes.
TEST(BatchRunnerTest, RunsTheGivenKernelAtTheNarrowestWidth) {
  const CountingKernel kernel(PortableKernel());
  std::vector<int> lengths(33, 1);
  std::fill_n(lengths.begin(), 32, 2);
  std::fill_n(lengths.begin(), 17, 3);
  std::fill_n(lengths.begin(), 16, 4);
  std::fill_n(lengths.begin(), 1, 5);
  KernelComparison(RandomModel({}), &kernel, AlgorithmPlan::LookupUpTo(0), 1).Run({lengths});
  EXPECT_EQ(kernel.widths, (std::vector<int>{64, 32, 32, 16, 16}));
}

// 41 lanes take one step with the columns algorithm. 40 of them continue with look-up, in three
// groups, and nine lanes of the first group take one more step.
TEST(BatchRunnerTest, ContinuesByLookUpWhereThePlanSaysSo) {
  const CountingKernel kernel(PortableKernel());
  std::vector<int> lengths(41, 1);
  std::fill_n(lengths.begin(), 40, 2);
  std::fill_n(lengths.begin(), 9, 3);
  KernelComparison(RandomModel({}), &kernel, AlgorithmPlan::LookupUpTo(40), 1).Run({lengths});
  EXPECT_EQ(kernel.widths, (std::vector<int>{64}));
  EXPECT_EQ(kernel.lookups(), (std::vector<int>{13, 9, 13, 14}));
}

}  // namespace
}  // namespace ese
