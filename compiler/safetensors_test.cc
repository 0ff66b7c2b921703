// SPDX-License-Identifier: Apache-2.0
#include "compiler/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace ese {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Returns the bytes of a file with this header and data.
std::string File(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof(length)) + header + data;
}

// Returns a JSON object with these members.
std::string Header(std::initializer_list<std::string> members) {
  return absl::StrCat("{", absl::StrJoin(members, ","), "}");
}

std::string Entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  int begin, int end) {
  return absl::StrCat("\"", name, "\":{\"dtype\":\"", dtype, "\",\"shape\":", shape,
                      ",\"data_offsets\":[", begin, ",", end, "]}");
}

template <typename T>
std::string Raw(std::initializer_list<T> values) {
  return std::string(reinterpret_cast<const char*>(values.begin()), values.size() * sizeof(T));
}

absl::Status Parse(const std::string& bytes) {
  return Safetensors::FromBytes(bytes, "file").status();
}

void ExpectRefused(const std::string& bytes, const std::string& why) {
  const absl::Status status = Parse(bytes);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(status.message(), HasSubstr(why));
  EXPECT_THAT(status.message(), HasSubstr("file"));
}

TEST(SafetensorsTest, ReadsWhatTheWriterWrote) {
  SafetensorsWriter writer;
  writer.AddFloats("b \"quoted\"", {2, 2}, {1, -2, 3.5, 0});
  writer.AddIntegers("a", {7, -1});
  writer.AddFloats("empty", {0}, {});
  const auto file = Safetensors::FromBytes(writer.Bytes(), "file");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_THAT(file->names(), ElementsAre("a", "b \"quoted\"", "empty"));
  EXPECT_THAT(*file->Floats("b \"quoted\"", {2, 2}), ElementsAre(1, -2, 3.5, 0));
  EXPECT_THAT(*file->Integers("a"), ElementsAre(7, -1));
  EXPECT_THAT(*file->Floats("empty", {0}), ElementsAre());
  EXPECT_TRUE(file->Has("a"));
  EXPECT_FALSE(file->Has("c"));
}

TEST(SafetensorsTest, WritesAValidFileWithoutTensors) {
  EXPECT_TRUE(Parse(SafetensorsWriter().Bytes()).ok());
}

TEST(SafetensorsTest, MetadataIsNotATensor) {
  const auto file =
      Safetensors::FromBytes(File("{\"__metadata__\":{\"format\":\"pt\"}}", ""), "file");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_THAT(file->names(), ElementsAre());
}

TEST(SafetensorsTest, ConvertsOtherFloatTypes) {
  const std::string header =
      Header({Entry("half", "F16", "[6]", 0, 12), Entry("brain", "BF16", "[2]", 12, 16),
              Entry("double", "F64", "[1]", 16, 24)});
  const std::string data = Raw<uint16_t>({0x3C00, 0xC000, 0x0001, 0x8000, 0x7BFF, 0x3555}) +
                           Raw<uint16_t>({0x3F80, 0xC040}) + Raw<double>({0.25});
  const auto file = Safetensors::FromBytes(File(header, data), "file");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_THAT(*file->Floats("half", {6}),
              ElementsAre(1, -2, std::ldexp(1.0f, -24), -0.0f, 65504, 0.333251953125f));
  EXPECT_THAT(*file->Floats("brain", {2}), ElementsAre(1, -3));
  EXPECT_THAT(*file->Floats("double", {1}), ElementsAre(0.25));
}

TEST(SafetensorsTest, ReadsInt32AsIntegers) {
  const auto file = Safetensors::FromBytes(
      File(Header({Entry("n", "I32", "[2]", 0, 8)}), Raw<int32_t>({5, -6})), "file");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_THAT(*file->Integers("n"), ElementsAre(5, -6));
}

TEST(SafetensorsTest, RefusesTooFewBytes) {
  ExpectRefused("", "too few");
  ExpectRefused("1234567", "too few");
}

TEST(SafetensorsTest, RefusesHeaderLengthBeyondTheFile) {
  ExpectRefused(Raw<uint64_t>({3}) + "{}", "claims 3 bytes");
  ExpectRefused(Raw<uint64_t>({std::numeric_limits<uint64_t>::max()}) + "{}", "claims");
  ExpectRefused(Raw<uint64_t>({kMaxSafetensorsHeaderBytes + 1}) + "{}", "claims");
}

TEST(SafetensorsTest, RefusesWhatIsNotJson) {
  ExpectRefused(File("not json", ""), "header: not valid JSON: parse error at line 1, column 2");
  ExpectRefused(File("[1]", ""), "not a JSON object");
  ExpectRefused(File("{\"a\":", ""), "not valid JSON");
  ExpectRefused(File("{\"a\xff\":{}}", ""), "ill-formed UTF-8");
}

