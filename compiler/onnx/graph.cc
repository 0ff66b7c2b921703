// SPDX-License-Identifier: Apache-2.0
#include "compiler/onnx/graph.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "compiler/safetensors.h"
#include "compiler/small_floats.h"

namespace ese {
namespace {

using onnx::NodeProto;
using onnx::TensorProto;

// The number of elements, or nothing for an empty tensor or one larger than any file.
std::optional<uint64_t> Elements(const TensorProto& tensor) {
  uint64_t product = 1;
  for (const int64_t size : tensor.dims()) {
    if (size <= 0 || __builtin_mul_overflow(product, static_cast<uint64_t>(size), &product)) {
      return std::nullopt;
    }
  }
  return product;
}

// The elements of a raw tensor, or of the typed list that stores them otherwise.
template <typename T, typename List>
std::vector<T> Values(const TensorProto& tensor, const List& list) {
  if (!tensor.has_raw_data()) return std::vector<T>(list.begin(), list.end());
  std::vector<T> values(tensor.raw_data().size() / sizeof(T));
  if (values.empty()) return values;
  std::memcpy(values.data(), tensor.raw_data().data(), values.size() * sizeof(T));
  return values;
}

absl::StatusOr<std::vector<float>> FloatValues(const TensorProto& tensor) {
  std::vector<float> floats;
  const auto convert = [&](const auto& values, auto to_float) {
    floats.reserve(values.size());
    for (const auto value : values) floats.push_back(to_float(value));
  };
  switch (tensor.data_type()) {
    case TensorProto::FLOAT:
      return Values<float>(tensor, tensor.float_data());
    case TensorProto::DOUBLE:
      convert(Values<double>(tensor, tensor.double_data()),
              [](double value) { return static_cast<float>(value); });
      return floats;
    case TensorProto::FLOAT16:
      convert(Values<uint16_t>(tensor, tensor.int32_data()), FromHalf);
      return floats;
    case TensorProto::BFLOAT16:
      convert(Values<uint16_t>(tensor, tensor.int32_data()), FromBfloat16);
      return floats;
    default:
      return absl::InvalidArgumentError(absl::StrCat(
          "tensor '", tensor.name(), "' is of the ONNX data type ", tensor.data_type(),
          ", not of floating-point numbers; export the model in float, not quantized"));
  }
}

absl::Status CheckStored(const TensorProto& tensor) {
  if (tensor.data_location() != TensorProto::EXTERNAL) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("tensor '", tensor.name(),
                                                 "' is in another file; save the model as one file "
                                                 "(onnx.save with save_as_external_data=False)"));
}

// `name` is what error messages call the tensor.
absl::StatusOr<OnnxTensor> ReadTensor(const TensorProto& tensor, const std::string& name) {
  ESE_RETURN_IF_ERROR(CheckStored(tensor));
  OnnxTensor result;
  result.shape.assign(tensor.dims().begin(), tensor.dims().end());
  ESE_ASSIGN_OR_RETURN(result.values, FloatValues(tensor));
  if (Elements(tensor) != uint64_t{result.values.size()}) {
    return absl::InvalidArgumentError(
        absl::StrCat("tensor '", name, "' has the shape ", ShapeText(result.shape), " but ",
                     result.values.size(), " values; the file is damaged"));
  }
  for (size_t k = 0; k < result.values.size(); ++k) {
    if (std::isfinite(result.values[k])) continue;
    return absl::InvalidArgumentError(absl::StrCat("tensor '", name, "' has ", result.values[k],
                                                   " as its value ", k,
                                                   "; the training failed or the file is damaged"));
  }
  return result;
}

// True for nodes whose outputs contain only elements of their first input.
bool OnlyMovesElements(const NodeProto& node) {
  static const auto* const kTypes =
      new std::set<std::string>{"Cast",  "Expand", "Gather",  "Identity",  "Reshape",
                                "Slice", "Split",  "Squeeze", "Transpose", "Unsqueeze"};
  return kTypes->count(node.op_type()) > 0;
}

// A Constant's value is a tensor or, since opset 12, one of several plain attributes. Converts a
// plain attribute to a tensor.
void GiveTensor(NodeProto* constant) {
  TensorProto tensor;
  for (const onnx::AttributeProto& attribute : constant->attribute()) {
    const std::string& name = attribute.name();
    if (name == "value_float" || name == "value_floats") {
      tensor.set_data_type(TensorProto::FLOAT);
      if (name == "value_float") tensor.add_float_data(attribute.f());
      tensor.mutable_float_data()->MergeFrom(attribute.floats());
    } else if (name == "value_int" || name == "value_ints") {
      tensor.set_data_type(TensorProto::INT64);
      if (name == "value_int") tensor.add_int64_data(attribute.i());
      tensor.mutable_int64_data()->MergeFrom(attribute.ints());
    } else {
      continue;
    }
    if (name.back() == 's') tensor.add_dims(attribute.floats_size() + attribute.ints_size());
    onnx::AttributeProto* value = constant->add_attribute();
    value->set_name("value");
    *value->mutable_t() = std::move(tensor);
    return;
  }
}

// True if a Transpose of two dimensions swaps them.
bool Swaps(const NodeProto& transpose) {
  const auto* perm = FindAttribute(transpose, "perm");
  return perm == nullptr || perm->ints_size() != 2 || perm->ints(0) != 0;
}

absl::StatusOr<OnnxTensor> Transposed(OnnxTensor from) {
  if (from.shape.size() != 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("a weight of shape ", ShapeText(from.shape),
                     " is transposed; export with constant folding (do_constant_folding=True)"));
  }
  const auto rows = static_cast<size_t>(from.shape[0]);
  const auto columns = static_cast<size_t>(from.shape[1]);
  OnnxTensor to;
  to.shape = {from.shape[1], from.shape[0]};
  to.values.resize(from.values.size());
  for (size_t r = 0; r < rows; ++r) {
    for (size_t c = 0; c < columns; ++c) to.values[c * rows + r] = from.values[r * columns + c];
  }
  return to;
}

}  // namespace

