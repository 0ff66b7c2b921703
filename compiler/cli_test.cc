// SPDX-License-Identifier: Apache-2.0
#include "compiler/cli.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "base/test_paths.h"
#include "compiler/files.h"
#include "compiler/testing.h"
#include "model/model.h"
#include "nlohmann/json.hpp"

namespace ese {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

class CliTest : public testing::Test {
 protected:
  void SetUp() override {
    weights_ = TemporaryPath("weights.safetensors");
    topology_ = TemporaryPath("topology.json");
    calibration_ = TemporaryPath("calibration.safetensors");
    model_ = TemporaryPath("model.ese");
    std::filesystem::remove(model_);
    const TestNetwork made = MakeTestNetwork({.layers = {{.cells = 8, .projection = 4}}});
    Write(weights_, made.WeightBytes());
    Write(topology_, made.topology);
    Write(calibration_, CalibrationBytes(MakeTestCalibration(6, {20})));
  }

  static void Write(const std::string& path, const std::string& bytes) {
    ASSERT_TRUE(WriteFileAtomically(path, bytes).ok());
  }

  // Runs `ese-compile build` with the files of this test and more arguments.
  int Build(const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments = {"build",   "--weights", weights_, "--topology",
                                          topology_, "-o",        model_};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return Run(arguments);
  }

  int Run(const std::vector<std::string>& arguments) {
    std::ostringstream out, err;
    const int status = RunCompiler(arguments, out, err);
    out_ = out.str();
    err_ = err.str();
    return status;
  }

