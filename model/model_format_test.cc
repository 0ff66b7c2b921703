// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <random>
#include <vector>

#include "base/crc32c.h"
#include "model/arithmetic.h"
#include "model/manifest.pb.h"
#include "model/model.h"
#include "model/model_sections.h"
#include "model/testing.h"

namespace ese {
namespace {

using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

ModelDraft SmallDraft() {
  ModelDraft draft =
      RandomModelDraft({.inputs = 6,
                        .layers = {{.cells = 5, .projection = 3, .peepholes = true},
                                   {.cells = 4, .g_activation = GActivation::kSigmoid}},
                        .units = 4,
                        .density = 0.5});
  draft.features = {.sample_rate_hz = 16000, .num_mel_bins = 3, .stack = 2};
  draft.facts = {{"data", "none"}, {"per", "1.0"}};
  return draft;
}

std::string SmallFile() { return *SerializeModel(SmallDraft()); }

absl::Status LoadError(std::string bytes) { return Model::FromBytes(std::move(bytes)).status(); }

// Returns the error for a draft with one mistake.
template <typename Change>
absl::Status DraftError(Change change) {
  ModelDraft draft = SmallDraft();
  change(draft);
  return SerializeModel(draft).status();
}

TEST(EntryTest, PacksWeightAndGapAtTheirLimits) {
  for (const int gap : {0, 1, 255, 511}) {
    for (const int weight : {-64, -1, 0, 1, 63}) {
      const uint16_t entry = MakeEntry(gap, weight);
      EXPECT_EQ(EntryGap(entry), gap);
      EXPECT_EQ(EntryWeight(entry), weight);
    }
  }
}

TEST(ModelFormatTest, RoundTripKeepsEverything) {
  const ModelDraft draft = SmallDraft();
  const auto loaded = Model::FromBytes(*SerializeModel(draft));
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const Model& model = **loaded;
  EXPECT_EQ(model.name, draft.name);
  EXPECT_EQ(model.units, draft.units);
  EXPECT_EQ(model.blank, 0);
  EXPECT_EQ(model.facts, draft.facts);
  EXPECT_EQ(model.features.sample_rate_hz, 16000);
  EXPECT_EQ(model.features.stack, 2);
  EXPECT_FLOAT_EQ(model.frame_ms(), 20);
  EXPECT_THAT(model.input_mean, ElementsAreArray(draft.input_mean));
  EXPECT_THAT(model.input_inv_stddev, ElementsAreArray(draft.input_inv_stddev));
  ASSERT_EQ(model.layers.size(), 2u);
  EXPECT_EQ(model.total_cells(), 9);
  EXPECT_EQ(model.total_outputs(), 7);
  for (size_t l = 0; l < 2; ++l) {
    const Layer& layer = model.layers[l];
    EXPECT_THAT(layer.gates.entries, ElementsAreArray(draft.layers[l].gates.entries));
    EXPECT_THAT(layer.gates.shift, ElementsAreArray(draft.layers[l].gates.shift));
    EXPECT_THAT(layer.gates.bias, ElementsAreArray(draft.layers[l].gates.bias));
    EXPECT_THAT(layer.peepholes, ElementsAreArray(draft.layers[l].peepholes));
    EXPECT_THAT(layer.projection.entries, ElementsAreArray(draft.layers[l].projection.entries));
    EXPECT_EQ(layer.g_activation, draft.layers[l].g_activation);
  }
  EXPECT_THAT(model.output.entries, ElementsAreArray(draft.output.entries));
}

TEST(ModelFormatTest, EqualDraftsGiveEqualFilesAndFingerprints) {
  EXPECT_EQ(SmallFile(), SmallFile());
  ModelDraft other = SmallDraft();
  other.output.bias[0] ^= 1;
  EXPECT_EQ((*Model::FromBytes(SmallFile()))->fingerprint().size(), 32u);
  EXPECT_NE((*Model::FromBytes(SmallFile()))->fingerprint(),
            (*Model::FromBytes(*SerializeModel(other)))->fingerprint());
}

TEST(ModelFormatTest, RefusesEveryFlippedBit) {
  const std::string good = SmallFile();
  for (size_t i = 0; i < good.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ (1 << bit));
      const absl::Status status = LoadError(std::move(bad));
      ASSERT_FALSE(status.ok()) << "byte " << i << " bit " << bit;
    }
  }
}

TEST(ModelFormatTest, RefusesEveryTruncationAndExtension) {
  const std::string good = SmallFile();
  for (size_t size = 0; size < good.size(); ++size) {
    ASSERT_FALSE(LoadError(good.substr(0, size)).ok()) << size;
  }
  EXPECT_THAT(LoadError(good + 'x').message(), HasSubstr("its header says"));
}

