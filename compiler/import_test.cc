// SPDX-License-Identifier: Apache-2.0
#include "compiler/import.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/test_paths.h"
#include "compiler/files.h"
#include "compiler/onnx/testing.h"
#include "compiler/testing.h"
#include "nlohmann/json.hpp"

namespace ese {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string Golden(const std::string& name) {
  return absl::StrCat(SourceDir(), "/tests/golden/compiler/", name);
}

std::string Write(const std::string& name, const std::string& bytes) {
  const std::string path = TemporaryPath(name);
  EXPECT_TRUE(WriteFileAtomically(path, bytes).ok());
  return path;
}

std::string Refusal(const std::string& weights, const nlohmann::json& annotations) {
  return std::string(
      ImportFile(weights, Write("annotations.json", annotations.dump())).status().message());
}

TEST(ImportTest, DistinguishesFormatsByContent) {
  for (const char* golden : {"onnx/torch.onnx", "kaldi/projected.nnet", "kaldi/projected.txt"}) {
    const std::string path = Write("network", *ReadFile(Golden(golden)));
    const auto imported = ImportFile(path, "");
    ASSERT_TRUE(imported.ok()) << imported.status();
    EXPECT_THAT(imported->topology.units, ElementsAre("U0", "U1", "U2", "U3"));
  }
  const std::string path = Write("network", *ReadFile(Golden("projected.safetensors")));
  const auto imported = ImportFile(path, Golden("projected.json"));
  ASSERT_TRUE(imported.ok()) << imported.status();
  EXPECT_EQ(imported->topology.name, "projected");
}

TEST(ImportTest, NamesTheModel) {
  // PyTorch gives this graph the name torch_jit, as it does every graph.
  EXPECT_EQ(ImportFile(Golden("onnx/torch.onnx"), "")->topology.name, "torch");
  EXPECT_EQ(ImportFile(Golden("onnx/torch.onnx"), "", {.name = "mine"})->topology.name, "mine");
  EXPECT_EQ(ImportFile(Golden("projected.safetensors"), Golden("projected.json"), {.name = "mine"})
                ->topology.name,
            "mine");
}

TEST(ImportTest, SaysHowToSaveOtherFormats) {
  EXPECT_THAT(ImportFile(Write("network", "PK\x03\x04"), "").status().message(),
              HasSubstr("torch.save (.pt, .pth)"));
  EXPECT_THAT(ImportFile(Write("network", "\x80\x02}"), "").status().message(),
              HasSubstr("torch.save (.pt, .pth)"));
  EXPECT_THAT(ImportFile(Write("network", "\x89HDF\r\n"), "").status().message(),
              HasSubstr("HDF5 (Keras, .h5)"));
}

// A softmax of one unit says nothing.
TEST(ImportTest, RefusesOneUnit) {
  onnx::ModelProto model = PeepholesModel();
  for (const char* name : {"weight", "bias"}) {
    onnx::TensorProto& tensor = Tensor(model, name);
    tensor.set_dims(0, 1);
    tensor.mutable_raw_data()->resize(tensor.raw_data().size() / 4);
  }
  EXPECT_THAT(ImportFile(Write("network", model.SerializeAsString()), "").status().message(),
              HasSubstr("its output layer has one unit z"));
}

// The first bytes of one format may look like those of another.
TEST(ImportTest, DistinguishesFormatsThatLookAlike) {
  std::string bytes = *ReadFile(Golden("projected.safetensors"));
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof(length));
  const uint64_t begins_like_kaldi = 0x3c20;  // a space and "<"
  bytes.insert(sizeof(length) + length, std::string(begins_like_kaldi - length, ' '));
  std::memcpy(bytes.data(), &begins_like_kaldi, sizeof(length));
  const auto safetensors = ImportFile(Write("network", bytes), Golden("projected.json"));
  EXPECT_TRUE(safetensors.ok()) << safetensors.status();

  onnx::ModelProto model = PeepholesModel();
  model.set_producer_name("none{}");
  bytes = model.SerializeAsString();
  ASSERT_EQ(bytes[8], '{');
  for (const char* name : {"network", "network.onnx"}) {
    const auto imported = ImportFile(Write(name, bytes), "");
    EXPECT_TRUE(imported.ok()) << imported.status();
  }
}