std::string OnnxType(const NodeProto& node) {
  if (node.domain().empty() || node.domain() == "ai.onnx") return node.op_type();
  return absl::StrCat(node.domain(), ".", node.op_type());
}

bool IsFloatCast(const NodeProto& node) {
  const auto* to = FindAttribute(node, "to");
  const int64_t type = to == nullptr ? 0 : to->i();
  return OnnxType(node) == "Cast" &&
         (type == TensorProto::FLOAT || type == TensorProto::DOUBLE ||
          type == TensorProto::FLOAT16 || type == TensorProto::BFLOAT16);
}

const onnx::AttributeProto* FindAttribute(const NodeProto& node, const std::string& name) {
  for (const auto& attribute : node.attribute()) {
    if (attribute.name() == name) return &attribute;
  }
  return nullptr;
}

std::string InputOf(const NodeProto& node, int index) {
  return index < node.input_size() ? node.input(index) : "";
}

absl::StatusOr<OnnxGraph> OnnxGraph::Parse(const std::string& bytes) {
  OnnxGraph graph;
  graph.model_ = std::make_unique<onnx::ModelProto>();
  if (!graph.model_->ParseFromString(bytes) || graph.proto().node_size() == 0) {
    return absl::InvalidArgumentError(
        "not an ONNX model, or cut off; check it with onnx.checker.check_model");
  }
  ESE_RETURN_IF_ERROR(graph.Index());
  return graph;
}

absl::Status OnnxGraph::Index() {
  const auto twice = [](absl::string_view what, const std::string& name) {
    return absl::InvalidArgumentError(
        absl::StrCat("two ", what, " have the name '", name,
                     "'; check the model with onnx.checker.check_model and export it again"));
  };
  for (const TensorProto& tensor : proto().initializer()) {
    if (!initializers_.emplace(tensor.name(), &tensor).second)
      return twice("tensors", tensor.name());
  }
  for (NodeProto& node : *model_->mutable_graph()->mutable_node()) {
    if (node.op_type() == "Constant") GiveTensor(&node);
    for (const std::string& output : node.output()) {
      if (output.empty() || producers_.emplace(output, &node).second) continue;
      return twice("outputs of nodes", output);
    }
  }
  return absl::OkStatus();
}

int64_t OnnxGraph::Opset() const {
  for (const auto& opset : model_->opset_import()) {
    if (opset.domain().empty() || opset.domain() == "ai.onnx") return opset.version();
  }
  return 1;
}

std::string OnnxGraph::Describe(const NodeProto& node) const {
  const std::string type = OnnxType(node);
  if (!node.name().empty()) return absl::StrCat("node '", node.name(), "' (", type, ")");
  int index = 0;
  while (&proto().node(index) != &node) ++index;
  return absl::StrCat("node ", index, " (", type, ")");
}

const NodeProto* OnnxGraph::Producer(const std::string& value) const {
  const auto it = producers_.find(value);
  return it == producers_.end() ? nullptr : it->second;
}

bool OnnxGraph::IsInput(const std::string& value) const {
  if (initializers_.count(value) > 0) return false;
  return std::any_of(proto().input().begin(), proto().input().end(),
                     [&](const auto& input) { return input.name() == value; });
}

std::vector<int64_t> OnnxGraph::InputShape(const std::string& value) const {
  std::vector<int64_t> shape;
  for (const auto& input : proto().input()) {
    if (input.name() != value) continue;
    for (const auto& dim : input.type().tensor_type().shape().dim()) {
      shape.push_back(dim.has_dim_value() && dim.dim_value() > 0 ? dim.dim_value() : -1);
    }
  }
  return shape;
}

const TensorProto* OnnxGraph::FindTensor(const std::string& value) const {
  const auto it = initializers_.find(value);
  if (it != initializers_.end()) return it->second;
  const NodeProto* node = Producer(value);
  if (node == nullptr || node->op_type() != "Constant") return nullptr;
  const auto* attribute = FindAttribute(*node, "value");
  return attribute != nullptr && attribute->has_t() ? &attribute->t() : nullptr;
}