TEST(ModelFormatTest, MessagesGiveThePlaceAndTheRemedy) {
  EXPECT_THAT(LoadError("RIFF....WAVEfmt ").message(), HasSubstr("make one with ese-compile"));
  std::string bad = SmallFile();
  bad[bad.size() - 1] ^= 1;
  const absl::Status status = LoadError(bad);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(status.message(), HasSubstr("section output/bias at offset "));
  EXPECT_THAT(status.message(), HasSubstr("compile it again"));
}

TEST(ModelFormatTest, NamesAnUnsupportedVersion) {
  std::string bytes = SmallFile();
  ModelHeader header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  header.version = 4;
  header.header_crc32c = Crc32c(&header, offsetof(ModelHeader, header_crc32c));
  std::memcpy(bytes.data(), &header, sizeof(header));
  EXPECT_THAT(LoadError(bytes).message(),
              HasSubstr("version 4; this program reads versions 1 to 3"));
}

// This file and the following ones have correct checksums but wrong contents, which only the checks
// of the values catch.
TEST(ModelFormatTest, RefusesAColumnBeyondTheMatrix) {
  const absl::Status status =
      DraftError([](ModelDraft& d) { d.layers[0].gates.entries[0] = MakeEntry(511, 1); });
  EXPECT_THAT(status.message(), HasSubstr("section layer0/gates/entries, row 0: reaches column"));
}

TEST(ModelFormatTest, AcceptsTheLastColumn) {
  ModelDraft draft = SmallDraft();
  MatrixDraft& output = draft.output;
  output.entries_per_row = 1;
  output.entries.assign(output.rows, MakeEntry(output.columns - 1, 5));
  EXPECT_TRUE(SerializeModel(draft).ok());
  output.entries[2] = MakeEntry(output.columns, 5);
  EXPECT_THAT(SerializeModel(draft).status().message(), HasSubstr("output/entries, row 2"));
}

TEST(ModelFormatTest, RefusesRowsWhoseSumsCouldOverflow) {
  EXPECT_THAT(DraftError([](ModelDraft& d) {
                d.layers[1].gates.bias[3] = std::numeric_limits<int32_t>::max();
              }).message(),
              HasSubstr("layer1/gates/entries, row 3: its sums can reach"));
  EXPECT_THAT(DraftError([](ModelDraft& d) {
                d.layers[0].gates.bias[0] = std::numeric_limits<int32_t>::min();
              }).message(),
              HasSubstr("leave 32 bits"));
}

TEST(ModelFormatTest, TheOverflowBoundIsExact) {
  ModelDraft draft = SmallDraft();
  MatrixDraft& output = draft.output;
  output.entries_per_row = 1;
  output.entries.assign(output.rows, MakeEntry(0, kMinWeight));
  output.shift.assign(output.rows, kMaxRowShift);
  const int64_t room = int64_t{INT32_MAX} - (int64_t{64 * 128} << kMaxRowShift) - (1 << 18);
  output.bias.assign(output.rows, static_cast<int32_t>(room));
  EXPECT_TRUE(SerializeModel(draft).ok());
  output.bias[1] += 1;
  EXPECT_THAT(SerializeModel(draft).status().message(), HasSubstr("output/entries, row 1"));
}

TEST(ModelFormatTest, RefusesAShiftBeyondTheLimit) {
  EXPECT_THAT(DraftError([](ModelDraft& d) { d.output.shift[1] = kMaxRowShift + 1; }).message(),
              HasSubstr("output/entries, row 1: shift 17; at most 16"));
}

TEST(ModelFormatTest, RefusesWrongShapes) {
  EXPECT_THAT(DraftError([](ModelDraft& d) { d.layers.clear(); }).message(),
              HasSubstr("at least one layer"));
  EXPECT_THAT(DraftError([](ModelDraft& d) { d.output.bias.pop_back(); }).message(),
              HasSubstr("section output/bias: has 3 elements; needs 4"));
  EXPECT_THAT(DraftError([](ModelDraft& d) { d.layers[1].inputs = 2; }).message(),
              HasSubstr("the layer before it has 3 outputs"));
  EXPECT_THAT(DraftError([](ModelDraft& d) { d.layers[1].output_fraction_bits = 5; }).message(),
              HasSubstr("layer without projection has output_fraction_bits "));
  EXPECT_THAT(DraftError([](ModelDraft& d) { d.layers[0].hidden_fraction_bits = 11; }).message(),
              HasSubstr("hidden_fraction_bits of a layer is 11; must be from 7 to 10"));
  EXPECT_THAT(DraftError([](ModelDraft& d) { d.features.stack = 3; }).message(),
              HasSubstr("3 mel bins x 3 frames are not the 6 inputs"));
  EXPECT_THAT(DraftError([](ModelDraft& d) { d.blank = 4; }).message(),
              HasSubstr("blank_plus_one"));
  EXPECT_THAT(DraftError([](ModelDraft& d) { d.name = ""; }).message(), HasSubstr("no name"));
  EXPECT_THAT(DraftError([](ModelDraft& d) { d.input_mean[2] = NAN; }).message(),
              HasSubstr("value 2 is not finite"));
}

