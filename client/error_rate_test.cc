// SPDX-License-Identifier: Apache-2.0
#include "client/error_rate.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ese {
namespace {

std::vector<std::string> Phones(const std::string& text) {
  return absl::StrSplit(text, ' ', absl::SkipEmpty());
}

// "AA:AA B:* *:K": reference:recognised.
std::string Show(const Alignment& alignment) {
  std::string text;
  for (const AlignedPair& pair : alignment.pairs) {
    absl::StrAppend(&text, text.empty() ? "" : " ", pair.reference.empty() ? "*" : pair.reference,
                    ":", pair.recognised.empty() ? "*" : pair.recognised);
  }
  return text;
}

void ExpectCounts(const ErrorCounts& counts, int64_t reference, int64_t substitutions,
                  int64_t deletions, int64_t insertions) {
  EXPECT_EQ(counts.reference, reference);
  EXPECT_EQ(counts.substitutions, substitutions);
  EXPECT_EQ(counts.deletions, deletions);
  EXPECT_EQ(counts.insertions, insertions);
}

TEST(AlignTest, EqualSequencesHaveNoErrors) {
  const Alignment a = Align(Phones("K AE T"), Phones("K AE T"));
  ExpectCounts(a.counts, 3, 0, 0, 0);
  EXPECT_EQ(a.counts.rate(), 0);
  EXPECT_EQ(Show(a), "K:K AE:AE T:T");
}

TEST(AlignTest, EmptyOnBothSides) { ExpectCounts(Align({}, {}).counts, 0, 0, 0, 0); }

TEST(AlignTest, EmptyReferenceIsAllInsertions) {
  ExpectCounts(Align({}, Phones("K AE")).counts, 0, 0, 0, 2);
}

TEST(AlignTest, NothingRecognisedIsAllDeletions) {
  const Alignment a = Align(Phones("K AE"), {});
  ExpectCounts(a.counts, 2, 0, 2, 0);
  EXPECT_EQ(a.counts.rate(), 1);
}

TEST(AlignTest, OneOfEachKind) {
  const Alignment a = Align(Phones("K AE T S IH T S"), Phones("K AH T S T S AA"));
  EXPECT_EQ(a.counts.errors(), 3);
  ExpectCounts(a.counts, 7, 1, 1, 1);
  EXPECT_EQ(Show(a), "K:K AE:AH T:T S:S IH:* T:T S:S *:AA");
}

TEST(AlignTest, SubstitutionIsTakenBeforeDeletionAndInsertionOnATie) {
  ExpectCounts(Align(Phones("A"), Phones("B")).counts, 1, 1, 0, 0);
  // Two substitutions cost as much as a deletion and an insertion.
  ExpectCounts(Align(Phones("A B"), Phones("B A")).counts, 2, 2, 0, 0);
}

TEST(AlignTest, RepeatedPhonesTakeTheLastMatch) {
  EXPECT_EQ(Show(Align(Phones("T T"), Phones("T"))), "T:* T:T");
  EXPECT_EQ(Show(Align(Phones("T"), Phones("T T"))), "*:T T:T");
}

TEST(AlignTest, RateMayExceedOne) {
  EXPECT_EQ(Align(Phones("A"), Phones("B C D")).counts.rate(), 3);
}

TEST(AlignTest, DistanceIsSymmetric) {
  const std::vector<std::string> a = Phones("S AH M TH IH NG L AO NG");
  const std::vector<std::string> b = Phones("S AA TH IH N L AO NG ER");
  EXPECT_EQ(Align(a, b).counts.errors(), 4);
  EXPECT_EQ(Align(b, a).counts.errors(), 4);
}

TEST(ErrorCountsTest, SumsOverFilesWeighByLength) {
  ErrorCounts sum;
  sum += Align(Phones("A B C D"), Phones("A B C D")).counts;
  sum += Align(Phones("E"), Phones("F")).counts;
  ExpectCounts(sum, 5, 1, 0, 0);
  EXPECT_DOUBLE_EQ(sum.rate(), 0.2);
}

}  // namespace
}  // namespace ese
