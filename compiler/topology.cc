// SPDX-License-Identifier: Apache-2.0
#include "compiler/topology.h"

#include <cmath>
#include <cstdint>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "compiler/strict_json.h"
#include "features/model_features.h"
#include "nlohmann/json.hpp"

namespace ese {
namespace {

using Json = nlohmann::json;

constexpr int kMaxSize = 1 << 16;  // the largest dimension, and the longest list
constexpr int kMaxLayers = 64;

// Reads one JSON object. It keeps the first problem, and later reads return defaults, so that code
// which uses it is a plain list of keys. Finish() returns the problem, or names the keys that
// nobody read.
class ObjectReader {
 public:
  // `path` is "" for the whole file.
  ObjectReader(const Json& json, std::string source, std::string path)
      : json_(json), source_(std::move(source)), path_(std::move(path)) {
    if (!json.is_object()) Fail("", "must be an object");
  }

  // True if the object has the optional key.
  bool Has(const std::string& key) {
    asked_.insert(key);
    return json_.is_object() && json_.contains(key);
  }

  std::string String(const std::string& key, bool may_be_empty = false) {
    const Json* value = Get(key, "a string");
    if (value == nullptr) return "";
    if (!value->is_string()) return Fail(key, "must be a string"), "";
    auto text = value->get<std::string>();
    if (text.empty() && !may_be_empty) Fail(key, "must not be empty");
    return text;
  }

  int Integer(const std::string& key, int low, int high) {
    const Json* value = Get(key, "an integer");
    if (value == nullptr) return low;
    const std::string range = absl::StrCat("must be an integer from ", low, " to ", high);
    if (!value->is_number_integer()) return Fail(key, range), low;
    const auto number = value->get<int64_t>();
    const bool wraps = value->is_number_unsigned() && number < 0;
    if (wraps || number < low || number > high) return Fail(key, range), low;
    return static_cast<int>(number);
  }

  int IntegerOr(const std::string& key, int low, int high, int otherwise) {
    return Has(key) ? Integer(key, low, high) : otherwise;
  }

  float NumberOr(const std::string& key, float otherwise) {
    if (!Has(key)) return otherwise;
    const Json& value = *Get(key, "a number");
    if (!value.is_number()) return Fail(key, "must be a number"), otherwise;
    return value.get<float>();
  }

  bool BooleanOr(const std::string& key, bool otherwise) {
    if (!Has(key)) return otherwise;
    const Json& value = *Get(key, "true or false");
    if (!value.is_boolean()) return Fail(key, "must be true or false"), otherwise;
    return value.get<bool>();
  }

  // The value of `key`, or an empty list.
  const Json& List(const std::string& key, size_t max_items) {
    static const Json* const kEmpty = new Json(Json::array());
    const Json* value = Get(key, "a list");
    if (value == nullptr) return *kEmpty;
    if (!value->is_array() || value->empty() || value->size() > max_items) {
      return Fail(key, absl::StrCat("must be a list of 1 to ", max_items, " items")), *kEmpty;
    }
    return *value;
  }

  // The value of `key`, for another reader, or null if it is missing.
  const Json& Member(const std::string& key) {
    static const Json* const kNull = new Json();
    const Json* value = Get(key, "an object");
    return value == nullptr ? *kNull : *value;
  }

  void Fail(const std::string& key, absl::string_view problem) {
    if (!status_.ok()) return;
    const std::string place = Path(key);
    status_ = absl::InvalidArgumentError(absl::StrCat(
        source_, ": ", place.empty() ? "the file" : absl::StrCat("'", place, "'"), " ", problem));
  }

  // Records the problem of a part that another reader read.
  void Adopt(const absl::Status& status) {
    if (status_.ok()) status_ = status;
  }

  std::string Path(const std::string& key) const {
    if (key.empty() || path_.empty()) return absl::StrCat(path_, key);
    return absl::StrCat(path_, ".", key);
  }
  const std::string& source() const { return source_; }

