// SPDX-License-Identifier: Apache-2.0
#include "compiler/compile.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status.h"
#include "compiler/quantize.h"
#include "model/arithmetic.h"

namespace ese {
namespace {

absl::StatusOr<Network> PruneNetwork(const DenseNetwork& dense, const CompileOptions& options,
                                     std::vector<PruneReport>* reports) {
  Network network;
  network.input_mean = dense.input_mean;
  network.input_inv_stddev = dense.input_inv_stddev;
  const auto prune = [&](const DenseMatrix& from, std::optional<double> density,
                         SparseMatrix* to) -> absl::Status {
    ESE_ASSIGN_OR_RETURN(PrunedMatrix pruned, Prune(from, {density, options.pad}));
    *to = std::move(pruned.matrix);
    reports->push_back(pruned.report);
    return absl::OkStatus();
  };
  for (const auto& from : dense.layers) {
    BasicNetworkLayer<SparseMatrix>& to = network.layers.emplace_back();
    to.topology = from.topology;
    to.peepholes = from.peepholes;
    ESE_RETURN_IF_ERROR(prune(from.gates, options.gates_density, &to.gates));
    if (from.topology.projection > 0) {
      ESE_RETURN_IF_ERROR(prune(from.projection, options.projection_density, &to.projection));
    }
  }
  ESE_RETURN_IF_ERROR(prune(dense.output, options.output_density, &network.output));
  return network;
}

// The formats of the vector [x ; y'] that the gates of layer `l` read.
ColumnFormats GateFormats(const Network& network, size_t l, const Formats& formats) {
  return {.split = network.layers[l].topology.inputs,
          .first = l == 0 ? formats.input : formats.outputs[l - 1],
          .second = formats.outputs[l]};
}

absl::StatusOr<LayerDraft> QuantizeLayer(const BasicNetworkLayer<SparseMatrix>& from,
                                         const ColumnFormats& formats, int hidden) {
  LayerDraft to;
  to.inputs = from.topology.inputs;
  to.cells = from.topology.cells;
  to.outputs = from.topology.outputs();
  to.has_projection = from.topology.projection > 0;
  to.has_peepholes = from.topology.peepholes;
  to.g_activation = from.topology.g_activation;
  to.hidden_fraction_bits = hidden;
  to.output_fraction_bits = formats.second;
  ESE_ASSIGN_OR_RETURN(to.peepholes, QuantizePeepholes(from.topology, from.peepholes));
  ESE_ASSIGN_OR_RETURN(to.gates, Quantize(from.gates, formats, to.peepholes));
  if (to.has_projection) {
    ESE_ASSIGN_OR_RETURN(to.projection,
                         Quantize(from.projection, ColumnFormats::Uniform(hidden), {}));
  }
  return to;
}

absl::StatusOr<ModelDraft> QuantizeNetwork(const Topology& topology, const Network& network,
                                           const Formats& formats) {
  ModelDraft draft;
  draft.name = topology.name;
  draft.features = topology.features;
  draft.input_fraction_bits = formats.input;
  draft.input_mean = network.input_mean;
  draft.input_inv_stddev = network.input_inv_stddev;
  draft.units = topology.units;
  draft.blank = topology.blank;
  draft.facts = topology.facts;
  draft.facts["compiler.version"] = ESE_VERSION;
  for (size_t l = 0; l < network.layers.size(); ++l) {
    ESE_ASSIGN_OR_RETURN(
        LayerDraft layer,
        QuantizeLayer(network.layers[l], GateFormats(network, l, formats), formats.hidden[l]));
    draft.layers.push_back(std::move(layer));
  }
  ESE_ASSIGN_OR_RETURN(
      draft.output, Quantize(network.output, ColumnFormats::Uniform(formats.outputs.back()), {}));
  return draft;
}

Formats FormatsOf(const Model& model) {
  Formats formats;
  formats.input = model.input_fraction_bits;
  for (const Layer& layer : model.layers) {
    formats.hidden.push_back(layer.hidden_fraction_bits);
    formats.outputs.push_back(layer.output_fraction_bits);
  }
  return formats;
}

std::vector<double> WeightSnrs(const Network& network, const Model& model) {
  const Formats formats = FormatsOf(model);
  std::vector<double> snrs;
  for (size_t l = 0; l < network.layers.size(); ++l) {
    const auto& real = network.layers[l];
    const Layer& layer = model.layers[l];
    snrs.push_back(WeightSnrDb(real.gates, layer.gates, GateFormats(network, l, formats)));
    if (layer.has_projection) {
      snrs.push_back(WeightSnrDb(real.projection, layer.projection,
                                 ColumnFormats::Uniform(formats.hidden[l])));
    }
  }
  snrs.push_back(
      WeightSnrDb(network.output, model.output, ColumnFormats::Uniform(formats.outputs.back())));
  return snrs;
}

// Serializes the draft and loads the bytes as a model.
absl::Status Finish(const ModelDraft& draft, Compiled* compiled) {
  ESE_ASSIGN_OR_RETURN(compiled->bytes, SerializeModel(draft));
  ESE_ASSIGN_OR_RETURN(compiled->report.model, Model::FromBytes(compiled->bytes));
  compiled->report.file_bytes = static_cast<int64_t>(compiled->bytes.size());
  return absl::OkStatus();
}

// Each trial of a format runs about this many frames of the calibration, which takes a second for a
// model of 1024 cells.
constexpr int64_t kTrialFrames = 1000;
constexpr double kWorthDb = 0.5;

// Measures the model with these formats. Returns nothing if the network cannot be quantized so.
std::optional<Fidelity> Try(const Topology& topology, const Network& network,
                            const Calibration& calibration, const Formats& formats) {
  const auto draft = QuantizeNetwork(topology, network, formats);
  if (!draft.ok()) return std::nullopt;
  Compiled compiled;
  if (!Finish(*draft, &compiled).ok()) return std::nullopt;
  return Measure(network, *compiled.report.model, calibration);
}

// True if the logits gain at least kWorthDb, and more than the outputs of any layer lose.
bool IsWorthIt(const Fidelity& before, const Fidelity& after) {
  const double gain = after.logits_snr_db - before.logits_snr_db;
  double loss = kWorthDb;
  for (size_t l = 0; l < before.layer_snr_db.size(); ++l) {
    loss = std::max(loss, before.layer_snr_db[l] - after.layer_snr_db[l]);
  }
  return gain > loss;
}

// ChooseFormats() looks at each vector by itself. But a few saturated values can cost more than
// their squared error suggests, and x and y' share the scales of their weights. Therefore each
// vector in turn moves to a neighbouring format if that brings the logits nearer to the network's.
// On the network of tests/golden/compiler/projected this gives 39.1 dB instead of 29.5 dB. Small
// gains are not worth it: for 0.03 dB in the logits, x of an untrained network moved to a format
// that cost its first layer 5.7 dB.
Formats RefineFormats(const Topology& topology, const Network& network,
                      const Calibration& calibration, bool input_is_free, Formats formats) {
  const Calibration trial = Sample(calibration, kTrialFrames);
  std::vector<int*> vectors;
  if (input_is_free) vectors.push_back(&formats.input);
  for (size_t l = 0; l < formats.outputs.size(); ++l) {
    if (network.layers[l].topology.projection > 0) vectors.push_back(&formats.outputs[l]);
  }
  std::optional<Fidelity> best_fidelity = Try(topology, network, trial, formats);
  for (int* vector : vectors) {
    const int middle = *vector;
    int best = middle;
    for (const int bits : {middle - 1, middle + 1}) {
      if (bits < kMinFractionBits || bits > kMaxFractionBits) continue;
      *vector = bits;
      const std::optional<Fidelity> fidelity = Try(topology, network, trial, formats);
      if (fidelity && (!best_fidelity || IsWorthIt(*best_fidelity, *fidelity))) {
        best_fidelity = fidelity;
        best = bits;
      }
    }
    *vector = best;
  }
  return formats;
}

absl::Status CheckSameShapes(const Topology& topology, const Model& model) {
  bool same = topology.layers.size() == model.layers.size() &&
              static_cast<int>(topology.units.size()) == model.num_units();
  for (size_t l = 0; same && l < model.layers.size(); ++l) {
    const LayerTopology& a = topology.layers[l];
    const Layer& b = model.layers[l];
    same = a.inputs == b.inputs && a.cells == b.cells && a.outputs() == b.outputs &&
           (a.projection > 0) == b.has_projection && a.peepholes == b.has_peepholes &&
           a.g_activation == b.g_activation;
  }
  if (same) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the layers or units of the network are not those of model '", model.name,
                   "'; give the topology and weights that it was compiled from"));
}

