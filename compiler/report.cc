// SPDX-License-Identifier: Apache-2.0
#include "compiler/report.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "accel/card/cycle_formula.h"
#include "compiler/quantize.h"
#include "model/fixed_point.h"
#include "model/model_sections.h"
#include "nlohmann/json.hpp"

namespace ese {
namespace {

using OrderedJson = nlohmann::ordered_json;

// The numbers of processing elements for which the report shows the imbalance.
constexpr int kPes[] = {1, 8, 32};

struct MatrixView {
  std::string name;
  const Matrix* matrix;
  int rows_per_group;  // rows that stay on one processing element
};

std::vector<MatrixView> Matrices(const Model& model) {
  std::vector<const Matrix*> matrices;
  for (const Layer& layer : model.layers) {
    matrices.push_back(&layer.gates);
    if (layer.has_projection) matrices.push_back(&layer.projection);
  }
  matrices.push_back(&model.output);
  const std::vector<std::string> names = MatrixNames(model);
  std::vector<MatrixView> views;
  for (size_t k = 0; k < names.size(); ++k) {
    const bool gates = names[k].find("/gates") != std::string::npos;
    views.push_back({names[k], matrices[k], gates ? 4 : 1});
  }
  return views;
}

double Density(const Matrix& matrix) {
  return static_cast<double>(matrix.entries_per_row) / matrix.columns;
}

// The size of the unpruned network with 4 bytes per parameter.
int64_t DenseBytes(const Model& model) {
  int64_t parameters = 2 * int64_t{model.input_dim()};
  for (const MatrixView& view : Matrices(model)) {
    const Matrix& m = *view.matrix;
    parameters += int64_t{m.rows} * m.columns;
    // A projection has no bias in the trained network.
    if (view.name.find("/projection") == std::string::npos) parameters += m.rows;
  }
  for (const Layer& layer : model.layers)
    parameters += static_cast<int64_t>(layer.peepholes.size());
  return 4 * parameters;
}

std::vector<std::pair<std::string, int64_t>> Sections(const Model& model) {
  std::vector<std::pair<std::string, int64_t>> sections;
  VisitSections(model, [&](const std::string& name, const auto& array, size_t) {
    sections.emplace_back(name, static_cast<int64_t>(array.size() * sizeof(array[0])));
  });
  return sections;
}

std::string PruneText(const PruneReport& prune) {
  std::string text;
  if (prune.origin == PruneOrigin::kDense) text = "all weights kept";
  if (prune.origin == PruneOrigin::kTraining) text = "mask of the training kept";
  if (prune.origin == PruneOrigin::kMagnitudes) {
    text = absl::StrFormat("largest weights kept, %.1f %% of the sum of squares",
                           100 * prune.squares_kept);
  }
  if (prune.zero_entries > 0) {
    absl::StrAppend(&text, ", ", prune.zero_entries, " entries of zero weight added");
  }
  return text;
}

const char* PruneWord(PruneOrigin origin) {
  switch (origin) {
    case PruneOrigin::kDense:
      return "dense";
    case PruneOrigin::kTraining:
      return "training";
    case PruneOrigin::kMagnitudes:
      return "magnitudes";
  }
  return "";
}

std::string DbText(double db) {
  if (std::isinf(db)) return db > 0 ? "exact" : "-inf";
  return absl::StrFormat("%.1f", db);
}

std::string QText(int fraction_bits) {
  return absl::StrCat("Q", 7 - fraction_bits, ".", fraction_bits);
}

void Line(std::string* text, const std::string& label, const std::string& value) {
  absl::StrAppendFormat(text, "%-13s%s\n", label, value);
}

std::string FeaturesText(const FeatureSettings& f) {
  if (f.sample_rate_hz == 0) return "none: the model takes feature vectors only";
  return absl::StrFormat("%d Hz, windows of %g ms every %g ms, %d mel bins, %d windows a frame",
                         f.sample_rate_hz, f.frame_length_ms, f.frame_shift_ms, f.num_mel_bins,
                         f.stack);
}

std::string LayerText(const Layer& layer) {
  return absl::StrCat(
      layer.cells, " cells, ", layer.outputs, layer.has_projection ? " projected" : "",
      " outputs in ", QText(layer.output_fraction_bits),
      layer.has_projection ? absl::StrCat(" from cells' in ", QText(layer.hidden_fraction_bits))
                           : "",
      layer.has_peepholes ? ", peepholes" : "",
      layer.g_activation == GActivation::kSigmoid ? ", g sigmoid" : "");
}

void AppendHead(const Report& report, std::string* text) {
  const Model& model = *report.model;
  Line(text, "model", model.name);
  Line(text, "fingerprint", model.fingerprint());
  Line(text, "features", FeaturesText(model.features));
  Line(text, "input",
       absl::StrCat(model.input_dim(), " values in ", QText(model.input_fraction_bits)));
  for (size_t l = 0; l < model.layers.size(); ++l) {
    Line(text, absl::StrCat("layer ", l), LayerText(model.layers[l]));
  }
  Line(text, "units",
       absl::StrCat(model.num_units(), model.blank < 0 ? ", no blank: " : ": ",
                    absl::StrJoin(model.units, " ")));
}

void AppendMatrices(const Report& report, std::string* text) {
  absl::StrAppendFormat(text, "\n%-20s%7s%9s%13s%9s%23s", "matrix", "rows", "columns",
                        "entries/row", "density", "imbalance, 1 8 32 PEs");
  if (!report.weight_snr_db.empty()) absl::StrAppendFormat(text, "%9s", "SNR/dB");
  absl::StrAppend(text, "\n");
  const std::vector<MatrixView> views = Matrices(*report.model);
  for (size_t k = 0; k < views.size(); ++k) {
    const Matrix& m = *views[k].matrix;
    absl::StrAppendFormat(text, "%-20s%7d%9d%13d%7.1f %%", views[k].name, m.rows, m.columns,
                          m.entries_per_row, 100 * Density(m));
    for (const int pes : kPes) {
      absl::StrAppendFormat(text, "%*.3f", pes == kPes[0] ? 9 : 7,
                            ImbalanceOverPes(m.rows, views[k].rows_per_group, pes));
    }
    if (!report.weight_snr_db.empty()) {
      absl::StrAppendFormat(text, "%9s", DbText(report.weight_snr_db[k]));
    }
    absl::StrAppend(text, "\n");
  }
  for (size_t k = 0; k < report.prunes.size(); ++k) {
    absl::StrAppendFormat(text, "%-20s%s\n", views[k].name, PruneText(report.prunes[k]));
  }
}

void AppendBytes(const Report& report, bool everything, std::string* text) {
  absl::StrAppend(text, "\n");
  if (everything) {
    for (const auto& [name, bytes] : Sections(*report.model)) {
      absl::StrAppendFormat(text, "%-28s%12d bytes\n", name, bytes);
    }
  }
  const int64_t dense = DenseBytes(*report.model);
  absl::StrAppendFormat(text, "%-28s%12d bytes\n", "file", report.file_bytes);
  absl::StrAppendFormat(text, "%-28s%12d bytes, %.1f times the file\n", "dense in fp32", dense,
                        static_cast<double>(dense) / static_cast<double>(report.file_bytes));
}

// Cycles per step on the accelerator, for a full batch of ten frames per lane. Returns nothing for
// a model that the card's format cannot hold.
std::optional<int64_t> CardCyclesPerStep(const Model& model) {
  constexpr int kFrames = 10;
  const CardShape shape;
  const absl::StatusOr<CardModel> card = PackForCard(model, shape);
  if (!card.ok()) return std::nullopt;
  return BatchCycles(*card, shape.lanes, kFrames) / kFrames;
}

void AppendCard(const Report& report, std::string* text) {
  const std::optional<int64_t> cycles = CardCyclesPerStep(*report.model);
  if (!cycles) return;
  absl::StrAppendFormat(text, "%-28s%12d cycles, %.1f us at %g MHz, for %d streams (calculated)\n",
                        "step on the accelerator", *cycles,
                        static_cast<double>(*cycles) / kCardMegahertz, kCardMegahertz,
                        CardShape{}.lanes);
}

void AppendFidelity(const Report& report, bool everything, std::string* text) {
  if (!report.fidelity) return;
  const Fidelity& f = *report.fidelity;
  absl::StrAppendFormat(text, "\nagainst real numbers, over %d frames of calibration\n", f.frames);
  absl::StrAppendFormat(text, "%-28s%12s dB\n", "SNR of the logits", DbText(f.logits_snr_db));
  for (size_t l = 0; l < f.layer_snr_db.size(); ++l) {
    absl::StrAppendFormat(text, "%-28s%12s dB\n", absl::StrCat("SNR of layer ", l, " y"),
                          DbText(f.layer_snr_db[l]));
  }
  const auto worst = std::min_element(f.unit_snr_db.begin(), f.unit_snr_db.end());
  absl::StrAppendFormat(text, "%-28s%12s dB, unit %s\n", "lowest SNR of a unit", DbText(*worst),
                        report.model->units[worst - f.unit_snr_db.begin()]);
  absl::StrAppendFormat(text, "%-28s%12.2f %% of the frames\n", "same best unit",
                        100 * f.same_best_unit);
  for (const Saturation& s : f.saturations) {
    absl::StrAppendFormat(text, "%-28s%12d of %d\n", absl::StrCat("saturated ", s.what), s.beyond,
                          s.values);
  }
  if (!everything) return;
  for (size_t u = 0; u < f.unit_snr_db.size(); ++u) {
    absl::StrAppendFormat(text, "%-28s%12s dB\n", absl::StrCat("SNR of ", report.model->units[u]),
                          DbText(f.unit_snr_db[u]));
  }
}

void AppendCauses(const std::vector<Cause>& causes, std::string* text) {
  if (causes.empty()) return;
  absl::StrAppend(text, "\nSNR of the logits if only this were quantized\n");
  for (const Cause& cause : causes) {
    absl::StrAppendFormat(text, "%-28s%12s dB\n", cause.what, DbText(cause.logits_snr_db));
  }
  const Cause& largest = LargestCause(causes);
  absl::StrAppend(text, "most would be gained at: ", largest.what, "; ", largest.remedy, "\n");
}

void AppendFacts(const std::map<std::string, std::string>& facts, std::string* text) {
  if (facts.empty()) return;
  absl::StrAppend(text, "\nfacts\n");
  size_t width = 0;
  for (const auto& [key, value] : facts) width = std::max(width, key.size());
  for (const auto& [key, value] : facts) {
    absl::StrAppendFormat(text, "  %-*s  %s\n", static_cast<int>(width), key, value);
  }
}

OrderedJson DbJson(double db) { return std::isfinite(db) ? OrderedJson(db) : OrderedJson(nullptr); }

OrderedJson LayersJson(const Model& model) {
  OrderedJson layers = OrderedJson::array();
  for (const Layer& layer : model.layers) {
    layers.push_back({{"inputs", layer.inputs},
                      {"cells", layer.cells},
                      {"outputs", layer.outputs},
                      {"projection", layer.has_projection},
                      {"peepholes", layer.has_peepholes},
                      {"g", layer.g_activation == GActivation::kSigmoid ? "sigmoid" : "tanh"},
                      {"hidden_fraction_bits", layer.hidden_fraction_bits},
                      {"output_fraction_bits", layer.output_fraction_bits}});
  }
  return layers;
}

OrderedJson MatricesJson(const Report& report) {
  OrderedJson matrices = OrderedJson::array();
  const std::vector<MatrixView> views = Matrices(*report.model);
  for (size_t k = 0; k < views.size(); ++k) {
    const Matrix& m = *views[k].matrix;
    OrderedJson json = {{"name", views[k].name},
                        {"rows", m.rows},
                        {"columns", m.columns},
                        {"entries_per_row", m.entries_per_row},
                        {"density", Density(m)}};
    for (const int pes : kPes) {
      json["imbalance_over_pes"][absl::StrCat(pes)] =
          ImbalanceOverPes(m.rows, views[k].rows_per_group, pes);
    }
    if (!report.weight_snr_db.empty()) json["weight_snr_db"] = DbJson(report.weight_snr_db[k]);
    if (!report.prunes.empty()) {
      const PruneReport& prune = report.prunes[k];
      json["pruned_by"] = PruneWord(prune.origin);
      json["zero_entries_added"] = prune.zero_entries;
      json["squares_kept"] = prune.squares_kept;
    }
    matrices.push_back(std::move(json));
  }
  return matrices;
}

OrderedJson FeaturesJson(const FeatureSettings& f) {
  if (f.sample_rate_hz == 0) return nullptr;
  return {{"sample_rate_hz", f.sample_rate_hz}, {"frame_length_ms", f.frame_length_ms},
          {"frame_shift_ms", f.frame_shift_ms}, {"num_mel_bins", f.num_mel_bins},
          {"low_freq_hz", f.low_freq_hz},       {"high_freq_hz", f.high_freq_hz},
          {"preemphasis", f.preemphasis},       {"stack", f.stack}};
}

OrderedJson CausesJson(const std::vector<Cause>& causes) {
  OrderedJson json = OrderedJson::array();
  for (const Cause& cause : causes) {
    json.push_back({{"what", cause.what},
                    {"logits_snr_db", DbJson(cause.logits_snr_db)},
                    {"remedy", cause.remedy}});
  }
  return json;
}

OrderedJson FidelityJson(const Report& report) {
  if (!report.fidelity) return nullptr;
  const Fidelity& f = *report.fidelity;
  OrderedJson json = {{"frames", f.frames},
                      {"logits_snr_db", DbJson(f.logits_snr_db)},
                      {"same_best_unit", f.same_best_unit}};
  for (const double db : f.layer_snr_db) json["layer_snr_db"].push_back(DbJson(db));
  for (const double db : f.unit_snr_db) json["unit_snr_db"].push_back(DbJson(db));
  for (const Saturation& s : f.saturations) {
    json["saturated"][s.what] = {{"beyond", s.beyond}, {"values", s.values}};
  }
  return json;
}

}  // namespace

double ImbalanceOverPes(int rows, int rows_per_group, int pes) {
  const int groups = rows / rows_per_group;
  const int fullest = (groups + pes - 1) / pes;
  return static_cast<double>(fullest) * pes / groups;
}

std::string TextReport(const Report& report, bool everything) {
  std::string text;
  AppendHead(report, &text);
  AppendMatrices(report, &text);
  AppendBytes(report, everything, &text);
  if (everything) AppendCard(report, &text);
  AppendFidelity(report, everything, &text);
  AppendCauses(report.causes, &text);
  if (everything) AppendFacts(report.model->facts, &text);
  for (const std::string& warning : report.warnings) {
    absl::StrAppend(&text, "\nwarning: ", warning, "\n");
  }
  for (const std::string& notice : report.notices) {
    absl::StrAppend(&text, "\nnotice: ", notice, "\n");
  }
  return text;
}

std::string JsonReport(const Report& report) {
  const Model& model = *report.model;
  OrderedJson json = {{"name", model.name},
                      {"fingerprint", model.fingerprint()},
                      {"features", FeaturesJson(model.features)},
                      {"input_dim", model.input_dim()},
                      {"input_fraction_bits", model.input_fraction_bits},
                      {"layers", LayersJson(model)},
                      {"units", model.units},
                      {"blank", model.blank},
                      {"matrices", MatricesJson(report)},
                      {"file_bytes", report.file_bytes},
                      {"dense_fp32_bytes", DenseBytes(model)},
                      {"fidelity", FidelityJson(report)},
                      {"causes", CausesJson(report.causes)},
                      {"facts", model.facts},
                      {"notices", report.notices},
                      {"warnings", report.warnings}};
  const std::optional<int64_t> cycles = CardCyclesPerStep(model);
  json["card_cycles_per_step"] = cycles ? OrderedJson(*cycles) : OrderedJson(nullptr);
  for (const auto& [name, bytes] : Sections(model)) json["section_bytes"][name] = bytes;
  // The names in a model need not be UTF-8, but JSON must be.
  return json.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

}  // namespace ese
