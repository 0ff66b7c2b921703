// SPDX-License-Identifier: Apache-2.0
#include "compiler/cli.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <optional>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/printable.h"
#include "base/status.h"
#include "compiler/calibrate.h"
#include "compiler/compile.h"
#include "compiler/files.h"
#include "compiler/import.h"
#include "compiler/report.h"
#include "compiler/safetensors.h"

namespace ese {
namespace {

constexpr int kFailed = 1;
constexpr int kWrongUsage = 2;

struct Flags {
  std::string weights, topology, calibration, model;
  std::optional<double> density;
  CompileOptions options;
  ImportOptions import;
  bool json = false;
};

// The trained network and the calibration, read from files.
struct Sources {
  ImportedNetwork imported;
  std::optional<Calibration> calibration;
};

absl::StatusOr<Sources> ReadSources(const Flags& flags) {
  Sources sources;
  ESE_ASSIGN_OR_RETURN(sources.imported, ImportFile(flags.weights, flags.topology, flags.import));
  if (!flags.calibration.empty()) {
    ESE_ASSIGN_OR_RETURN(const Safetensors file, Safetensors::FromFile(flags.calibration));
    ESE_ASSIGN_OR_RETURN(sources.calibration,
                         ReadCalibration(file, sources.imported.topology.layers.front().inputs));
  }
  return sources;
}

const Calibration* PointerTo(const std::optional<Calibration>& calibration) {
  return calibration ? &*calibration : nullptr;
}

void Print(const Report& report, bool everything, bool json, std::ostream& out) {
  out << (json ? JsonReport(report) : TextReport(report, everything));
}

absl::Status Build(const Flags& flags, std::ostream& out) {
  ESE_ASSIGN_OR_RETURN(const Sources sources, ReadSources(flags));
  const std::vector<LayerTopology>& layers = sources.imported.topology.layers;
  if (flags.options.projection_density &&
      std::none_of(layers.begin(), layers.end(),
                   [](const LayerTopology& layer) { return layer.projection > 0; })) {
    return absl::InvalidArgumentError(
        "--density-projection: no layer of the network has a projection; leave it out");
  }
  CompileOptions options = flags.options;
  if (!options.gates_density) options.gates_density = flags.density;
  if (!options.projection_density) options.projection_density = flags.density;
  ESE_ASSIGN_OR_RETURN(const Compiled compiled,
                       Compile(sources.imported, PointerTo(sources.calibration), options));
  ESE_RETURN_IF_ERROR(WriteFileAtomically(flags.model, compiled.bytes));
  Print(compiled.report, /*everything=*/false, flags.json, out);
  return absl::OkStatus();
}

absl::Status Inspect(const Flags& flags, std::ostream& out) {
  Report report;
  ESE_ASSIGN_OR_RETURN(report.model, Model::FromFile(flags.model));
  std::error_code error;
  report.file_bytes = static_cast<int64_t>(std::filesystem::file_size(flags.model, error));
  if (error) {
    return absl::UnavailableError(
        absl::StrCat(flags.model, ": cannot read its size: ", error.message()));
  }
  if (!flags.weights.empty()) {
    ESE_ASSIGN_OR_RETURN(const Sources sources, ReadSources(flags));
    ESE_RETURN_IF_ERROR(
        CompareWithNetwork(sources.imported, PointerTo(sources.calibration), &report));
  }
  Print(report, /*everything=*/true, flags.json, out);
  return absl::OkStatus();
}

void AddUnusedOption(CLI::App* command, Flags* flags) {
  command->add_flag("--allow-unused-lstm", flags->import.allow_unused_lstm,
                    "accept LSTM weights that the topology does not use");
}

void AddBuildOptions(CLI::App* build, Flags* flags) {
  build
      ->add_option("--weights", flags->weights,
                   "trained network: a safetensors, ONNX or Kaldi nnet1 file")
      ->required();
  build->add_option("--topology", flags->topology,
                    "JSON file that describes the weights: required for safetensors, "
                    "optional for ONNX and Kaldi");
  build->add_option("--name", flags->import.name,
                    "name of the model (default: that of the topology or the file)");
  AddUnusedOption(build, flags);
  build->add_option("-o,--output", flags->model, ".ese file to write")->required();
  build->add_option("--calibration", flags->calibration,
                    "safetensors file with sample features, used to choose number formats and to "
                    "measure accuracy");
  build->add_option("--density", flags->density,
                    "share of the weights to keep in gates and projections, such as 0.1");
  build->add_option("--density-gates", flags->options.gates_density,
                    "share of the weights to keep in gates; overrides --density");
  build->add_option("--density-projection", flags->options.projection_density,
                    "share of the weights to keep in projections; overrides --density");
  build->add_option(
      "--density-output", flags->options.output_density,
      "share of the weights to keep in the output layer, which is not pruned by default");
  build->add_flag("--pad", flags->options.pad,
                  "pad the shorter rows of a training mask with zero weights");
  build
      ->add_option("--input-fraction-bits", flags->options.input_fraction_bits,
                   "fraction bits of the normalised features (default: chosen by the calibration; "
                   "5 without one)")
      ->check(CLI::Range(0, 7));
  build->add_flag("--json", flags->json, "print the report as JSON");
}

void AddInspectOptions(CLI::App* inspect, Flags* flags) {
  inspect->add_option("model", flags->model, ".ese file to inspect")->required();
  CLI::Option* weights = inspect->add_option(
      "--weights", flags->weights, "trained network to compare the model with, as for build");
  inspect->add_option("--topology", flags->topology, "as for build")->needs(weights);
  AddUnusedOption(inspect, flags);
  inspect->add_option("--calibration", flags->calibration, "as for build")->needs(weights);
  inspect->add_flag("--json", flags->json, "print the report as JSON");
}

// An empty value usually comes from an unset shell variable. It must not silently count as leaving
// the option out.
void RefuseEmptyValues(CLI::App* command) {
  for (CLI::Option* option : command->get_options()) {
    option->check([](const std::string& value) {
      return value.empty() ? "has an empty value; give one, or leave the option out" : "";
    });
  }
}

// Prints what was wrong with the command line, or the requested help, and returns the exit status.
int ExplainUsage(const CLI::App& app, const CLI::ParseError& error, std::ostream& out,
                 std::ostream& err) {
  // A misspelt option is both missing and unknown, but CLI11 reports only that it is missing.
  const std::vector<std::string> unknown = app.remaining(/*recurse=*/true);
  if (dynamic_cast<const CLI::RequiredError*>(&error) != nullptr && !unknown.empty()) {
    err << "There is no " << absl::StrJoin(unknown, " ") << "\n";
  }
  return app.exit(error, out, err) == 0 ? 0 : kWrongUsage;
}

}  // namespace

int RunCompiler(const std::vector<std::string>& arguments, std::ostream& out, std::ostream& err) {
  Flags flags;
  CLI::App app("Compiles trained LSTM networks into .ese models and inspects such models.",
               "ese-compile");
  app.set_version_flag("--version", ESE_VERSION);
  app.require_subcommand(1);
  CLI::App* build =
      app.add_subcommand("build", "prune and quantize a trained network, and write it as a model");
  CLI::App* inspect = app.add_subcommand("inspect", "print what a model contains");
  AddBuildOptions(build, &flags);
  AddInspectOptions(inspect, &flags);
  RefuseEmptyValues(build);
  RefuseEmptyValues(inspect);
  try {
    // CLI11 expects the arguments in reverse order.
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
    app.parse(reversed);
  } catch (const CLI::ParseError& e) {
    return ExplainUsage(app, e, out, err);
  }
  absl::Status status = build->parsed() ? Build(flags, out) : Inspect(flags, out);
  if (status.ok() && !out.flush()) {
    status = absl::UnavailableError("cannot write the report to standard output; make room");
  }
  if (status.ok()) return 0;
  err << "ese-compile: " << Printable(status.message()) << "\n";
  return kFailed;
}

}  // namespace ese