// `cause` is the largest cause of error.
std::vector<std::string> Warnings(const Fidelity& fidelity, const Cause& cause) {
  std::vector<std::string> warnings;
  const auto check = [&](const std::string& what, double db) {
    const double error = std::pow(10, -db / 10);
    if (!(error > kWarnAboveError)) return;
    warnings.push_back(absl::StrFormat(
        "%s: the error's energy is %.1f %% of the signal's, an SNR of %.1f dB; the largest cause "
        "is %s, which alone leaves the logits %.1f dB: %s; measure recognition before you serve "
        "this model",
        what, 100 * error, db, cause.what, cause.logits_snr_db, cause.remedy));
  };
  for (size_t l = 0; l < fidelity.layer_snr_db.size(); ++l) {
    check(absl::StrCat("output of layer ", l), fidelity.layer_snr_db[l]);
  }
  check("logits", fidelity.logits_snr_db);
  return warnings;
}

// Measures the model in *report, finds the causes of its error, and warns of large errors.
void MeasureReport(const Network& network, const Calibration& calibration, Report* report) {
  report->fidelity = Measure(network, *report->model, calibration);
  report->causes = MeasureCauses(network, *report->model, calibration);
  report->warnings = Warnings(*report->fidelity, LargestCause(report->causes));
}

}  // namespace

