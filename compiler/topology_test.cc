// SPDX-License-Identifier: Apache-2.0
#include "compiler/topology.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace ese {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

json Full() {
  return json::parse(R"({
    "name": "phones",
    "features": {"sample_rate_hz": 8000, "frame_length_ms": 20, "frame_shift_ms": 8,
                 "num_mel_bins": 5, "low_freq_hz": 100, "high_freq_hz": -200,
                 "preemphasis": 0.5, "stack": 2},
    "layers": [
      {"prefix": "a.", "suffix": "_0", "input": 10, "cells": 6, "projection": 3,
       "peepholes": true, "g": "sigmoid"},
      {"prefix": "b.", "suffix": "", "input": 3, "cells": 4}],
    "output": {"weight": "out.w", "bias": "out.b", "units": ["_", "A"], "blank": 0},
    "input": {"mean": "m", "inv_stddev": "s"},
    "training": {"corpus": "made up", "per": {"test": 9.5}, "epochs": [1, 2]}
  })");
}

void ExpectRefused(const std::function<void(json*)>& change, const std::string& why) {
  json topology = Full();
  change(&topology);
  const auto parsed = ParseTopology(topology.dump(), "topology.json");
  EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument) << topology;
  EXPECT_THAT(parsed.status().message(), HasSubstr("topology.json: "));
  EXPECT_THAT(parsed.status().message(), HasSubstr(why));
}

TEST(TopologyTest, ReadsEveryKey) {
  const auto topology = ParseTopology(Full().dump(), "topology.json");
  ASSERT_TRUE(topology.ok()) << topology.status();
  EXPECT_EQ(topology->name, "phones");
  EXPECT_EQ(topology->features.sample_rate_hz, 8000);
  EXPECT_EQ(topology->features.frame_length_ms, 20);
  EXPECT_EQ(topology->features.frame_shift_ms, 8);
  EXPECT_EQ(topology->features.num_mel_bins, 5);
  EXPECT_EQ(topology->features.low_freq_hz, 100);
  EXPECT_EQ(topology->features.high_freq_hz, -200);
  EXPECT_EQ(topology->features.preemphasis, 0.5);
  EXPECT_EQ(topology->features.stack, 2);
  ASSERT_EQ(topology->layers.size(), 2u);
  EXPECT_EQ(topology->layers[0].Tensor("weight_ih"), "a.weight_ih_0");
  EXPECT_EQ(topology->layers[0].outputs(), 3);
  EXPECT_TRUE(topology->layers[0].peepholes);
  EXPECT_EQ(topology->layers[0].g_activation, GActivation::kSigmoid);
  EXPECT_EQ(topology->layers[1].Tensor("bias_ih"), "b.bias_ih");
  EXPECT_EQ(topology->layers[1].outputs(), 4);
  EXPECT_FALSE(topology->layers[1].peepholes);
  EXPECT_EQ(topology->layers[1].g_activation, GActivation::kTanh);
  EXPECT_EQ(topology->output_weight, "out.w");
  EXPECT_EQ(topology->output_bias, "out.b");
  EXPECT_THAT(topology->units, ElementsAre("_", "A"));
  EXPECT_EQ(topology->blank, 0);
  EXPECT_EQ(topology->input_mean, "m");
  EXPECT_EQ(topology->input_inv_stddev, "s");
  EXPECT_THAT(topology->facts, ElementsAre(Pair("corpus", "made up"), Pair("epochs", "[1,2]"),
                                           Pair("per.test", "9.5")));
}

TEST(TopologyTest, FeaturesInputTrainingAndBlankAreOptional) {
  json json = Full();
  json.erase("features");
  json.erase("input");
  json.erase("training");
  json["output"].erase("blank");
  const auto topology = ParseTopology(json.dump(), "topology.json");
  ASSERT_TRUE(topology.ok()) << topology.status();
  EXPECT_EQ(topology->features.sample_rate_hz, 0);
  EXPECT_EQ(topology->blank, -1);
  EXPECT_EQ(topology->input_mean, "");
  EXPECT_TRUE(topology->facts.empty());
}

TEST(TopologyTest, RefusesWhatIsNotAnObject) {
  EXPECT_THAT(ParseTopology("{", "t").status().message(), HasSubstr("t: not valid JSON"));
  EXPECT_THAT(ParseTopology("", "t").status().message(), HasSubstr("t: not valid JSON"));
  EXPECT_THAT(ParseTopology("[]", "t").status().message(), HasSubstr("must be an object"));
}

TEST(TopologyTest, RefusesFactsThatAreNestedTooDeeply) {
  json facts = 1;
  for (int depth = 0; depth < 100; ++depth) facts = json{{"a", facts}};
  ExpectRefused([&](json* t) { (*t)["training"] = facts; }, "levels deep");
}

