// SPDX-License-Identifier: Apache-2.0
// ONNX models for the tests of this folder: a golden one, and changes to it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "compiler/files.h"
#include "compiler/network.h"
#include "gtest/gtest.h"
#include "onnx/onnx.pb.h"

namespace ese {

// The folder of the golden files, with a final slash.
std::string OnnxFolder();

template <typename Message>
Message ReadOnnxMessage(const std::string& path) {
  Message message;
  EXPECT_TRUE(message.ParseFromString(*ReadFile(OnnxFolder() + path))) << path;
  return message;
}

absl::StatusOr<ImportedNetwork> Import(const onnx::ModelProto& model);

// Two layers, x0 -> lstm0 -> squeeze0 -> lstm1 -> squeeze1 -> output, and peepholes in the first
// (tests/golden/compiler/onnx).
onnx::ModelProto PeepholesModel();
// Expects that an imported peepholes model gives the golden logits.
void ExpectPeepholesLogits(const absl::StatusOr<ImportedNetwork>& imported);
// Changes the peepholes model, expects that it is refused, and returns the message.
std::string Refusal(const std::function<void(onnx::ModelProto&)>& change);

// The node or initializer of this name. The test fails if there is none.
onnx::NodeProto& Node(onnx::ModelProto& model, const std::string& name);
onnx::TensorProto& Tensor(onnx::ModelProto& model, const std::string& name);
std::vector<float> Floats(const onnx::TensorProto& tensor);

void AddTensor(onnx::ModelProto& model, const std::string& name, const std::vector<int64_t>& shape,
               const std::vector<float>& values);
// A list of integers as an initializer, or a single one without dimensions.
void AddIntegers(onnx::ModelProto& model, const std::string& name,
                 const std::vector<int64_t>& values);
void AddInteger(onnx::ModelProto& model, const std::string& name, int64_t value);
// A node with the name "added".
onnx::NodeProto& AddNode(onnx::ModelProto& model, const std::string& type,
                         const std::vector<std::string>& inputs, const std::string& output);
void SetInteger(onnx::NodeProto& node, const std::string& name, int64_t value);
void SetIntegers(onnx::NodeProto& node, const std::string& name,
                 const std::vector<int64_t>& values);
void SetFloat(onnx::NodeProto& node, const std::string& name, float value);
void SetText(onnx::NodeProto& node, const std::string& name, const std::string& value);

}  // namespace ese