std::vector<std::string> MatrixNames(const Model& model) {
  std::vector<std::string> names;
  for (size_t l = 0; l < model.layers.size(); ++l) {
    names.push_back(absl::StrCat("layer", l, "/gates"));
    if (model.layers[l].has_projection) names.push_back(absl::StrCat("layer", l, "/projection"));
  }
  names.push_back("output");
  return names;
}

absl::StatusOr<Compiled> Compile(const ImportedNetwork& imported, const Calibration* calibration,
                                 const CompileOptions& options) {
  if (calibration != nullptr) ESE_RETURN_IF_ERROR(CheckNormalised(imported, *calibration));
  Compiled compiled;
  Report& report = compiled.report;
  report.notices = imported.notices;
  const Topology& topology = imported.topology;
  ESE_ASSIGN_OR_RETURN(const Network network,
                       PruneNetwork(imported.network, options, &report.prunes));
  for (const PruneReport& prune : report.prunes) {
    if (!prune.notice.empty()) report.notices.push_back(prune.notice);
  }

  Formats formats =
      calibration != nullptr ? ChooseFormats(network, *calibration) : DefaultFormats(network);
  if (options.input_fraction_bits) formats.input = *options.input_fraction_bits;
  if (calibration != nullptr) {
    formats = RefineFormats(topology, network, *calibration, !options.input_fraction_bits, formats);
  } else {
    report.notices.push_back(
        "without --calibration the formats are defaults and the accuracy is not measured");
  }
  ESE_ASSIGN_OR_RETURN(ModelDraft draft, QuantizeNetwork(topology, network, formats));
  ESE_RETURN_IF_ERROR(Finish(draft, &compiled));
  report.weight_snr_db = WeightSnrs(network, *report.model);
  if (calibration != nullptr) {
    MeasureReport(network, *calibration, &report);
    draft.facts["compiler.calibration_frames"] = absl::StrCat(report.fidelity->frames);
    draft.facts["compiler.logits_snr_db"] = absl::StrFormat("%.1f", report.fidelity->logits_snr_db);
    ESE_RETURN_IF_ERROR(Finish(draft, &compiled));
  }
  return compiled;
}

absl::Status CompareWithNetwork(const ImportedNetwork& imported, const Calibration* calibration,
                                Report* report) {
  ESE_RETURN_IF_ERROR(CheckSameShapes(imported.topology, *report->model));
  if (calibration != nullptr) ESE_RETURN_IF_ERROR(CheckNormalised(imported, *calibration));
  CompileOptions options;
  options.pad = true;
  std::vector<PruneReport> ignored;
  ESE_ASSIGN_OR_RETURN(const Network network, PruneNetwork(imported.network, options, &ignored));
  report->weight_snr_db = WeightSnrs(network, *report->model);
  if (calibration != nullptr) MeasureReport(network, *calibration, report);
  return absl::OkStatus();
}

}  // namespace ese
