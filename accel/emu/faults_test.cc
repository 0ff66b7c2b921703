// SPDX-License-Identifier: Apache-2.0
#include "accel/emu/faults.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

namespace ese::emu {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string Complaint(const std::string& text) {
  std::vector<std::string> complaints;
  EXPECT_THAT(ParseFaults(text, &complaints), IsEmpty()) << text;
  EXPECT_EQ(complaints.size(), 1u) << text;
  return complaints.empty() ? "" : complaints.front();
}

TEST(ParseFaults, ReadsCardsUnitsAndCodes) {
  std::vector<std::string> complaints;
  const auto rules = ParseFaults(
      "# all is well\n"
      "0.2 hang\n"
      "\t1.*   flip # a comment\r\n"
      "* gone\n\n"
      "3 kernel 8",
      &complaints);
  EXPECT_THAT(complaints, IsEmpty());
  ASSERT_EQ(rules.size(), 4u);
  const auto expect = [&](int k, int card, int unit, Fault fault, uint32_t code) {
    EXPECT_EQ(rules[k].card, card) << k;
    EXPECT_EQ(rules[k].unit, unit) << k;
    EXPECT_EQ(rules[k].fault, fault) << k;
    EXPECT_EQ(rules[k].code, code) << k;
  };
  expect(0, 0, 2, Fault::kHang, 0);
  expect(1, 1, kAny, Fault::kFlip, 0);
  expect(2, kAny, kAny, Fault::kGone, 0);
  expect(3, 3, kAny, Fault::kKernelError, 8);
}

TEST(ParseFaults, SaysWhatIsWrongWithALine) {
  EXPECT_THAT(Complaint("x hang"), HasSubstr("\"x\" is no card"));
  EXPECT_THAT(Complaint("-1 hang"), HasSubstr("\"-1\" is no card"));
  EXPECT_THAT(Complaint("0.1.2 hang"), HasSubstr("\"0.1.2\" is no card"));
  EXPECT_THAT(Complaint("0. hang"), HasSubstr("\"0.\" is no card"));
  EXPECT_THAT(Complaint("0"), HasSubstr("\"\" is no fault; there are hang, error"));
  EXPECT_THAT(Complaint("0 melted"), HasSubstr("\"melted\" is no fault"));
  EXPECT_THAT(Complaint("0.1 gone"), HasSubstr("\"gone\" is a fault of a whole card"));
  EXPECT_THAT(Complaint("0 hang now"), HasSubstr("too many words"));
  EXPECT_THAT(Complaint("0 kernel"), HasSubstr("takes one error code"));
  EXPECT_THAT(Complaint("0 kernel 9"), HasSubstr("\"9\" is no error code"));
}

TEST(ParseFaults, ContinuesAfterABadLine) {
  std::vector<std::string> complaints;
  EXPECT_EQ(ParseFaults("0 hang\n0 nothing\n1 hang\n", &complaints).size(), 2u);
  EXPECT_THAT(complaints, ElementsAre(HasSubstr("line 2 is ignored")));
}

TEST(FaultFile, FollowsTheFile) {
  const std::string path = testing::TempDir() + "/faults_test_file";
  std::remove(path.c_str());
  FaultFile faults(path);
  const auto write = [&](const std::string& text) { std::ofstream(path) << text; };
  EXPECT_FALSE(faults.Has(Fault::kHang, 0, 0));
  write("0.1 hang\n");
  EXPECT_TRUE(faults.Has(Fault::kHang, 0, 1));
  EXPECT_FALSE(faults.Has(Fault::kHang, 0, 0));
  EXPECT_FALSE(faults.Has(Fault::kHang, 1, 1));
  EXPECT_FALSE(faults.Has(Fault::kFlip, 0, 1));
  write("0.2 hang\n");  // same length, and within the resolution of file times
  EXPECT_FALSE(faults.Has(Fault::kHang, 0, 1));
  EXPECT_TRUE(faults.Has(Fault::kHang, 0, 2));
  std::remove(path.c_str());
  EXPECT_FALSE(faults.Has(Fault::kHang, 0, 2));
}

TEST(FaultFile, HasNoFaultsWithoutAPath) { EXPECT_FALSE(FaultFile("").Has(Fault::kGone, 0)); }

}  // namespace
}  // namespace ese::emu