TEST(ModelFormatTest, MapsFilesAndNamesThePathInErrors) {
  std::string path = ::testing::TempDir() + "/model_format_test_XXXXXX";
  const int fd = mkstemp(path.data());
  ASSERT_GE(fd, 0);
  close(fd);
  EXPECT_THAT(Model::FromFile(path).status().message(), HasSubstr(path + ": an empty file"));
  std::ofstream(path, std::ios::binary) << SmallFile();
  EXPECT_TRUE(Model::FromFile(path).ok());
  std::ofstream(path, std::ios::binary) << SmallFile().substr(0, 1000);
  EXPECT_THAT(Model::FromFile(path).status().message(), HasSubstr(path + ": "));
  unlink(path.c_str());
  EXPECT_EQ(Model::FromFile(path).status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Model::FromFile(::testing::TempDir()).status().message(),
              HasSubstr("not a regular file"));
}

TEST(ModelFormatTest, ReadsFilesAndComparesTheSizesFirst) {
  const std::string path = ::testing::TempDir() + "/model_format_test_" + std::to_string(getpid());
  std::ofstream(path, std::ios::binary) << SmallFile();
  const auto model = Model::ReadFile(path);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ((*model)->fingerprint(), (*Model::FromBytes(SmallFile()))->fingerprint());
  // A file of a terabyte without data. Reading it would fail for lack of memory.
  ASSERT_EQ(truncate(path.c_str(), off_t{1} << 40), 0);
  for (const auto& refused : {Model::ReadFile(path), Model::FromFile(path)}) {
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(refused.status().message(), HasSubstr("its header says"));
  }
  ASSERT_EQ(truncate(path.c_str(), 63), 0);
  EXPECT_THAT(Model::ReadFile(path).status().message(), HasSubstr("header: 63 bytes of 64"));
  ASSERT_EQ(truncate(path.c_str(), 0), 0);
  EXPECT_THAT(Model::ReadFile(path).status().message(), HasSubstr(path + ": an empty file"));
  unlink(path.c_str());
}

TEST(QuantizeFrameTest, NormalizesAndFindsTheFirstBadValue) {
  const auto model = *Model::FromBytes(SmallFile());
  std::vector<float> features(model->input_mean.begin(), model->input_mean.end());
  std::vector<int8_t> x(features.size(), 99);
  EXPECT_EQ(model->QuantizeFrame(features.data(), x.data()), -1);
  EXPECT_EQ(x, std::vector<int8_t>(features.size(), 0));
  features[3] = 3e38f;
  EXPECT_EQ(model->QuantizeFrame(features.data(), x.data()), -1);
  EXPECT_EQ(x[3], 127);
  features[4] = std::numeric_limits<float>::infinity();
  features[5] = NAN;
  EXPECT_EQ(model->QuantizeFrame(features.data(), x.data()), 4);
}

ModelDraft FinerDraft() {
  ModelDraft draft = RandomModelDraft({.inputs = 6,
                                       .layers = {{.cells = 5, .projection = 3}, {.cells = 4}},
                                       .units = 4,
                                       .density = 0.5,
                                       .fine_density = 0.5,
                                       .wide_input = true});
  draft.features = {.sample_rate_hz = 16000, .num_mel_bins = 3, .stack = 2};
  return draft;
}

uint32_t VersionOf(const std::string& file) {
  ModelHeader header;
  std::memcpy(&header, file.data(), sizeof(header));
  return header.version;
}

TEST(FinerArithmeticTest, OnlyModelsThatNeedItTakeTheNewerVersion) {
  EXPECT_EQ(VersionOf(SmallFile()), kPlainModelVersion);
  EXPECT_FALSE((*Model::FromBytes(SmallFile()))->NeedsFinerArithmetic());
  const std::string file = *SerializeModel(FinerDraft());
  EXPECT_EQ(VersionOf(file), kModelVersion);
  std::string older = file;
  ModelHeader header;
  std::memcpy(&header, file.data(), sizeof(header));
  header.version = kPlainModelVersion;
  header.header_crc32c = Crc32c(&header, offsetof(ModelHeader, header_crc32c));
  std::memcpy(older.data(), &header, sizeof(header));
  EXPECT_THAT(LoadError(older).message(), HasSubstr("in a file of version 2"));
}