  std::string weights_, topology_, calibration_, model_;
  std::string out_, err_;
};

TEST_F(CliTest, BuildsAndInspectsAModel) {
  ASSERT_EQ(Build({"--calibration", calibration_, "--density", "0.5"}), 0) << err_;
  EXPECT_THAT(out_, HasSubstr("SNR of the logits"));
  EXPECT_THAT(err_, IsEmpty());
  const auto model = Model::FromFile(model_);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ((*model)->layers[0].gates.entries_per_row, 5);
  EXPECT_EQ((*model)->layers[0].projection.entries_per_row, 4);
  EXPECT_EQ((*model)->output.entries_per_row, 4);

  ASSERT_EQ(Run({"inspect", model_}), 0) << err_;
  EXPECT_THAT(out_, HasSubstr((*model)->fingerprint()));
  EXPECT_THAT(out_, HasSubstr("output/bias"));
  EXPECT_THAT(out_, HasSubstr("step on the accelerator"));
  EXPECT_THAT(out_, Not(HasSubstr("SNR/dB")));
}

TEST_F(CliTest, DensityPerMatrixOverridesDensity) {
  ASSERT_EQ(Build({"--density", "0.5", "--density-gates", "0.2", "--density-output", "0.25"}), 0);
  const auto model = Model::FromFile(model_);
  EXPECT_EQ((*model)->layers[0].gates.entries_per_row, 2);
  EXPECT_EQ((*model)->layers[0].projection.entries_per_row, 4);
  EXPECT_EQ((*model)->output.entries_per_row, 1);
  ASSERT_EQ(Build({"--density", "0.5", "--density-projection", "0.25"}), 0);
  EXPECT_EQ((*Model::FromFile(model_))->layers[0].projection.entries_per_row, 2);
}

TEST_F(CliTest, InspectComparesWithWeights) {
  ASSERT_EQ(Build(), 0) << err_;
  EXPECT_THAT(out_, HasSubstr("notice: without --calibration"));
  ASSERT_EQ(Run({"inspect", model_, "--weights", weights_, "--topology", topology_, "--calibration",
                 calibration_, "--json"}),
            0)
      << err_;
  const auto json = nlohmann::json::parse(out_);
  EXPECT_EQ(json["fidelity"]["frames"], 20);
  EXPECT_GT(json["matrices"][0]["weight_snr_db"], 20);
}

TEST_F(CliTest, BuildsOnnxAndKaldiWithoutATopology) {
  const std::string golden = SourceDir() + "/tests/golden/compiler/";
  for (const char* network : {"onnx/peepholes", "kaldi/projected"}) {
    const std::string extension = network[0] == 'o' ? ".onnx" : ".txt";
    const std::string calibration = golden + network + "_calibration.safetensors";
    ASSERT_EQ(Run({"build", "--weights", golden + network + extension, "--calibration", calibration,
                   "-o", model_, "--density", "1"}),
              0)
        << err_;
    EXPECT_THAT(out_, HasSubstr("SNR of layer 1 y"));
    ASSERT_EQ(Run({"inspect", model_, "--weights", golden + network + extension, "--calibration",
                   calibration, "--json"}),
              0)
        << err_;
    EXPECT_GT(nlohmann::json::parse(out_)["fidelity"]["logits_snr_db"], 25);
  }
}

TEST_F(CliTest, SafetensorsWithoutATopologyGiveStatusOne) {
  EXPECT_EQ(Run({"build", "--weights", weights_, "-o", model_}), 1);
  EXPECT_THAT(err_, HasSubstr("give --topology"));
}

TEST_F(CliTest, PrintsJson) {
  ASSERT_EQ(Build({"--json", "--input-fraction-bits", "4"}), 0) << err_;
  const auto json = nlohmann::json::parse(out_);
  EXPECT_EQ(json["name"], "test");
  EXPECT_EQ(json["input_fraction_bits"], 4);
}

TEST_F(CliTest, WrongUsageGivesStatusTwo) {
  EXPECT_EQ(Run({}), 2);
  EXPECT_THAT(err_, HasSubstr("subcommand"));
  EXPECT_EQ(Run({"bulid"}), 2);
  EXPECT_THAT(err_, HasSubstr("bulid"));
  EXPECT_EQ(Run({"build", "--wieghts", weights_}), 2);
  EXPECT_THAT(err_, AllOf(HasSubstr("--wieghts"), HasSubstr("--weights is required")));
  EXPECT_EQ(Run({"build"}), 2);
  EXPECT_THAT(err_, HasSubstr("required"));
  EXPECT_EQ(Build({"--densty", "0.1"}), 2);
  EXPECT_THAT(err_, HasSubstr("--densty"));
  EXPECT_EQ(Build({"--density", "much"}), 2);
  EXPECT_EQ(Build({"--input-fraction-bits", "8"}), 2);
  EXPECT_EQ(Run({"inspect", model_, "--topology", topology_}), 2);
  EXPECT_THAT(err_, HasSubstr("--weights"));
  EXPECT_EQ(Run({"inspect", model_, "--calibration", calibration_}), 2);
  EXPECT_FALSE(std::filesystem::exists(model_));
}

TEST_F(CliTest, EmptyValuesCountAsWrongUsage) {
  for (const char* option : {"--calibration", "--density", "--density-gates",
                             "--density-projection", "--density-output", "--input-fraction-bits"}) {
    EXPECT_EQ(Build({option, ""}), 2);
    EXPECT_THAT(err_, HasSubstr(option));
  }
  EXPECT_EQ(Run({"build", "--weights", weights_, "--topology", topology_, "-o", ""}), 2);
  EXPECT_THAT(err_, HasSubstr("--output"));
  EXPECT_EQ(Run({"build", "--weights", weights_, "--topology", "", "-o", model_}), 2);
  EXPECT_EQ(Run({"inspect", ""}), 2);
  EXPECT_FALSE(std::filesystem::exists(model_));
}

TEST_F(CliTest, AReportThatCannotBeWrittenGivesStatusOne) {
  ASSERT_EQ(Build(), 0) << err_;
  std::ofstream full("/dev/full");
  std::ostringstream err;
  EXPECT_EQ(RunCompiler({"inspect", model_}, full, err), 1);
  EXPECT_THAT(err.str(), HasSubstr("standard output"));
}

TEST_F(CliTest, DensityOfProjectionsNeedsAProjection) {
  const TestNetwork made = MakeTestNetwork({.layers = {{.cells = 8}}});
  Write(weights_, made.WeightBytes());
  Write(topology_, made.topology);
  EXPECT_EQ(Build({"--density-projection", "0.5"}), 1);
  EXPECT_THAT(err_, HasSubstr("--density-projection: no layer"));
  EXPECT_EQ(Build({"--density", "0.5"}), 0) << err_;
}

TEST_F(CliTest, HelpAndVersionGiveStatusZero) {
  EXPECT_EQ(Run({"--help"}), 0);
  EXPECT_THAT(out_, HasSubstr("inspect"));
  EXPECT_EQ(Run({"build", "--help"}), 0);
  EXPECT_THAT(out_, HasSubstr("--density-gates"));
  EXPECT_EQ(Run({"--version"}), 0);
  EXPECT_EQ(out_, std::string(ESE_VERSION) + "\n");
}

TEST_F(CliTest, MissingFilesAreNamedAndGiveStatusOne) {
  std::filesystem::remove(calibration_);
  EXPECT_EQ(Build({"--calibration", calibration_}), 1);
  EXPECT_THAT(err_, HasSubstr(calibration_));
  std::filesystem::remove(weights_);
  EXPECT_EQ(Build(), 1);
  EXPECT_THAT(err_, HasSubstr(weights_));
  std::filesystem::remove(topology_);
  EXPECT_EQ(Build(), 1);
  EXPECT_THAT(err_, HasSubstr("ese-compile: cannot open " + topology_));
  EXPECT_EQ(Run({"inspect", model_}), 1);
  EXPECT_THAT(err_, HasSubstr(model_));
}

TEST_F(CliTest, AnImpossibleDensityGivesStatusOne) {
  EXPECT_EQ(Build({"--density", "0"}), 1);
  EXPECT_EQ(Build({"--density", "1.5"}), 1);
  EXPECT_THAT(err_, HasSubstr("a density is above 0 and at most 1"));
  EXPECT_FALSE(std::filesystem::exists(model_));
}

TEST_F(CliTest, UnwritableOutputGivesStatusOne) {
  model_ = TemporaryPath("no/such/folder/model.ese");
  EXPECT_EQ(Build(), 1);
  EXPECT_THAT(err_, HasSubstr(model_));
}

TEST_F(CliTest, RefusesADamagedModel) {
  ASSERT_EQ(Build(), 0);
  std::string bytes = *ReadFile(model_);
  bytes.resize(bytes.size() / 2);
  Write(model_, bytes);
  EXPECT_EQ(Run({"inspect", model_}), 1);
  EXPECT_THAT(err_, HasSubstr(model_));
}

}  // namespace
}  // namespace ese
