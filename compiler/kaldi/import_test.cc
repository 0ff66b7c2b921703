// SPDX-License-Identifier: Apache-2.0
#include "compiler/kaldi/import.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/test_paths.h"
#include "compiler/compile.h"
#include "compiler/files.h"
#include "compiler/testing.h"

namespace ese {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

std::string Golden(const std::string& name) {
  return absl::StrCat(SourceDir(), "/tests/golden/compiler/kaldi/", name);
}

std::string Refusal(const std::string& bytes) {
  const auto imported = ImportKaldi(bytes, "final.nnet");
  EXPECT_EQ(imported.status().code(), absl::StatusCode::kInvalidArgument) << imported.status();
  const std::string message(imported.status().message());
  EXPECT_THAT(message, StartsWith("final.nnet: "));
  return message;
}

// The smallest network, with 2 inputs, 1 cell, 1 output and 2 units.
constexpr char kSmall[] =
    "<Nnet>\n"
    "<LstmProjectedStreams> 1 2 <CellDim> 1 <ClipGradient> 5  [\n"
    " 11 12 \n 21 22 \n 31 32 \n 41 42 ]\n"
    " [ 13 \n 23 \n 33 \n 43 ]\n"
    " [ 1 2 3 4 ]\n [ 5 ]\n [ 6 ]\n [ 7 ]\n [\n  8 ]\n"
    "<AffineTransform> 2 1  [\n  1 \n  2 ]\n [ 3 4 ]\n"
    "<Softmax> 2 2\n"
    "</Nnet>\n";

// Expects that kSmall is refused after the replacement, and returns the message.
std::string SmallRefusal(const std::string& from, const std::string& to) {
  const std::string changed = absl::StrReplaceAll(kSmall, {{from, to}});
  EXPECT_NE(changed, kSmall) << from;
  return Refusal(changed);
}

class KaldiGoldenTest : public testing::TestWithParam<const char*> {};

TEST_P(KaldiGoldenTest, LogitsAgreeWithTheEquations) {
  const auto imported = ImportKaldi(*ReadFile(Golden(GetParam())), GetParam());
  ASSERT_TRUE(imported.ok()) << imported.status();
  ASSERT_EQ(imported->topology.layers.size(), 2u);
  EXPECT_EQ(imported->topology.layers[0].cells, 7);
  EXPECT_EQ(imported->topology.layers[1].projection, 3);
  ExpectGoldenLogits(*imported, Golden("projected_calibration.safetensors"), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(TextAndBinary, KaldiGoldenTest,
                         testing::Values("projected.txt", "projected.nnet"), [](const auto& info) {
                           return std::string(strstr(info.param, "txt") ? "Text" : "Binary");
                         });

TEST(KaldiTest, TextAndBinaryAreTheSameNetwork) {
  const auto text = ImportKaldi(*ReadFile(Golden("projected.txt")), "text");
  const auto binary = ImportKaldi(*ReadFile(Golden("projected.nnet")), "binary");
  ASSERT_TRUE(text.ok() && binary.ok()) << text.status() << binary.status();
  EXPECT_EQ(text->network.layers[1].gates.weights, binary->network.layers[1].gates.weights);
  EXPECT_EQ(text->network.output.weights, binary->network.output.weights);
  EXPECT_EQ(text->network.input_mean, binary->network.input_mean);
}

TEST(KaldiTest, ReadsOlderFilesWithoutEndsOfComponents) {
  const auto imported = ImportKaldi(kSmall, "small");
  ASSERT_TRUE(imported.ok()) << imported.status();
  const auto& layer = imported->network.layers[0];
  // Rows g, i, f, o of the file become i, f, g, o.
  EXPECT_THAT(layer.gates.weights, ElementsAre(21, 22, 23, 31, 32, 33, 11, 12, 13, 41, 42, 43));
  EXPECT_THAT(layer.gates.bias, ElementsAre(2, 3, 1, 4));
  EXPECT_THAT(layer.peepholes, ElementsAre(5, 6, 7));
  EXPECT_THAT(layer.projection.weights, ElementsAre(8));
  EXPECT_THAT(imported->network.output.bias, ElementsAre(3, 4));
  EXPECT_THAT(imported->network.input_mean, ElementsAre(0, 0));
  EXPECT_THAT(imported->network.input_inv_stddev, ElementsAre(1, 1));
}

TEST(KaldiTest, ShiftsAndScalesBecomeTheNormalization) {
  const auto imported =
      ImportKaldi(absl::StrReplaceAll(
                      kSmall, {{"<Nnet>\n",
                                "<Nnet>\n<AddShift> 2 2 [ -3 1 ]\n<Rescale> 2 2 <LearnRateCoef> "
                                "0 [ 0.5 2 ]\n<!EndOfComponent>\n<AddShift> 2 2 [ 1 0 ]\n"}}),
                  "small");
  ASSERT_TRUE(imported.ok()) << imported.status();
  // 0.5 (x - 3) + 1 = 0.5 (x - 1)
  EXPECT_THAT(imported->network.input_mean, ElementsAre(1, -1));
  EXPECT_THAT(imported->network.input_inv_stddev, ElementsAre(0.5f, 2));
  EXPECT_THAT(SmallRefusal("<Nnet>\n", "<Nnet>\n<Rescale> 2 2 [ 1 0 ]\n"),
              HasSubstr("component 1 <Rescale>: value 1 is 0"));
}

// With --splice 0, Kaldi's recipe writes a feature transform that begins like this.
TEST(KaldiTest, IgnoresASpliceWithoutOtherFrames) {
  const std::string text =
      absl::StrReplaceAll(kSmall, {{"<Nnet>\n", "<Nnet>\n<Splice> 2 2 \n[ 0 ]\n"}});
  const auto imported = ImportKaldi(text, "small");
  ASSERT_TRUE(imported.ok()) << imported.status();
  EXPECT_THAT(imported->network.input_mean, ElementsAre(0, 0));

  // <Nnet> <Splice> 5 5, one offset of four bytes, and the rest of the golden file.
  const std::string golden = *ReadFile(Golden("projected.nnet"));
  const std::string start("\0B<Nnet> ", 9);
  ASSERT_THAT(golden, StartsWith(start));
  for (const char offset : {'\0', '\1'}) {
    std::string splice("<Splice> \4\5\0\0\0\4\5\0\0\0\4\1\0\0\0", 24);
    splice += std::string(1, offset) + std::string(3, '\0');
    const std::string bytes = start + splice + "<!EndOfComponent> " + golden.substr(9);
    const auto binary = ImportKaldi(bytes, "binary");
    EXPECT_EQ(binary.ok(), offset == 0) << binary.status();
    if (binary.ok()) ExpectGoldenLogits(*binary, Golden("projected_calibration.safetensors"), 1e-5);
  }
}

TEST(KaldiTest, RefusesASpliceOfOtherFrames) {
  const auto refusal = [](const std::string& component) {
    return SmallRefusal("<Nnet>\n", "<Nnet>\n" + component);
  };
  EXPECT_THAT(refusal("<Splice> 6 2 [ -1 0 1 ]\n"),
              AllOf(HasSubstr("component 1 <Splice>: joins each frame with its neighbours"),
                    HasSubstr("--splice 0")));
  EXPECT_THAT(refusal("<Splice> 2 2 [ 1 ]\n"), HasSubstr("joins each frame"));
  EXPECT_THAT(refusal("<Splice> 2 2 [ ]\n"), HasSubstr("joins each frame"));
  EXPECT_THAT(refusal("<Splice> 2 2 [ a ]\n"), HasSubstr("expected an integer"));
  EXPECT_THAT(refusal("<Splice> 2 2 0\n"), HasSubstr("the [ of a list of integers"));
  EXPECT_THAT(SmallRefusal("<AffineTransform>", "<Splice> 1 1 [ 0 ] <AffineTransform>"),
              HasSubstr("component 2 <Splice>: is not supported here"));
  const std::string bytes("\0B<Nnet> <Splice> \4\5\0\0\0\4\5\0\0\0\4\xff\xff\xff\x7f", 33);
  EXPECT_THAT(Refusal(bytes), HasSubstr("expected 2147483647 integers"));
}

TEST(KaldiTest, AcceptsCellClipsThatTheCellHasAnyway) {
  for (const char* clip : {"0", "32", "50"}) {
    EXPECT_TRUE(ImportKaldi(absl::StrReplaceAll(
                                kSmall, {{"<ClipGradient> 5", absl::StrCat("<CellClip> ", clip)}}),
                            "small")
                    .ok());
  }
  EXPECT_THAT(SmallRefusal("<ClipGradient> 5", "<CellClip> 31.9"),
              HasSubstr("component 1 <LstmProjectedStreams>: <CellClip> is 31.9"));
}

TEST(KaldiTest, RefusesOtherComponents) {
  EXPECT_THAT(SmallRefusal("<LstmProjectedStreams>", "<BlstmProjectedStreams>"),
              AllOf(HasSubstr("component 1 <BlstmProjectedStreams>: is not supported"),
                    HasSubstr("bidirectional LSTMs cannot stream")));
  EXPECT_THAT(SmallRefusal("</Nnet>", "<Sigmoid> 2 2\n</Nnet>"),
              HasSubstr("component 4 <Sigmoid>: nothing but <Softmax> may follow"));
  EXPECT_THAT(SmallRefusal("<ClipGradient>", "<Unheard>"),
              HasSubstr("has the option <Unheard>, which is unknown"));
  EXPECT_THAT(SmallRefusal("<Nnet>", "<TransitionModel>"),
              HasSubstr("begins with <TransitionModel>, not with <Nnet>"));
  EXPECT_THAT(Refusal("<Nnet>\n</Nnet>\n"), HasSubstr("has no <LstmProjected>"));
}

TEST(KaldiTest, ErrorsContainNoControlCharacters) {
  EXPECT_THAT(SmallRefusal("<LstmProjectedStreams>", "<Lstm\x1b[2J>"),
              AllOf(HasSubstr("expected a token"), Not(HasSubstr("\x1b"))));
}

TEST(KaldiTest, RefusesWrongSizes) {
  EXPECT_THAT(SmallRefusal("11 12", "11"),
              HasSubstr("w_gifo_x: expected 1 numbers in row 1, not 2"));
  EXPECT_THAT(SmallRefusal(" \n 41 42", ""),
              HasSubstr("w_gifo_x has 3 x 2 values but must have 4 x 2"));
  EXPECT_THAT(SmallRefusal("[ 1 2 3 4 ]", "[ 1 2 3 ]"),
              HasSubstr("component 1 <LstmProjectedStreams>: bias has 3 values but must have 4"));
  EXPECT_THAT(SmallRefusal("<AffineTransform> 2 1", "<AffineTransform> 2 3"),
              HasSubstr("component 2 <AffineTransform>: has 3 inputs but the component before"));
  EXPECT_THAT(SmallRefusal("<CellDim> 1", "<CellDim> 0"), HasSubstr("<CellDim> is 0"));
  EXPECT_THAT(SmallRefusal("Streams> 1 2", "Streams> 1 99999999"), HasSubstr("not between 1 and"));
}

TEST(KaldiTest, RefusesNonFiniteValues) {
  for (const char* value : {"nan", "inf", "-inf", "1e39"}) {
    EXPECT_THAT(SmallRefusal("[ 6 ]", absl::StrCat("[ ", value, " ]")),
                HasSubstr("component 1 <LstmProjectedStreams>: peephole_f_c: a value before byte"));
  }
  std::string bytes = *ReadFile(Golden("projected.nnet"));
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const size_t first = bytes.rfind("FM ") + 3 + 10;  // in the output layer
  std::memcpy(bytes.data() + first, &nan, sizeof(nan));
  EXPECT_THAT(Refusal(bytes), HasSubstr("<AffineTransform>: linearity: a value before byte"));
}

TEST(KaldiTest, RefusesCompressedMatrices) {
  std::string bytes = *ReadFile(Golden("projected.nnet"));
  bytes[bytes.find("FM ")] = 'C';
  EXPECT_THAT(Refusal(bytes), HasSubstr("w_gifo_x: expected a matrix of floats"));
}

TEST(KaldiTest, DoesNotAllocateHugeSizesOfABinaryFile) {
  std::string bytes = *ReadFile(Golden("projected.nnet"));
  const int32_t huge = std::numeric_limits<int32_t>::max();
  std::memcpy(bytes.data() + bytes.find("FM ") + 4, &huge, sizeof(huge));
  std::memcpy(bytes.data() + bytes.find("FM ") + 9, &huge, sizeof(huge));
  EXPECT_THAT(Refusal(bytes), HasSubstr("w_gifo_x: expected 2147483647 x 2147483647 numbers"));
}

TEST(KaldiTest, RefusesEveryTruncation) {
  for (const std::string& bytes : {*ReadFile(Golden("projected.nnet")), std::string(kSmall)}) {
    const size_t last = bytes.find("</Nnet>") + 6;
    for (size_t size = 0; size <= last; ++size) Refusal(bytes.substr(0, size));
  }
}

TEST(KaldiTest, ErrorsNumberGateRowsAsTheFileDoes) {
  auto imported = ImportKaldi(absl::StrReplaceAll(kSmall, {{"[ 1 2 3 4 ]", "[ 1 2 5000 4 ]"},
                                                           {"21 22", "2 2"},
                                                           {"31 32", "3 3"},
                                                           {"41 42", "4 4"},
                                                           {"11 12", "1 1"}}),
                              "small");
  ASSERT_TRUE(imported.ok()) << imported.status();
  imported->topology.units = {"a", "b"};
  EXPECT_THAT(Compile(*imported, nullptr, {}).status().message(),
              HasSubstr("component1.w_gifo_x | component1.w_gifo_r, row 2 (gate f of cell 0)"));
}

}  // namespace
}  // namespace ese