std::string OnnxGraph::Origin(const std::string& value) const {
  std::string origin = value;
  // A graph has no cycles, but a file may.
  for (int left = proto().node_size(); left > 0; --left) {
    const NodeProto* node = Producer(origin);
    if (node == nullptr || !OnlyMovesElements(*node)) break;
    origin = InputOf(*node, 0);
  }
  return origin;
}

bool OnnxGraph::IsConstant(const std::string& value) const {
  return FindTensor(Origin(value)) != nullptr;
}

bool OnnxGraph::IsZero(const std::string& value) const {
  const TensorProto* tensor = FindTensor(value);
  const NodeProto* node = Producer(value);
  if (tensor == nullptr && node != nullptr && node->op_type() == "ConstantOfShape") {
    const auto* attribute = FindAttribute(*node, "value");
    if (attribute == nullptr) return true;
    tensor = &attribute->t();
  }
  if (tensor == nullptr || !CheckStored(*tensor).ok()) return false;
  const auto values = FloatValues(*tensor);
  return values.ok() && std::all_of(values->begin(), values->end(), [](float v) { return v == 0; });
}

absl::StatusOr<OnnxTensor> OnnxGraph::Floats(const std::string& value) const {
  bool transposed = false;
  ESE_ASSIGN_OR_RETURN(const std::string name, StoredName(value, &transposed));
  const TensorProto* tensor = FindTensor(name);
  if (tensor == nullptr) return NoTensor(name);
  ESE_ASSIGN_OR_RETURN(OnnxTensor result, ReadTensor(*tensor, name));
  if (!transposed) return result;
  return Transposed(std::move(result));
}

// The name of the tensor that stores a weight, or of the value where the chain of nodes ends.
absl::StatusOr<std::string> OnnxGraph::StoredName(const std::string& value,
                                                  bool* transposed) const {
  std::string name = value;
  for (int left = proto().node_size(); left > 0 && FindTensor(name) == nullptr; --left) {
    const NodeProto* node = Producer(name);
    if (node == nullptr) break;
    const std::string& type = node->op_type();
    if (type == "Transpose") {
      if (Swaps(*node)) *transposed = !*transposed;
    } else if (type != "Identity" && type != "Unsqueeze" && type != "Squeeze" &&
               !IsFloatCast(*node)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the weight '", value, "' is computed by ", Describe(*node),
          type == "DequantizeLinear"
              ? "; export the model in float, not quantized"
              : "; export with constant folding (do_constant_folding=True, opset 9 or later)"));
    }
    name = InputOf(*node, 0);
  }
  return name;
}

absl::Status OnnxGraph::NoTensor(const std::string& value) const {
  for (const onnx::SparseTensorProto& tensor : proto().sparse_initializer()) {
    if (tensor.values().name() != value) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "tensor '", value, "' is a sparse initializer; save it with its zeros, as a dense one"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("there is no initializer '", value,
                   "'; export the weights with the model (export_params=True)"));
}

absl::StatusOr<std::vector<int64_t>> OnnxGraph::AttributeOrInput(const NodeProto& node,
                                                                 const std::string& name,
                                                                 int input) const {
  const auto* attribute = FindAttribute(node, name);
  if (attribute != nullptr) {
    return std::vector<int64_t>(attribute->ints().begin(), attribute->ints().end());
  }
  if (InputOf(node, input).empty()) return std::vector<int64_t>();
  return Integers(InputOf(node, input));
}

absl::StatusOr<std::vector<int64_t>> OnnxGraph::Integers(const std::string& value) const {
  const TensorProto* tensor = FindTensor(value);
  if (tensor != nullptr && CheckStored(*tensor).ok()) {
    if (tensor->data_type() == TensorProto::INT64) {
      return Values<int64_t>(*tensor, tensor->int64_data());
    }
    if (tensor->data_type() == TensorProto::INT32) {
      const auto values = Values<int32_t>(*tensor, tensor->int32_data());
      return std::vector<int64_t>(values.begin(), values.end());
    }
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "'", value, "' is not a constant list of integers; export with constant shapes"));
}

std::optional<int64_t> OnnxGraph::LastLength(const std::string& value) const {
  std::vector<int64_t> shape;
  const NodeProto* node = Producer(value);
  if (const TensorProto* tensor = FindTensor(value)) {
    shape.assign(tensor->dims().begin(), tensor->dims().end());
  } else if (node == nullptr) {
    shape = InputShape(value);
  } else if (node->op_type() == "ConstantOfShape") {
    // The shape is a list, or joined from lists. The last of them ends it.
    std::string list = InputOf(*node, 0);
    const NodeProto* joined = Producer(list);
    if (joined != nullptr && joined->op_type() == "Concat" && joined->input_size() > 0) {
      list = joined->input(joined->input_size() - 1);
    }
    shape = Integers(list).value_or(std::vector<int64_t>());
  }
  if (shape.empty() || shape.back() < 1) return std::nullopt;
  return shape.back();
}

bool OnnxGraph::IsScalar(const std::string& value) const {
  const TensorProto* tensor = FindTensor(value);
  return tensor != nullptr && tensor->dims_size() == 0;
}

}  // namespace ese
