// SPDX-License-Identifier: Apache-2.0
#include "compiler/compile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/test_paths.h"
#include "compiler/files.h"
#include "compiler/float_lstm.h"
#include "compiler/report.h"
#include "compiler/safetensors_import.h"
#include "compiler/testing.h"
#include "model/fixed_point.h"
#include "nlohmann/json.hpp"

namespace ese {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TestNetworkOptions Projected() {
  return {.inputs = 12, .layers = {{.cells = 32, .projection = 16}}, .units = 10};
}

Compiled MustCompile(const TestNetwork& made, const CompileOptions& options = {}) {
  const auto imported = made.Import();
  EXPECT_TRUE(imported.ok()) << imported.status();
  if (!imported.ok()) return Compiled();
  const Calibration calibration =
      MakeTestCalibration(imported->topology.layers[0].inputs, {30, 1, 60});
  auto compiled = Compile(*imported, &calibration, options);
  EXPECT_TRUE(compiled.ok()) << compiled.status();
  return compiled.ok() ? *std::move(compiled) : Compiled();
}

absl::Status CompileStatus(const TestNetwork& made) {
  const auto imported = made.Import();
  return imported.ok() ? Compile(*imported, nullptr, {}).status() : imported.status();
}

CompileOptions Density(double density) {
  CompileOptions options;
  options.gates_density = density;
  options.projection_density = density;
  return options;
}

void ExpectClose(const Report& report, double logits_db) {
  ASSERT_TRUE(report.fidelity.has_value());
  EXPECT_GT(report.fidelity->logits_snr_db, logits_db);
  for (const double db : report.fidelity->layer_snr_db) EXPECT_GT(db, 25);
  for (const double db : report.weight_snr_db) EXPECT_GT(db, 30);
  EXPECT_GT(report.fidelity->same_best_unit, 0.95);
}

TEST(CompileTest, QuantizedModelIsCloseToTheFloatNetwork) {
  ExpectClose(MustCompile(MakeTestNetwork(Projected())).report, 30);
}

TEST(CompileTest, PrunedModelIsCloseToThePrunedNetwork) {
  const Compiled compiled = MustCompile(MakeTestNetwork(Projected()), Density(0.25));
  ExpectClose(compiled.report, 30);
  const Layer& layer = compiled.report.model->layers[0];
  EXPECT_EQ(layer.gates.entries_per_row, 7);
  EXPECT_EQ(layer.projection.entries_per_row, 8);
  EXPECT_EQ(compiled.report.model->output.entries_per_row, 16);
  EXPECT_EQ(compiled.report.prunes[0].origin, PruneOrigin::kMagnitudes);
  EXPECT_EQ(compiled.report.prunes[2].origin, PruneOrigin::kDense);
}

TEST(CompileTest, CompilesTwoLayersWithoutProjection) {
  const TestNetwork made =
      MakeTestNetwork({.layers = {{.cells = 12}, {.cells = 9}}, .units = 5, .seed = 2});
  const Compiled compiled = MustCompile(made);
  ExpectClose(compiled.report, 30);
  EXPECT_THAT(MatrixNames(*compiled.report.model),
              ElementsAre("layer0/gates", "layer1/gates", "output"));
  for (const Layer& layer : compiled.report.model->layers) {
    EXPECT_FALSE(layer.has_projection);
    EXPECT_EQ(layer.output_fraction_bits, layer.hidden_fraction_bits);
  }
}

TEST(CompileTest, CompilesPeepholesAndSigmoidG) {
  const TestNetwork made =
      MakeTestNetwork({.layers = {{.cells = 12, .projection = 6, .peepholes = true, .g = "sigmoid"},
                                  {.cells = 8, .projection = 4, .peepholes = true}},
                       .seed = 3});
  const Compiled compiled = MustCompile(made);
  ExpectClose(compiled.report, 30);
  const Layer& layer = compiled.report.model->layers[0];
  EXPECT_TRUE(layer.has_peepholes);
  EXPECT_EQ(layer.g_activation, GActivation::kSigmoid);
  EXPECT_EQ(layer.peepholes[3 * 5 + 1],
            std::floor(made.tensors.at("lstm.weight_cf_l0").values[5] * 4096 + 0.5));
}

TEST(CompileTest, StoresGateRowsCellByCell) {
  TestNetwork made = MakeTestNetwork({.inputs = 1, .layers = {{.cells = 3}}});
  auto& bias = made.tensors["lstm.bias_ih_l0"].values;
  for (size_t row = 0; row < bias.size(); ++row) bias[row] = static_cast<float>(row);
  made.tensors["lstm.bias_hh_l0"].values.assign(12, 0.5f);
  const Compiled compiled = MustCompile(made);
  for (int cell = 0; cell < 3; ++cell) {
    for (int gate = 0; gate < 4; ++gate) {
      EXPECT_EQ(Accumulator{compiled.report.model->layers[0].gates.bias[4 * cell + gate]}.ToReal(),
                gate * 3 + cell + 0.5);
    }
  }
}

TEST(CompileTest, KeepsTheMaskOfTheTraining) {
  TestNetwork made = MakeTestNetwork(Projected());
  MaskRows(3, &made.tensors["lstm.weight_ih_l0"]);
  MaskRows(4, &made.tensors["lstm.weight_hh_l0"]);
  const Compiled compiled = MustCompile(made);
  EXPECT_EQ(compiled.report.prunes[0].origin, PruneOrigin::kTraining);
  EXPECT_EQ(compiled.report.model->layers[0].gates.entries_per_row, 7);
  EXPECT_EQ(compiled.report.prunes[1].origin, PruneOrigin::kDense);
  ExpectClose(compiled.report, 30);
}

TEST(CompileTest, RefusesOrPadsAnUnequalMask) {
  TestNetwork made = MakeTestNetwork(Projected());
  MaskRows(3, &made.tensors["lstm.weight_ih_l0"]);
  MaskRows(4, &made.tensors["lstm.weight_hh_l0"]);
  made.tensors["lstm.weight_ih_l0"].values[0] = 0;
  EXPECT_THAT(
      CompileStatus(made).message(),
      HasSubstr("lstm.weight_ih_l0 | lstm.weight_hh_l0: training pruned its rows unequally: "
                "row 0 (gate i of cell 0) keeps 6 weights"));
  CompileOptions options;
  options.pad = true;
  const Compiled compiled = MustCompile(made, options);
  EXPECT_EQ(compiled.report.prunes[0].zero_entries, 1);
  EXPECT_EQ(compiled.report.model->layers[0].gates.entries_per_row, 7);
}

TEST(CompileTest, WithoutCalibrationUsesDefaultsAndGivesANotice) {
  const TestNetwork made = MakeTestNetwork(Projected());
  const auto compiled = Compile(*made.Import(), nullptr, {});
  ASSERT_TRUE(compiled.ok()) << compiled.status();
  EXPECT_EQ(compiled->report.model->input_fraction_bits, 5);
  EXPECT_EQ(compiled->report.model->layers[0].output_fraction_bits, 5);
  EXPECT_FALSE(compiled->report.fidelity.has_value());
  ASSERT_EQ(compiled->report.notices.size(), 1u);
  EXPECT_THAT(compiled->report.notices[0], HasSubstr("without --calibration"));
  EXPECT_EQ(compiled->report.weight_snr_db.size(), 3u);
}

TEST(CompileTest, InputFormatCanBeForced) {
  CompileOptions options;
  options.input_fraction_bits = 3;
  EXPECT_EQ(MustCompile(MakeTestNetwork(Projected()), options).report.model->input_fraction_bits,
            3);
}

// If each vector were considered alone, Q2.5 would be chosen for x, which saturates 10 of 165
// values and gives 29.5 dB.
TEST(CompileTest, RefinesFormatsOnTheWholeModel) {
  const std::string path = absl::StrCat(SourceDir(), "/tests/golden/compiler/projected");
  const auto topology = ParseTopology(*ReadFile(path + ".json"), path);
  const auto weights = Safetensors::FromFile(path + ".safetensors");
  const auto file = Safetensors::FromFile(path + "_calibration.safetensors");
  const auto calibration = ReadCalibration(*file, 5);
  const auto compiled = Compile(*ImportSafetensors(*topology, *weights), &*calibration, {});
  ASSERT_TRUE(compiled.ok()) << compiled.status();
  EXPECT_EQ(compiled->report.model->input_fraction_bits, 4);
  EXPECT_EQ(compiled->report.model->layers[0].output_fraction_bits, 7);
  EXPECT_GT(compiled->report.fidelity->logits_snr_db, 38);
}

// The topology may have forgotten a layer.
TEST(CompileTest, RefusesUnusedLstmWeights) {
  TestNetwork network = MakeTestNetwork({});
  network.tensors["lstm.weight_hh_l0_reverse"] = {{1}, {0}};
  EXPECT_THAT(network.Import().status().message(),
              AllOf(HasSubstr("does not use the LSTM weights lstm.weight_hh_l0_reverse"),
                    HasSubstr("--allow-unused-lstm")));
  const auto allowed = ImportSafetensors(network.Parsed(), network.Weights(), true);
  ASSERT_TRUE(allowed.ok()) << allowed.status();
  EXPECT_THAT(allowed->notices, ElementsAre(HasSubstr("lstm.weight_hh_l0_reverse")));
}

TEST(CompileTest, NamesUnusedTensorsInANotice) {
  TestNetwork made = MakeTestNetwork(Projected());
  made.tensors["optimizer.step"] = {{1}, {5}};
  const Compiled compiled = MustCompile(made);
  ASSERT_EQ(compiled.report.notices.size(), 1u);
  EXPECT_THAT(compiled.report.notices[0], HasSubstr("optimizer.step"));
}

TEST(CompileTest, EqualInputsGiveEqualFiles) {
  EXPECT_EQ(MustCompile(MakeTestNetwork(Projected())).bytes,
            MustCompile(MakeTestNetwork(Projected())).bytes);
}

TEST(CompileTest, NormalizationAndFactsReachTheModel) {
  TestNetwork made = MakeTestNetwork({.inputs = 2});
  made.tensors["mean"] = {{2}, {1, 2}};
  made.tensors["inv"] = {{2}, {0.5f, 4}};
  auto topology = nlohmann::json::parse(made.topology);
  topology["input"] = {{"mean", "mean"}, {"inv_stddev", "inv"}};
  topology["training"] = {{"corpus", "made up"}};
  topology["output"]["blank"] = 2;
  made.topology = topology.dump();
  const Compiled compiled = MustCompile(made);
  EXPECT_THAT(compiled.report.model->input_mean, ElementsAre(1, 2));
  EXPECT_THAT(compiled.report.model->input_inv_stddev, ElementsAre(0.5f, 4));
  EXPECT_EQ(compiled.report.model->facts.at("corpus"), "made up");
  EXPECT_EQ(compiled.report.model->facts.at("compiler.calibration_frames"), "91");
  EXPECT_EQ(compiled.report.model->blank, 2);
  EXPECT_THAT(compiled.report.notices, IsEmpty());
}

TEST(CompileTest, RefusesBadTensorsByName) {
  const TestNetwork good = MakeTestNetwork(Projected());
  for (const auto& [name, tensor] : good.tensors) {
    TestNetwork made = good;
    made.tensors[name].values.back() = std::numeric_limits<float>::quiet_NaN();
    EXPECT_THAT(CompileStatus(made).message(),
                HasSubstr(absl::StrCat("tensor '", name, "' has a NaN")));
    made.tensors.erase(name);
    EXPECT_EQ(CompileStatus(made).code(), absl::StatusCode::kNotFound);
    EXPECT_THAT(CompileStatus(made).message(), HasSubstr(absl::StrCat("no tensor '", name, "'")));
    if (absl::StrContains(name, "bias")) {
      EXPECT_THAT(CompileStatus(made).message(),
                  HasSubstr(absl::StrCat("save ", tensor.values.size(), " zeros under that name")));
    }
    made.tensors[name] = {{1}, {0}};
    EXPECT_THAT(CompileStatus(made).message(),
                HasSubstr(absl::StrCat("tensor '", name, "' has the shape [1]")));
  }
}

TEST(CompileTest, RefusesSumsBeyond32BitsByTensorAndRow) {
  TestNetwork made = MakeTestNetwork(Projected());
  made.tensors["output.bias"].values[3] = 5000;
  EXPECT_THAT(CompileStatus(made).message(), HasSubstr("output.weight, row 3: its sums can reach"));
  made = MakeTestNetwork(Projected());
  made.tensors["lstm.bias_hh_l0"].values[32 + 5] = -4096;
  EXPECT_THAT(CompileStatus(made).message(), HasSubstr("row 37 (gate f of cell 5)"));
}

TEST(CompileTest, RefusesHugeWeightsByTensorAndRow) {
  TestNetwork made = MakeTestNetwork(Projected());
  made.tensors["lstm.weight_hr_l0"].values[32 * 2] = 1e6;
  EXPECT_THAT(CompileStatus(made).message(), HasSubstr("lstm.weight_hr_l0, row 2: its largest"));
}

// Returns a network with weights as torch.nn.LSTM and torch.nn.Linear initialize them: uniform,
// with a magnitude below 1 / sqrt(cells).
TestNetwork MakeTorchInitialized(int inputs, int cells, int layers, double gain) {
  TestNetwork made = MakeTestNetwork(
      {.inputs = inputs, .layers = std::vector<TestLayer>(layers, {.cells = cells}), .units = 40});
  std::mt19937 bits(1);
  for (auto& [name, tensor] : made.tensors) {
    for (float& value : tensor.values) {
      value = static_cast<float>((bits() / 2147483648.0 - 1) * gain / std::sqrt(cells));
    }
  }
  return made;
}

// The outputs of untrained layers are small: at most 0.4 and then 0.1. In Q0.7 they would
// reach 28.8, 22.4 and 21.7 dB. The measured values are 30.1, 33.4 and 35.9 dB.
TEST(PostTrainingTest, ThreeLayersOf256CellsKeep30Db) {
  const TestNetwork made = MakeTorchInitialized(40, 256, 3, 1);
  const Calibration calibration = MakeTestCalibration(40, {60});
  const auto compiled = Compile(*made.Import(), &calibration, Density(1));
  ASSERT_TRUE(compiled.ok()) << compiled.status();
  ASSERT_EQ(compiled->report.fidelity->layer_snr_db.size(), 3u);
  for (const double db : compiled->report.fidelity->layer_snr_db) EXPECT_GE(db, 30);
  EXPECT_GT(compiled->report.fidelity->logits_snr_db, 30);
  EXPECT_EQ(compiled->report.model->input_fraction_bits, 5);
  EXPECT_THAT(compiled->report.warnings, IsEmpty());
  EXPECT_EQ(compiled->report.model->layers[2].gates.entries_per_row, 512);
}

// The measured values are 30.2, 30.9 and 33.1 dB.
TEST(PostTrainingTest, ThreeLayersWithDoubledWeightsKeep30Db) {
  const TestNetwork made = MakeTorchInitialized(40, 256, 3, 2);
  const Calibration calibration = MakeTestCalibration(40, {60});
  const auto compiled = Compile(*made.Import(), &calibration, Density(1));
  ASSERT_TRUE(compiled.ok()) << compiled.status();
  for (const double db : compiled->report.fidelity->layer_snr_db) EXPECT_GE(db, 30);
  EXPECT_GT(compiled->report.fidelity->logits_snr_db, 29);
}

TEST(PostTrainingTest, LayersThatLoseMoreThanOnePercentGetAWarning) {
  TestNetwork made = MakeTestNetwork({.layers = {{.cells = 12}, {.cells = 9}}, .gain = 0.02});
  const Report report = MustCompile(made, Density(1)).report;
  ASSERT_FALSE(report.warnings.empty());
  EXPECT_LT(report.fidelity->layer_snr_db[1], 20);
  EXPECT_THAT(report.warnings[0], HasSubstr("output of layer 1: the error's energy is"));
  EXPECT_THAT(TextReport(report, false), HasSubstr("warning: output of layer 1"));
  EXPECT_EQ(nlohmann::json::parse(JsonReport(report))["warnings"].size(), report.warnings.size());
}

TEST(CompareTest, ComparesAModelWithTheWeightsItCameFrom) {
  const TestNetwork made = MakeTestNetwork(Projected());
  const Calibration calibration = MakeTestCalibration(12, {50});
  const Compiled pruned = MustCompile(made, Density(0.5));
  Report report;
  report.model = pruned.report.model;
  ASSERT_TRUE(CompareWithNetwork(*made.Import(), &calibration, &report).ok());
  // In a comparison with all weights, pruning counts as error too.
  EXPECT_LT(report.weight_snr_db[0], 20);
  EXPECT_LT(report.fidelity->logits_snr_db, pruned.report.fidelity->logits_snr_db);
  // The output layer was not pruned.
  EXPECT_EQ(report.weight_snr_db[2], pruned.report.weight_snr_db[2]);
}

TEST(CompareTest, RefusesOtherShapes) {
  Report report;
  report.model = MustCompile(MakeTestNetwork(Projected())).report.model;
  const TestNetwork other = MakeTestNetwork({.inputs = 12, .layers = {{.cells = 32}}, .units = 10});
  EXPECT_THAT(CompareWithNetwork(*other.Import(), nullptr, &report).message(),
              HasSubstr("are not those of model 'test'"));
}

TEST(ReportTest, ComputesTheImbalanceOverProcessingElements) {
  EXPECT_EQ(ImbalanceOverPes(4096, 4, 32), 1);
  EXPECT_EQ(ImbalanceOverPes(40, 1, 1), 1);
  EXPECT_EQ(ImbalanceOverPes(40, 1, 8), 1);
  EXPECT_EQ(ImbalanceOverPes(40, 1, 32), 1.6);  // the fullest element has 2 rows, the average 1.25
  EXPECT_EQ(ImbalanceOverPes(4, 4, 8), 8);      // one cell on eight elements
}

TEST(ReportTest, TextHasOneLineForEachFigure) {
  const Report report = MustCompile(MakeTestNetwork(Projected()), Density(0.25)).report;
  const std::string text = TextReport(report, /*everything=*/true);
  for (const std::string& part :
       {std::string("model        test"), report.model->fingerprint(),
        std::string("32 cells, 16 projected outputs"), std::string("layer0/gates/entries"),
        std::string("SNR of the logits"), std::string("SNR of U9"),
        std::string("saturated layer 0 cells c"), std::string("compiler.version"),
        std::string("largest weights kept")}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
  EXPECT_LT(TextReport(report, /*everything=*/false).size(), text.size());
}

TEST(ReportTest, JsonHasTheSameFigures) {
  const Report report = MustCompile(MakeTestNetwork(Projected()), Density(0.25)).report;
  const auto json = nlohmann::json::parse(JsonReport(report));
  EXPECT_EQ(json["fingerprint"], report.model->fingerprint());
  EXPECT_EQ(json["matrices"][0]["entries_per_row"], 7);
  EXPECT_EQ(json["matrices"][0]["pruned_by"], "magnitudes");
  EXPECT_EQ(json["matrices"][1]["imbalance_over_pes"]["32"], 2);
  EXPECT_EQ(json["section_bytes"]["layer0/gates/entries"], 128 * 7 * 2);
  EXPECT_EQ(json["fidelity"]["logits_snr_db"], report.fidelity->logits_snr_db);
  EXPECT_EQ(json["fidelity"]["saturated"]["features x"]["beyond"], 0);
  // The parameters are the gates and their biases, the projection, the output and its bias, and the
  // normalization.
  EXPECT_EQ(json["dense_fp32_bytes"], 4 * (128 * 29 + 16 * 32 + 10 * 17 + 24));
  EXPECT_EQ(json["features"], nullptr);
}

TEST(ReportTest, NonFiniteFiguresAreNullInJson) {
  TestNetwork made = MakeTestNetwork(Projected());
  made.tensors["output.weight"].values.assign(160, 0.5f);
  const Report report = MustCompile(made).report;
  EXPECT_THAT(TextReport(report, false), HasSubstr("exact"));
  EXPECT_EQ(nlohmann::json::parse(JsonReport(report))["matrices"][2]["weight_snr_db"], nullptr);
}

}  // namespace
}  // namespace ese