TEST(TopologyTest, RefusesDuplicateKeys) {
  EXPECT_THAT(ParseTopology(R"({"name": "a", "name": "b"})", "t").status().message(),
              HasSubstr("t: 'name' is given twice"));
}

TEST(TopologyTest, RefusesUnknownKeysByPath) {
  ExpectRefused([](json* t) { (*t)["nmae"] = 1; }, "'nmae' is unknown");
  ExpectRefused([](json* t) { (*t)["layers"][1]["cels"] = 1; }, "'layers[1].cels' is unknown");
  ExpectRefused([](json* t) { (*t)["features"]["dither"] = 0; }, "'features.dither' is unknown");
  ExpectRefused([](json* t) { (*t)["output"]["unit"] = 0; }, "'output.unit' is unknown");
  ExpectRefused([](json* t) { (*t)["input"]["std"] = 0; },
                "'input.std' is unknown; the keys here are inv_stddev, mean");
}

TEST(TopologyTest, RefusesMissingKeysByPath) {
  for (const char* key : {"name", "layers", "output"}) {
    ExpectRefused([&](json* t) { t->erase(key); }, absl::StrCat("'", key, "' is missing"));
  }
  for (const char* key : {"prefix", "suffix", "input", "cells"}) {
    ExpectRefused([&](json* t) { (*t)["layers"][0].erase(key); },
                  absl::StrCat("'layers[0].", key, "' is missing"));
  }
  for (const char* key : {"weight", "bias", "units"}) {
    ExpectRefused([&](json* t) { (*t)["output"].erase(key); },
                  absl::StrCat("'output.", key, "' is missing"));
  }
  ExpectRefused([](json* t) { (*t)["input"].erase("mean"); }, "'input.mean' is missing");
  ExpectRefused([](json* t) { (*t)["features"].erase("num_mel_bins"); },
                "'features.num_mel_bins' is missing");
}

TEST(TopologyTest, RefusesWrongTypesByPath) {
  ExpectRefused([](json* t) { (*t)["name"] = 5; }, "'name' must be a string");
  ExpectRefused([](json* t) { (*t)["name"] = ""; }, "'name' must not be empty");
  ExpectRefused([](json* t) { (*t)["layers"] = json::array(); }, "'layers' must be a list");
  ExpectRefused([](json* t) { (*t)["layers"][0] = 5; }, "'layers[0]' must be an object");
  ExpectRefused([](json* t) { (*t)["layers"][0]["cells"] = "6"; }, "'layers[0].cells'");
  ExpectRefused([](json* t) { (*t)["layers"][0]["cells"] = 6.5; }, "'layers[0].cells'");
  ExpectRefused([](json* t) { (*t)["layers"][0]["cells"] = 0; }, "from 1 to 65536");
  ExpectRefused([](json* t) { (*t)["layers"][0]["cells"] = UINT64_MAX; }, "from 1 to 65536");
  ExpectRefused([](json* t) { (*t)["layers"][0]["projection"] = -1; }, "'layers[0].projection'");
  ExpectRefused([](json* t) { (*t)["layers"][0]["peepholes"] = 1; }, "true or false");
  ExpectRefused([](json* t) { (*t)["layers"][0]["g"] = "relu"; }, "\"tanh\" or \"sigmoid\"");
  ExpectRefused([](json* t) { (*t)["output"] = json::array(); }, "'output' must be an object");
  ExpectRefused([](json* t) { (*t)["output"] = nullptr; }, "'output' must be an object");
  ExpectRefused([](json* t) { (*t)["output"]["units"] = json::array(); }, "'output.units'");
  ExpectRefused([](json* t) { (*t)["output"]["units"][1] = ""; }, "'output.units'");
  ExpectRefused([](json* t) { (*t)["output"]["units"][1] = 3; }, "'output.units'");
  ExpectRefused([](json* t) { (*t)["output"]["blank"] = 2; }, "'output.blank' must be");
  ExpectRefused([](json* t) { (*t)["features"]["preemphasis"] = "0.97"; },
                "'features.preemphasis' must be a number");
  ExpectRefused([](json* t) { (*t)["training"] = "none"; }, "'training' must be an object");
}

TEST(TopologyTest, RefusesSizesThatDoNotFit) {
  ExpectRefused([](json* t) { (*t)["layers"][1]["input"] = 6; },
                "'layers[1].input' is 6 but the layer before it has 3 outputs");
  ExpectRefused([](json* t) { (*t)["features"]["stack"] = 3; },
                "5 x 3 = 15 values a frame but 'layers[0].input' is 10");
}

TEST(TopologyTest, RefusesFeaturesThatCannotBeComputed) {
  ExpectRefused([](json* t) { (*t)["features"]["low_freq_hz"] = 5000; }, "'features': ");
  ExpectRefused([](json* t) { (*t)["features"]["frame_length_ms"] = -1; }, "'features': ");
}

}  // namespace
}  // namespace ese
