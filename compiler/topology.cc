// SPDX-License-Identifier: Apache-2.0
#include "compiler/topology.h"

#include <cmath>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "compiler/network.h"
#include "compiler/object_reader.h"
#include "compiler/strict_json.h"
#include "features/model_features.h"
#include "nlohmann/json.hpp"

namespace ese {
namespace {

using Json = nlohmann::json;

constexpr int kMaxLayers = 64;

absl::StatusOr<FeatureSettings> ParseFeatures(const Json& json, const std::string& source) {
  ObjectReader in(json, source, "features");
  FeatureSettings settings;
  settings.sample_rate_hz = in.Integer("sample_rate_hz", 1, 1'000'000);
  settings.num_mel_bins = in.Integer("num_mel_bins", 1, kMaxSize);
  settings.frame_length_ms = in.NumberOr("frame_length_ms", settings.frame_length_ms);
  settings.frame_shift_ms = in.NumberOr("frame_shift_ms", settings.frame_shift_ms);
  settings.low_freq_hz = in.NumberOr("low_freq_hz", settings.low_freq_hz);
  settings.high_freq_hz = in.NumberOr("high_freq_hz", settings.high_freq_hz);
  settings.preemphasis = in.NumberOr("preemphasis", settings.preemphasis);
  settings.stack = in.IntegerOr("stack", 1, kMaxSize, settings.stack);
  ESE_RETURN_IF_ERROR(in.Finish());

  const absl::Status valid = Validate(ToFbankOptions(settings));
  if (!valid.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(source, ": 'features': ", valid.message()));
  }
  return settings;
}

// Reads the optional features of the whole file.
FeatureSettings ReadFeatures(ObjectReader* in, const std::string& source) {
  if (!in->Has("features")) return {};
  auto features = ParseFeatures(in->Member("features"), source);
  in->Adopt(features.status());
  return features.value_or(FeatureSettings{});
}

absl::StatusOr<LayerTopology> ParseLayer(const Json& json, const std::string& source,
                                         size_t index) {
  ObjectReader in(json, source, absl::StrCat("layers[", index, "]"));
  LayerTopology layer;
  layer.prefix = in.String("prefix", /*may_be_empty=*/true);
  layer.suffix = in.String("suffix", /*may_be_empty=*/true);
  layer.inputs = in.Integer("input", 1, kMaxSize);
  layer.cells = in.Integer("cells", 1, kMaxSize);
  layer.projection = in.IntegerOr("projection", 0, kMaxSize, 0);
  layer.peepholes = in.BooleanOr("peepholes", false);
  const std::string g = in.Has("g") ? in.String("g") : "tanh";
  if (g != "tanh" && g != "sigmoid") in.Fail("g", "must be \"tanh\" or \"sigmoid\"");
  layer.g_activation = g == "sigmoid" ? GActivation::kSigmoid : GActivation::kTanh;
  ESE_RETURN_IF_ERROR(in.Finish());
  return layer;
}

std::vector<LayerTopology> ReadLayers(ObjectReader* in, const std::string& source) {
  std::vector<LayerTopology> layers;
  size_t index = 0;
  for (const Json& item : in->List("layers", kMaxLayers)) {
    auto layer = ParseLayer(item, source, index++);
    in->Adopt(layer.status());
    if (layer.ok()) layers.push_back(*std::move(layer));
  }
  return layers;
}

std::vector<std::string> ReadUnits(ObjectReader* in) {
  std::vector<std::string> units;
  for (const Json& unit : in->List("units", kMaxSize)) {
    if (!unit.is_string() || unit.get_ref<const std::string&>().empty()) {
      in->Fail("units", "must be a list of names, none of them empty");
      break;
    }
    units.push_back(unit.get<std::string>());
  }
  return units;
}

absl::Status ReadOutput(const Json& json, const std::string& source, Topology* topology) {
  ObjectReader in(json, source, "output");
  topology->output_weight = in.String("weight");
  topology->output_bias = in.String("bias");
  topology->units = ReadUnits(&in);
  const int last = static_cast<int>(topology->units.size()) - 1;
  topology->blank = in.IntegerOr("blank", -1, last, -1);
  return in.Finish();
}

absl::Status ReadInput(const Json& json, const std::string& source, Topology* topology) {
  ObjectReader in(json, source, "input");
  topology->input_mean = in.String("mean");
  topology->input_inv_stddev = in.String("inv_stddev");
  return in.Finish();
}

// {"wer": {"test": 9.1}} becomes wer.test = 9.1.
void Flatten(const Json& json, const std::string& path, std::map<std::string, std::string>* facts) {
  if (json.is_object()) {
    for (const auto& [key, value] : json.items()) {
      Flatten(value, path.empty() ? key : absl::StrCat(path, ".", key), facts);
    }
  } else {
    (*facts)[path] = json.is_string() ? json.get<std::string>() : json.dump();
  }
}

std::map<std::string, std::string> ReadFacts(ObjectReader* in) {
  std::map<std::string, std::string> facts;
  if (!in->Has("training")) return facts;
  const Json& training = in->Member("training");
  if (!training.is_object()) in->Fail("training", "must be an object");
  Flatten(training, "", &facts);
  return facts;
}

std::vector<float> ReadNumbers(const std::string& key, ObjectReader* in) {
  std::vector<float> numbers;
  for (const Json& number : in->List(key, kMaxSize)) {
    if (!number.is_number() || !std::isfinite(number.get<float>())) {
      in->Fail(key, "must be a list of numbers");
      break;
    }
    numbers.push_back(number.get<float>());
  }
  return numbers;
}

absl::Status ReadOutput(const Json& json, const std::string& source, Annotations* annotations) {
  ObjectReader in(json, source, "output");
  if (in.Has("units")) annotations->units = ReadUnits(&in);
  annotations->blank = in.IntegerOr("blank", -1, kMaxSize, -1);
  return in.Finish();
}

absl::Status ReadInput(const Json& json, const std::string& source, Annotations* annotations) {
  ObjectReader in(json, source, "input");
  annotations->input_mean = ReadNumbers("mean", &in);
  annotations->input_inv_stddev = ReadNumbers("inv_stddev", &in);
  if (annotations->input_mean.size() != annotations->input_inv_stddev.size()) {
    in.Fail("inv_stddev", "must be as long as 'mean'");
  }
  return in.Finish();
}

absl::Status Mismatch(const std::string& source, absl::string_view key, size_t given,
                      absl::string_view what, int has) {
  return absl::InvalidArgumentError(absl::StrCat(
      source, ": '", key, "' has ", given, " values but the ", what, " has ", has, "; correct it"));
}

// Adds the names of the units and the blank to an output layer of `units` rows.
absl::Status AnnotateOutput(const Annotations& annotations, int units, const std::string& source,
                            Topology* topology) {
  topology->units = annotations.units;
  if (topology->units.empty()) {
    for (int u = 0; u < units; ++u) topology->units.push_back(absl::StrCat("U", u));
  }
  if (static_cast<int>(topology->units.size()) != units) {
    return Mismatch(source, "output.units", topology->units.size(), "output layer", units);
  }
  if (annotations.blank >= units) {
    return absl::InvalidArgumentError(absl::StrCat(source, ": 'output.blank' is ",
                                                   annotations.blank, " but the last unit is ",
                                                   units - 1, "; correct it"));
  }
  topology->blank = annotations.blank;
  return absl::OkStatus();
}

// Checks that the sizes of layers and features agree.
absl::Status CheckSizes(const Topology& topology, const std::string& source) {
  for (size_t i = 1; i < topology.layers.size(); ++i) {
    if (topology.layers[i].inputs == topology.layers[i - 1].outputs()) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(source, ": 'layers[", i, "].input' is ", topology.layers[i].inputs,
                     " but the layer before it has ", topology.layers[i - 1].outputs(),
                     " outputs; correct one of them"));
  }
  const FeatureSettings& features = topology.features;
  const int64_t dim = int64_t{features.num_mel_bins} * features.stack;
  if (features.sample_rate_hz > 0 && dim != topology.layers[0].inputs) {
    return absl::InvalidArgumentError(
        absl::StrCat(source, ": 'features' gives ", features.num_mel_bins, " x ", features.stack,
                     " = ", dim, " values a frame but 'layers[0].input' is ",
                     topology.layers[0].inputs, "; correct num_mel_bins, stack or input"));
  }
  return absl::OkStatus();
}

}  // namespace

