// SPDX-License-Identifier: Apache-2.0
#include "client/references.h"

#include <fstream>

#include "base/test_paths.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ese {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

std::string Write(const std::string& content) {
  const std::string path = ::testing::TempDir() + "/references_test.tsv";
  std::ofstream(path) << content;
  return path;
}

void ExpectRefused(const std::string& content, const std::string& words) {
  const absl::StatusOr<References> references = ReadReferences(Write(content));
  ASSERT_FALSE(references.ok()) << content;
  EXPECT_EQ(references.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(references.status().message()), HasSubstr(words));
}

TEST(ReferencesTest, ReadsColumnsInAnyOrderAndKeysByBaseName) {
  const auto references = ReadReferences(
      Write("phones\tlicence\tfile\tset\ttext\r\nK AE  T\tCC0\tsub/cat.wav\tanimals\tcat\r\n\n"));
  ASSERT_TRUE(references.ok()) << references.status();
  ASSERT_THAT(*references, SizeIs(1));
  const Reference& cat = references->at("cat.wav");
  EXPECT_THAT(cat.phones, ElementsAre("K", "AE", "T"));
  EXPECT_EQ(cat.set, "animals");
  EXPECT_EQ(cat.text, "cat");
}

TEST(ReferencesTest, SetAndTextMayBeMissing) {
  const auto references = ReadReferences(Write("file\tphones\ncat.wav\tK\n"));
  ASSERT_TRUE(references.ok()) << references.status();
  EXPECT_EQ(references->at("cat.wav").set, "");
}

TEST(ReferencesTest, ReadsTheShippedTable) {
  const auto references = ReadReferences(SourceDir() + "/tests/data/speech/references.tsv");
  ASSERT_TRUE(references.ok()) << references.status();
  EXPECT_GE(references->size(), 10u);
}

TEST(ReferencesTest, EmptyFile) { ExpectRefused("", "is empty"); }
TEST(ReferencesTest, HeaderWithoutPhones) { ExpectRefused("file\tset\n", ":1: the header"); }
TEST(ReferencesTest, LineWithAnotherNumberOfColumns) {
  ExpectRefused("file\tphones\ncat.wav\n", ":2: has 1 columns, the header 2");
}
TEST(ReferencesTest, EmptyReference) { ExpectRefused("file\tphones\ncat.wav\t \n", ":2: has no"); }
TEST(ReferencesTest, FileTwice) {
  ExpectRefused("file\tphones\na/cat.wav\tK\nb/cat.wav\tK\n", ":3: cat.wav occurs twice");
}

TEST(ReferencesTest, UnknownFileAndFolder) {
  EXPECT_EQ(ReadReferences("/nowhere/x.tsv").status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(ReadReferences(::testing::TempDir()).ok());
}

}  // namespace
}  // namespace ese