TEST(ImportTest, NamesComeFromTheGraphOrTheFile) {
  EXPECT_EQ(ImportFile(Golden("onnx/peepholes.onnx"), "")->topology.name, "peepholes");
  EXPECT_EQ(ImportFile(Golden("kaldi/projected.nnet"), "")->topology.name, "projected");
}

TEST(ImportTest, SafetensorsNeedATopology) {
  EXPECT_THAT(ImportFile(Golden("projected.safetensors"), "").status().message(),
              HasSubstr("give --topology"));
}

TEST(ImportTest, RefusesOtherFiles) {
  EXPECT_THAT(ImportFile(Write("network", "PK\x03\x04"), "").status().message(),
              HasSubstr("neither safetensors nor ONNX nor Kaldi nnet1"));
  EXPECT_THAT(ImportFile(Write("network", ""), "").status().message(),
              HasSubstr("neither safetensors nor ONNX nor Kaldi nnet1"));
  EXPECT_EQ(ImportFile(TemporaryPath("none"), "").status().code(), absl::StatusCode::kNotFound);
}

TEST(ImportTest, AnnotationsNameUnitsAndFeatures) {
  const nlohmann::json annotations = {
      {"name", "named"},
      {"features", {{"sample_rate_hz", 8000}, {"num_mel_bins", 5}}},
      {"output", {{"units", {"<blank>", "a", "b", "c"}}, {"blank", 0}}},
      {"input", {{"mean", {1, 2, 3, 4, 5}}, {"inv_stddev", {1, 1, 1, 1, 0.5}}}},
      {"training", {{"corpus", "made up"}}}};
  const auto imported =
      ImportFile(Golden("onnx/torch.onnx"), Write("annotations.json", annotations.dump()));
  ASSERT_TRUE(imported.ok()) << imported.status();
  EXPECT_EQ(imported->topology.name, "named");
  EXPECT_EQ(imported->topology.features.num_mel_bins, 5);
  EXPECT_THAT(imported->topology.units, ElementsAre("<blank>", "a", "b", "c"));
  EXPECT_EQ(imported->topology.blank, 0);
  EXPECT_THAT(imported->network.input_mean, ElementsAre(1, 2, 3, 4, 5));
  EXPECT_THAT(imported->network.input_inv_stddev, ElementsAre(1, 1, 1, 1, 0.5f));
  EXPECT_EQ(imported->topology.facts.at("corpus"), "made up");
}

TEST(ImportTest, RefusesAnnotationsThatDoNotFit) {
  const std::string onnx = Golden("onnx/torch.onnx");
  EXPECT_THAT(Refusal(onnx, {{"output", {{"units", {"a"}}}}}),
              HasSubstr("'output.units' has 1 values but the output layer has 4"));
  EXPECT_THAT(Refusal(onnx, {{"output", {{"blank", 4}}}}),
              HasSubstr("'output.blank' is 4 but the last unit is 3"));
  EXPECT_THAT(Refusal(onnx, {{"input", {{"mean", {1}}, {"inv_stddev", {1}}}}}),
              HasSubstr("'input.mean' has 1 values but the first layer's input has 5"));
  EXPECT_THAT(Refusal(onnx, {{"input", {{"mean", {1, 2}}, {"inv_stddev", {1}}}}}),
              HasSubstr("'input.inv_stddev' must be as long as 'mean'"));
  EXPECT_THAT(Refusal(onnx, {{"input", {{"mean", "input.mean"}, {"inv_stddev", {1}}}}}),
              HasSubstr("'input.mean' must be a list"));
  EXPECT_THAT(Refusal(onnx, {{"features", {{"sample_rate_hz", 8000}, {"num_mel_bins", 6}}}}),
              HasSubstr("'features' gives 6 x 1 = 6 values a frame"));
  EXPECT_THAT(Refusal(onnx, {{"layers", nlohmann::json::array()}}),
              HasSubstr("'layers' is unknown"));
  EXPECT_THAT(Refusal(Golden("kaldi/projected.nnet"),
                      {{"input", {{"mean", {0, 0, 0, 0, 0}}, {"inv_stddev", {1, 1, 1, 1, 1}}}}}),
              HasSubstr("normalises its input itself; take 'input' out"));
}

}  // namespace
}  // namespace ese