  absl::Status Finish() {
    if (!status_.ok() || !json_.is_object()) return status_;
    for (const auto& [key, value] : json_.items()) {
      if (asked_.count(key) > 0) continue;
      Fail(key, absl::StrCat("is unknown; the keys here are ", absl::StrJoin(asked_, ", ")));
    }
    return status_;
  }

 private:
  const Json* Get(const std::string& key, absl::string_view kind) {
    asked_.insert(key);
    if (!json_.is_object()) return nullptr;
    const auto it = json_.find(key);
    if (it == json_.end()) return Fail(key, absl::StrCat("is missing; give ", kind)), nullptr;
    return &*it;
  }

  const Json& json_;
  std::string source_;
  std::string path_;
  absl::Status status_;
  std::set<std::string> asked_;
};

absl::StatusOr<FeatureSettings> ReadFeatures(const Json& json, const std::string& source) {
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

absl::StatusOr<LayerTopology> ReadLayer(const Json& json, const std::string& source, size_t index) {
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
  if (in.Has("features")) {
    auto features = ReadFeatures(in.Member("features"), source);
    in.Adopt(features.status());
    if (features.ok()) topology.features = *features;
  }
  size_t index = 0;
  for (const Json& item : in.List("layers", kMaxLayers)) {
    auto layer = ReadLayer(item, source, index++);
    in.Adopt(layer.status());
    if (layer.ok()) topology.layers.push_back(*std::move(layer));
  }
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
  if (in.Has("features")) {
    auto features = ReadFeatures(in.Member("features"), source);
    in.Adopt(features.status());
    if (features.ok()) annotations.features = *features;
  }
  if (in.Has("output")) {
    ObjectReader output(in.Member("output"), source, "output");
    if (output.Has("units")) annotations.units = ReadUnits(&output);
    annotations.blank = output.IntegerOr("blank", -1, kMaxSize, -1);
    in.Adopt(output.Finish());
  }
  if (in.Has("input")) {
    ObjectReader input(in.Member("input"), source, "input");
    annotations.input_mean = ReadNumbers("mean", &input);
    annotations.input_inv_stddev = ReadNumbers("inv_stddev", &input);
    if (annotations.input_mean.size() != annotations.input_inv_stddev.size()) {
      input.Fail("inv_stddev", "must be as long as 'mean'");
    }
    in.Adopt(input.Finish());
  }
  annotations.facts = ReadFacts(&in);
  ESE_RETURN_IF_ERROR(in.Finish());
  return annotations;
}

absl::Status Annotate(const Annotations& annotations, int units, const std::string& source,
                      Topology* topology) {
  const auto mismatch = [&](absl::string_view key, size_t given, absl::string_view what, int has) {
    return absl::InvalidArgumentError(absl::StrCat(source, ": '", key, "' has ", given,
                                                   " values but the ", what, " has ", has,
                                                   "; correct it"));
  };
  if (!annotations.name.empty()) topology->name = annotations.name;
  topology->features = annotations.features;
  topology->facts = annotations.facts;
  topology->units = annotations.units;
  if (topology->units.empty()) {
    for (int u = 0; u < units; ++u) topology->units.push_back(absl::StrCat("U", u));
  }
  if (static_cast<int>(topology->units.size()) != units) {
    return mismatch("output.units", topology->units.size(), "output layer", units);
  }
  if (annotations.blank >= units) {
    return absl::InvalidArgumentError(absl::StrCat(source, ": 'output.blank' is ",
                                                   annotations.blank, " but the last unit is ",
                                                   units - 1, "; correct it"));
  }
  topology->blank = annotations.blank;
  const int inputs = topology->layers.front().inputs;
  if (!annotations.input_mean.empty() &&
      static_cast<int>(annotations.input_mean.size()) != inputs) {
    return mismatch("input.mean", annotations.input_mean.size(), "first layer's input", inputs);
  }
  return CheckSizes(*topology, source);
}

}  // namespace ese