TEST(SafetensorsTest, RefusesEntriesThatAreNotTensors) {
  ExpectRefused(File("{\"w\":5}", ""), "tensor 'w'");
  ExpectRefused(File("{\"w\":{}}", ""), "tensor 'w'");
  ExpectRefused(File("{\"w\":{\"shape\":[1],\"data_offsets\":[0,4]}}", "1234"), "no dtype");
  ExpectRefused(File("{\"w\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", "1234"),
                "non-negative");
  ExpectRefused(File("{\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", "1234"),
                "two data_offsets");
  ExpectRefused(File(Header({Entry("w", "F31", "[1]", 0, 4)}), "1234"), "unknown dtype 'F31'");
}

TEST(SafetensorsTest, RefusesShapesThatDoNotFillTheData) {
  ExpectRefused(File(Header({Entry("w", "F32", "[2]", 0, 4)}), "1234"), "does not fill");
  ExpectRefused(File(Header({Entry("w", "F32", "[1]", 4, 0)}), "1234"), "does not fill");
  // The product of this shape is 2^64, which is 0 in 64 bits.
  ExpectRefused(File(Header({Entry("w", "F32", "[4294967296,4294967296]", 0, 0)}), ""),
                "does not fill");
}

TEST(SafetensorsTest, RefusesTruncatedData) {
  ExpectRefused(File(Header({Entry("w", "F32", "[2]", 0, 8)}), "1234567"), "cut short");
}

TEST(SafetensorsTest, RefusesOverlapsAndGaps) {
  const std::string first = Entry("a", "F32", "[2]", 0, 8);
  ExpectRefused(File(Header({first, Entry("b", "F32", "[1]", 4, 8)}), "12345678"),
                "tensor 'b' begins at byte 4 of the data but overlaps");
  ExpectRefused(File(Header({first, Entry("b", "F32", "[1]", 12, 16)}), "1234567890123456"),
                "leaves a gap");
}

TEST(SafetensorsTest, RefusesBytesAfterTheLastTensor) {
  ExpectRefused(File(Header({Entry("a", "F32", "[2]", 0, 8)}), "1234567890"),
                "2 bytes follow the last tensor's data");
}

TEST(SafetensorsTest, RefusesATensorListedTwice) {
  ExpectRefused(File(Header({Entry("a", "I8", "[1]", 0, 1), Entry("a", "I8", "[1]", 1, 2)}), "12"),
                "'a' is given twice");
}

TEST(SafetensorsTest, ReadErrorsNameTheTensor) {
  SafetensorsWriter writer;
  writer.AddFloats("w", {2, 1}, {1, 2});
  writer.AddIntegers("n", {1});
  const auto file = Safetensors::FromBytes(writer.Bytes(), "file");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->Floats("v", {1}).status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(file->Floats("v", {1}).status().message(), HasSubstr("'v'; it has n, w"));
  EXPECT_THAT(file->Floats("w", {1, 2}).status().message(),
              HasSubstr("tensor 'w' has the shape [2, 1] but the topology needs [1, 2]"));
  EXPECT_THAT(file->Floats("n", {1}).status().message(), HasSubstr("'n' is of type I64"));
  EXPECT_THAT(file->Integers("w").status().message(), HasSubstr("'w' is of type F32"));
}

TEST(SafetensorsTest, RefusesNanAndInfinityByName) {
  SafetensorsWriter writer;
  writer.AddFloats("nan", {2, 3}, {1, 2, 3, 4, 5, std::numeric_limits<float>::quiet_NaN()});
  writer.AddFloats("inf", {1}, {-std::numeric_limits<float>::infinity()});
  const auto file = Safetensors::FromBytes(writer.Bytes(), "file");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_THAT(file->Floats("nan", {2, 3}).status().message(),
              HasSubstr("tensor 'nan' has a NaN in single precision at [1, 2]"));
  EXPECT_THAT(file->Floats("inf", {1}).status().message(),
              HasSubstr("tensor 'inf' has an infinity in single precision at [0]"));
}

TEST(SafetensorsTest, RefusesDoublesBeyondSinglePrecision) {
  const auto file = Safetensors::FromBytes(
      File(Header({Entry("w", "F64", "[1]", 0, 8)}), Raw<double>({1e300})), "file");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_THAT(file->Floats("w", {1}).status().message(), HasSubstr("an infinity in single"));
}

TEST(SafetensorsTest, ListsTheFirstOfManyNames) {
  EXPECT_EQ(NameList({"a", "b"}), "a, b");
  EXPECT_EQ(NameList(std::vector<std::string>(20, "n")).find(" more"), std::string::npos);
  EXPECT_THAT(NameList(std::vector<std::string>(23, "n")), HasSubstr("n, n and 3 more"));
}

TEST(SafetensorsTest, RefusesEveryTruncation) {
  SafetensorsWriter writer;
  writer.AddFloats("w", {2, 1}, {1, 2});
  const std::string bytes = writer.Bytes();
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(Parse(bytes.substr(0, size)).ok()) << size;
  }
}

}  // namespace
}  // namespace ese
