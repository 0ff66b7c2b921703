// SPDX-License-Identifier: Apache-2.0
#include "accel/cpu/kernels/kernel_registry.h"

#include <cstdlib>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ese {
namespace {

using ::testing::HasSubstr;

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

TEST_F(ChooseKernelTest, TheErrorForAnUnknownNameNamesItAndTheVariable) {
  setenv(kKernelVariable, "avx9000", 1);
  const absl::Status status = ChooseKernel().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("ESE_CPU_KERNEL=\"avx9000\""));
  EXPECT_THAT(status.message(), HasSubstr("portable"));
}

TEST_F(ChooseKernelTest, AnEmptyVariableMakesNoChoice) {
  setenv(kKernelVariable, "", 1);
  EXPECT_EQ(*ChooseKernel(), SupportedKernels().front());
}

}  // namespace
}  // namespace ese