TEST(FinerArithmeticTest, RoundTripKeepsFineEntriesAndWideInputs) {
  const ModelDraft draft = FinerDraft();
  const auto model = *Model::FromBytes(*SerializeModel(draft));
  EXPECT_TRUE(model->NeedsFinerArithmetic());
  EXPECT_TRUE(model->wide_input);
  EXPECT_EQ(model->input_dim(), 6);
  EXPECT_EQ(model->input_columns(), 12);
  for (size_t l = 0; l < draft.layers.size(); ++l) {
    EXPECT_THAT(model->layers[l].gates.fine_entries,
                ElementsAreArray(draft.layers[l].gates.fine_entries));
    EXPECT_THAT(model->layers[l].projection.fine_entries,
                ElementsAreArray(draft.layers[l].projection.fine_entries));
  }
  EXPECT_THAT(model->output.fine_entries, ElementsAreArray(draft.output.fine_entries));
}

TEST(FinerArithmeticTest, RefusesWhatIsOutsideTheMatrixOr32Bits) {
  const auto error = [](auto change) {
    ModelDraft draft = FinerDraft();
    change(draft);
    return std::string(SerializeModel(draft).status().message());
  };
  EXPECT_THAT(error([](ModelDraft& d) { d.output.fine_entries[1] = MakeEntry(200, 1); }),
              HasSubstr("output/fine_entries, row 0: reaches column"));
  EXPECT_THAT(error([](ModelDraft& d) { d.output.fine_entries.pop_back(); }),
              HasSubstr("output/fine_entries: has"));
  EXPECT_THAT(error([](ModelDraft& d) { d.layers[0].gates.fine_entries_per_row = 100; }),
              HasSubstr("fine_entries"));
  EXPECT_THAT(error([](ModelDraft& d) {
                d.layers[0].gates.entries.assign(d.layers[0].gates.entries.size(),
                                                 MakeEntry(0, kMinWeight));
                d.layers[0].gates.shift.assign(d.layers[0].gates.shift.size(), 9);
              }),
              HasSubstr("leave 32 bits"));
  EXPECT_THAT(error([](ModelDraft& d) {
                d.input_mean.pop_back();
                d.input_inv_stddev.pop_back();
                // An odd number of inputs cannot be two columns for each feature.
                --d.layers[0].inputs;
                --d.layers[0].gates.columns;
              }),
              HasSubstr("wide input"));
}

TEST(QuantizeFrameTest, AWideInputHasItsHighDigitsFirst) {
  const auto model = *Model::FromBytes(*SerializeModel(FinerDraft()));
  std::vector<float> features = {0.1f, -3, 2.5f, 1e30f, -1e30f, 0};
  std::vector<int8_t> x(12);
  EXPECT_EQ(model->QuantizeFrame(features.data(), x.data()), -1);
  for (int k = 0; k < 6; ++k) {
    const Digits digits =
        QuantizeWideInput((features[k] - model->input_mean[k]) * model->input_inv_stddev[k], 5);
    EXPECT_EQ(x[k], digits.high);
    EXPECT_EQ(x[6 + k], digits.low);
  }
  features[2] = NAN;
  EXPECT_EQ(model->QuantizeFrame(features.data(), x.data()), 2);
}

TEST(QuantizeFrameTest, EqualsTheReferenceForEveryValue) {
  const auto model =
      RandomModel({.inputs = 153});  // several whole vectors of values and a remainder
  std::mt19937 random(7);
  std::uniform_int_distribution<uint32_t> bits;
  std::vector<float> features(model->input_dim());
  std::vector<int8_t> x(features.size());
  for (int round = 0; round < 2000; ++round) {
    for (size_t k = 0; k < features.size(); ++k) {
      // Half of the features are arbitrary finite numbers, and half are near a rounding boundary.
      float value = std::bit_cast<float>(bits(random));
      if (!std::isfinite(value) || k % 2 == 0)
        value = static_cast<float>(bits(random) % 1024) / 64 - 8;
      features[k] = value;
    }
    ASSERT_EQ(model->QuantizeFrame(features.data(), x.data()), -1);
    for (size_t k = 0; k < features.size(); ++k) {
      const float value = (features[k] - model->input_mean[k]) * model->input_inv_stddev[k];
      ASSERT_EQ(x[k], QuantizeInput(value, model->input_fraction_bits)) << features[k];
    }
  }
}

}  // namespace
}  // namespace ese