std::string LayerTopology::Tensor(absl::string_view base) const {
  return absl::StrCat(prefix, base, suffix);
}

absl::StatusOr<Topology> ParseTopology(absl::string_view text, const std::string& source) {
  ESE_ASSIGN_OR_RETURN(const Json json, ParseStrictJson(text, source));
  ObjectReader in(json, source, "");
  Topology topology;
  topology.name = in.String("name");
  topology.features = ReadFeatures(&in, source);
  topology.layers = ReadLayers(&in, source);
  const Json& output = in.Member("output");
  if (in.Has("output")) in.Adopt(ReadOutput(output, source, &topology));
  if (in.Has("input")) in.Adopt(ReadInput(in.Member("input"), source, &topology));
  topology.facts = ReadFacts(&in);
  ESE_RETURN_IF_ERROR(in.Finish());
  ESE_RETURN_IF_ERROR(CheckSizes(topology, source));
  return topology;
}

absl::StatusOr<Annotations> ParseAnnotations(absl::string_view text, const std::string& source) {
  ESE_ASSIGN_OR_RETURN(const Json json, ParseStrictJson(text, source));
  ObjectReader in(json, source, "");
  Annotations annotations;
  if (in.Has("name")) annotations.name = in.String("name");
  annotations.features = ReadFeatures(&in, source);
  if (in.Has("output")) in.Adopt(ReadOutput(in.Member("output"), source, &annotations));
  if (in.Has("input")) in.Adopt(ReadInput(in.Member("input"), source, &annotations));
  annotations.facts = ReadFacts(&in);
  ESE_RETURN_IF_ERROR(in.Finish());
  return annotations;
}

absl::Status Annotate(const Annotations& annotations, int units, const std::string& source,
                      Topology* topology) {
  if (!annotations.name.empty()) topology->name = annotations.name;
  topology->features = annotations.features;
  topology->facts = annotations.facts;
  ESE_RETURN_IF_ERROR(AnnotateOutput(annotations, units, source, topology));
  const int inputs = topology->layers.front().inputs;
  if (!annotations.input_mean.empty() &&
      static_cast<int>(annotations.input_mean.size()) != inputs) {
    return Mismatch(source, "input.mean", annotations.input_mean.size(), "first layer's input",
                    inputs);
  }
  return CheckSizes(*topology, source);
}

}  // namespace ese
