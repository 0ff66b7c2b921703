// SPDX-License-Identifier: Apache-2.0
#include "compiler/onnx/import.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "compiler/network.h"
#include "compiler/onnx/axes.h"
#include "compiler/onnx/graph.h"
#include "compiler/onnx/lstm.h"
#include "compiler/onnx/tail.h"
#include "compiler/onnx/unsupported.h"
#include "compiler/safetensors.h"

namespace ese {
namespace {

using onnx::NodeProto;

constexpr size_t kMaxInputAxes = 5;  // axes of the graph's input

int64_t IntegerAttribute(const NodeProto& node, const char* name) {
  const auto* attribute = FindAttribute(node, name);
  return attribute == nullptr ? 0 : attribute->i();
}

// Gemm's alpha or beta.
float FactorAttribute(const NodeProto& node, const char* name) {
  const auto* attribute = FindAttribute(node, name);
  return attribute == nullptr ? 1.0f : attribute->f();
}

// True if the LSTM can read a value with these axes as its X.
bool CanRead(const NodeProto& lstm, OnnxAxes axes) {
  std::replace(axes.begin(), axes.end(), 'U', 'B');
  return axes == (IsBatchFirst(lstm) ? "BTC" : "TBC");
}

bool IsAnySoftmax(const NodeProto* node) { return IsSoftmax(*node); }

class OnnxImporter {
 public:
  explicit OnnxImporter(OnnxGraph graph) : graph_(std::move(graph)) {}

  // Walks from the graph's first output up to its input.
  absl::StatusOr<ImportedNetwork> Import();

 private:
  // Each reads its layers and moves `value` up to what the lowest of them reads.
  absl::Status ReadOutput(std::string* value);
  absl::Status ReadLayers(std::string* value);

  absl::Status ReadAffine(const NodeProto& node);
  absl::Status ReadOutputWeights(const NodeProto& node);
  absl::Status AddBias(const NodeProto& node, const std::string& value, float factor);
  absl::Status FinishBias(const NodeProto& node);
  // The index of the constant input of an Add.
  int ConstantInput(const NodeProto& node) const;
  absl::Status ReadLayer(const NodeProto& lstm, const std::string& value);
  void PutInOrderOfExecution();
  absl::Status FollowInput(const std::string& input);
  bool AssignAxes(const std::string& input, const std::vector<int64_t>& shape);
  bool JoinsFrames(const std::vector<int64_t>& shape, const NodeProto* regroups) const;
  absl::Status FollowOutputs(size_t layer);
  absl::Status FollowOutputLayer(const OnnxAxes& axes);
  absl::Status CheckStates(const std::string& input) const;
  absl::Status CheckLengths(const NodeProto& lstm, const std::string& input) const;

  // An LSTM and the shape nodes through which it reads the LSTM before it, or the graph's input.
  struct Reader {
    const NodeProto* lstm = nullptr;  // null for the output layer
    std::vector<const NodeProto*> shape_nodes;
  };

  const OnnxGraph graph_;
  ImportedNetwork imported_;
  const NodeProto* product_ = nullptr;  // of the output layer
  std::vector<const NodeProto*> tail_;  // the nodes behind the product
  std::vector<Reader> readers_;         // [layers + 1]
  KnownAxes axes_;
};

absl::StatusOr<ImportedNetwork> OnnxImporter::Import() {
  if (graph_.proto().output_size() == 0) {
    return absl::InvalidArgumentError("the graph has no output");
  }
  std::string value = graph_.proto().output(0).name();
  ESE_RETURN_IF_ERROR(ReadOutput(&value));
  ESE_RETURN_IF_ERROR(ReadLayers(&value));
  PutInOrderOfExecution();
  DenseNetwork& network = imported_.network;
  ESE_RETURN_IF_ERROR(FollowInput(value));
  for (size_t layer = 0; layer < network.layers.size(); ++layer) {
    ESE_RETURN_IF_ERROR(FollowOutputs(layer));
  }
  ESE_RETURN_IF_ERROR(CheckStates(value));
  for (const auto& layer : network.layers) imported_.topology.layers.push_back(layer.topology);
  imported_.topology.name = graph_.proto().name();
  network.input_mean.assign(network.layers.front().topology.inputs, 0.0f);
  network.input_inv_stddev.assign(network.layers.front().topology.inputs, 1.0f);
  return std::move(imported_);
}

absl::Status OnnxImporter::ReadOutput(std::string* value) {
  DenseMatrix& output = imported_.network.output;
  for (int left = graph_.proto().node_size(); left > 0; --left) {
    const NodeProto* node = graph_.Producer(*value);
    if (node == nullptr) break;
    const std::string type = OnnxType(*node);
    if (type == "Gemm" || type == "MatMul") {
      std::reverse(tail_.begin(), tail_.end());
      product_ = node;
      *value = InputOf(*node, 0);
      return ReadAffine(*node);
    }
    if (type == "Add") {
      const int constant = ConstantInput(*node);
      ESE_RETURN_IF_ERROR(AddBias(*node, InputOf(*node, constant), 1));
      *value = InputOf(*node, 1 - constant);
    } else if (IsShapeNode(graph_, *node) || (IsSoftmax(*node) && output.bias.empty())) {
      if (type == "Softmax" && std::any_of(tail_.begin(), tail_.end(), IsAnySoftmax)) {
        return graph_.Refuse(*node,
                             "another softmax reads its result; take one of them out of the "
                             "network");
      }
      *value = InputOf(*node, 0);
    } else {
      return RefuseUnsupported(graph_, *node,
                               " in the output layer, which is Gemm, or MatMul and Add, "
                               "and optionally Softmax or LogSoftmax; name the logits as the first "
                               "output of the graph");
    }
    tail_.push_back(node);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("the first output, '", graph_.proto().output(0).name(),
                   "', does not come from a Gemm or MatMul; a model needs an output layer"));
}

int OnnxImporter::ConstantInput(const NodeProto& node) const {
  for (const int input : {0, 1}) {
    if (graph_.IsConstant(InputOf(node, input))) return input;
  }
  return graph_.Producer(InputOf(node, 0)) == nullptr ? 0 : 1;  // the weights were not exported
}

absl::Status OnnxImporter::AddBias(const NodeProto& node, const std::string& value, float factor) {
  auto tensor = graph_.Floats(value);
  if (!tensor.ok()) return graph_.Refuse(node, tensor.status().message());
  std::vector<double>& bias = imported_.network.output.bias;
  const size_t size = std::max(bias.size(), tensor->values.size());
  if ((bias.size() > 1 && bias.size() != size) ||
      (tensor->values.size() > 1 && tensor->values.size() != size)) {
    return graph_.Refuse(node, "adds ", tensor->values.size(), " values to ", bias.size());
  }
  if (bias.size() <= 1) bias.resize(size, bias.empty() ? 0.0 : bias[0]);  // broadcast
  for (size_t k = 0; k < size; ++k) {
    bias[k] += double{factor} * double{tensor->values[tensor->values.size() == 1 ? 0 : k]};
  }
  return absl::OkStatus();
}

absl::Status OnnxImporter::ReadAffine(const NodeProto& node) {
  ESE_RETURN_IF_ERROR(ReadOutputWeights(node));
  if (OnnxType(node) == "Gemm" && !InputOf(node, 2).empty()) {
    ESE_RETURN_IF_ERROR(AddBias(node, InputOf(node, 2), FactorAttribute(node, "beta")));
  }
  return FinishBias(node);
}

absl::Status OnnxImporter::ReadOutputWeights(const NodeProto& node) {
  auto weight = graph_.Floats(InputOf(node, 1));
  if (!weight.ok()) return graph_.Refuse(node, weight.status().message());
  if (weight->shape.size() != 2 || IntegerAttribute(node, "transA") != 0) {
    return graph_.Refuse(node,
                         "must multiply its first input, not transposed, by a constant matrix");
  }
  const bool is_rows = IntegerAttribute(node, "transB") != 0;  // otherwise [columns, rows]
  const int64_t rows = weight->shape[is_rows ? 0 : 1];
  const int64_t columns = weight->shape[is_rows ? 1 : 0];
  if (rows < 1 || columns < 1 || rows > kMaxSize || columns > kMaxSize) {
    return graph_.Refuse(node, "its matrix of ", rows, " x ", columns, " is empty or too large");
  }
  DenseMatrix& output = imported_.network.output;
  output.name = {InputOf(node, 1), "--density-output"};
  output.rows = static_cast<int>(rows);
  output.columns = static_cast<int>(columns);
  output.weights.reserve(weight->values.size());
  const float alpha = FactorAttribute(node, "alpha");
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      output.weights.push_back(alpha * weight->values[is_rows ? r * columns + c : c * rows + r]);
    }
  }
  return absl::OkStatus();
}

// Gives every row a bias, now that the number of rows is known.
absl::Status OnnxImporter::FinishBias(const NodeProto& node) {
  const int rows = imported_.network.output.rows;
  std::vector<double>& bias = imported_.network.output.bias;
  if (bias.size() == 1) bias.assign(rows, bias[0]);  // broadcast
  if (bias.empty()) bias.assign(rows, 0.0);
  if (static_cast<int>(bias.size()) != rows) {
    return graph_.Refuse(node, "has ", rows, " outputs but a bias of ", bias.size(), " values");
  }
  return absl::OkStatus();
}

absl::Status OnnxImporter::ReadLayers(std::string* value) {
  readers_.emplace_back();
  for (int left = graph_.proto().node_size(); left > 0; --left) {
    const NodeProto* node = graph_.Producer(*value);
    if (node == nullptr) break;
    if (IsShapeNode(graph_, *node)) {
      readers_.back().shape_nodes.push_back(node);
    } else if (OnnxType(*node) == "LSTM") {
      ESE_RETURN_IF_ERROR(ReadLayer(*node, *value));
    } else {
      return RefuseUnsupported(
          graph_, *node,
          "; between the graph's input and its output layer there may be "
          "forward LSTMs and nodes that change shapes. Give a normalisation of the input "
          "in the topology (\"input\"), and take everything else out of the export");
    }
    *value = InputOf(*node, 0);
  }
  if (imported_.network.layers.empty()) {
    return absl::InvalidArgumentError("the graph has no LSTM before its output");
  }
  if (!graph_.IsInput(*value)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the layers read '", *value, "', which is not an input of the graph; export it again"));
  }
  return absl::OkStatus();
}

// Adds the layer of an LSTM whose output `value` is read.
absl::Status OnnxImporter::ReadLayer(const NodeProto& lstm, const std::string& value) {
  if (value != lstm.output(0)) {
    return graph_.Refuse(lstm,
                         "its output Y_h or Y_c, the state after the last frame, is read; a "
                         "stream needs Y, the output of every frame");
  }
  auto& layers = imported_.network.layers;
  const int reader_inputs =
      layers.empty() ? imported_.network.output.columns : layers.back().topology.inputs;
  ESE_ASSIGN_OR_RETURN(auto layer, ReadOnnxLstm(graph_, lstm, &imported_.notices));
  if (layer.topology.outputs() != reader_inputs) {
    return graph_.Refuse(lstm, "has ", layer.topology.outputs(),
                         " outputs but what reads them has ", reader_inputs, " inputs");
  }
  readers_.push_back({&lstm, {}});
  layers.push_back(std::move(layer));
  return absl::OkStatus();
}

// The walk went from the output to the input.
void OnnxImporter::PutInOrderOfExecution() {
  std::reverse(imported_.network.layers.begin(), imported_.network.layers.end());
  std::reverse(readers_.begin(), readers_.end());
  for (Reader& reader : readers_) {
    std::reverse(reader.shape_nodes.begin(), reader.shape_nodes.end());
  }
}

// Finds the assignment of letters to the axes of the graph's input that the first LSTM can read. If
// features are joined to frames, these axes stay unknown.
absl::Status OnnxImporter::FollowInput(const std::string& input) {
  const Reader& first = readers_.front();
  const int inputs = imported_.network.layers.front().topology.inputs;
  const NodeProto* regroups = nullptr;
  for (const NodeProto* node : first.shape_nodes) {
    if (OnnxType(*node) != "Reshape" && OnnxType(*node) != "Gather") continue;
    if (regroups == nullptr) regroups = node;
    imported_.notices.push_back(absl::StrCat(graph_.Describe(*node),
                                             " is left out: a frame of the model is the ", inputs,
                                             " values that the first LSTM reads"));
  }
  const std::vector<int64_t> shape = graph_.InputShape(input);
  if (shape.empty() && regroups == nullptr) return absl::OkStatus();
  if (shape.size() >= 2 && shape.size() <= kMaxInputAxes && AssignAxes(input, shape)) {
    return absl::OkStatus();
  }
  if (JoinsFrames(shape, regroups)) return absl::OkStatus();
  return graph_.Refuse(regroups == nullptr ? *first.lstm : *regroups,
                       "it is not certain how the first LSTM reads frames out of '", input,
                       "', whose declared shape is ", ShapeText(shape),
                       "; export with an input of [batch, time, ", inputs, "] or [time, batch, ",
                       inputs, "], and with its shape");
}

// Sets axes_ and returns true if an assignment fits the nodes in front of the first LSTM.
bool OnnxImporter::AssignAxes(const std::string& input, const std::vector<int64_t>& shape) {
  const Reader& first = readers_.front();
  const int inputs = imported_.network.layers.front().topology.inputs;
  OnnxAxes names = shape.size() == 2 ? "CT" : "BCT";
  names.resize(shape.size(), 'U');
  do {
    KnownAxes known;
    OnnxAxes axes = names;
    known.values[input] = {axes, inputs};
    bool fits = true;
    for (size_t k = 0; k < shape.size(); ++k) {
      if (shape[k] <= 0) continue;
      known.lengths[names[k]] = shape[k];
      fits = fits && (names[k] != 'C' || shape[k] == inputs) && (names[k] != 'U' || shape[k] == 1);
    }
    for (const NodeProto* node : first.shape_nodes) {
      const OnnxAxes before = axes;
      fits = fits && ApplyShapeNode(graph_, known, *node, inputs, &axes).ok();
      // A node that picks one element of an open length may pick a stream or a frame.
      const auto batch = known.lengths.find('B');
      const bool picks_of_many = before.size() > axes.size() && before.find('B') < before.size() &&
                                 axes.find('B') == OnnxAxes::npos &&
                                 (batch == known.lengths.end() || batch->second != 1);
      fits = fits && !(OnnxType(*node) == "Gather" && picks_of_many);
      known.values[node->output(0)] = {axes, inputs};
    }
    if (fits && CanRead(*first.lstm, axes)) {
      axes_ = std::move(known);
      return true;
    }
  } while (std::next_permutation(names.begin(), names.end()));
  return false;
}

// True if the first node that moves elements reshapes whole frames side by side to longer frames.
bool OnnxImporter::JoinsFrames(const std::vector<int64_t>& shape, const NodeProto* regroups) const {
  if (regroups == nullptr || shape.empty() || shape.back() < 1) return false;
  const int inputs = imported_.network.layers.front().topology.inputs;
  for (const NodeProto* node : readers_.front().shape_nodes) {
    if (node == regroups) break;
    if (OnnxType(*node) == "Transpose" || OnnxType(*node) == "Unsqueeze") return false;
  }
  return OnnxType(*regroups) == "Reshape" && inputs > shape.back() && inputs % shape.back() == 0;
}

// Follows the axes of an LSTM's Y through the nodes up to the next LSTM or the output layer.
absl::Status OnnxImporter::FollowOutputs(size_t layer) {
  const NodeProto& from = *readers_[layer].lstm;
  const Reader& to = readers_[layer + 1];
  const int channels = imported_.network.layers[layer].topology.cells;
  OnnxAxes axes = IsBatchFirst(from) ? "BTDC" : "TDBC";
  axes_.values[from.output(0)] = {axes, channels};
  for (const NodeProto* node : to.shape_nodes) {
    ESE_RETURN_IF_ERROR(ApplyShapeNode(graph_, axes_, *node, channels, &axes));
    axes_.values[node->output(0)] = {axes, channels};
  }
  if (to.lstm == nullptr) {
    if (!axes.empty() && axes.back() == 'C') return FollowOutputLayer(axes);
    return graph_.Refuse(from, "its cells are not the last axis where the output layer reads them");
  }
  if (CanRead(*to.lstm, axes)) return absl::OkStatus();
  return graph_.Refuse(
      *to.lstm, "does not read time and batch as ", graph_.Describe(from),
      " wrote them; squeeze the axis of directions between them, and transpose as the "
      "attribute 'layout' of both says");
}

// `axes` are those that the product of the output layer reads and writes.
absl::Status OnnxImporter::FollowOutputLayer(const OnnxAxes& axes) {
  const int units = imported_.network.output.rows;
  axes_.values[product_->output(0)] = {axes, units};
  const std::string bias = InputOf(*product_, 2);
  if (OnnxType(*product_) == "Gemm" && !bias.empty()) {
    ESE_ASSIGN_OR_RETURN(const OnnxTensor tensor, graph_.Floats(bias));
    ESE_RETURN_IF_ERROR(CheckBias(graph_, *product_, tensor.shape, axes));
  }
  return FollowTail(graph_, tail_, units, axes, &axes_);
}

// A state that is made of the data is not one that the caller keeps between calls.
absl::Status OnnxImporter::CheckStates(const std::string& input) const {
  for (const Reader& reader : readers_) {
    if (reader.lstm == nullptr) continue;
    ESE_RETURN_IF_ERROR(CheckLengths(*reader.lstm, input));
    for (const int k : {5, 6}) {
      const std::string value = InputOf(*reader.lstm, k);
      if (value.empty() || graph_.Origin(value) != input) continue;
      return graph_.Refuse(*reader.lstm, "starts at '", value, "', which is made of '", input,
                           "', the features that the network reads; streams start at zero, so "
                           "train and export with that");
    }
  }
  return absl::OkStatus();
}

// Behind the end of a sequence, the operator's outputs are zero. A stream has no such end, so the
// lengths must be the caller's, or those of all frames.
absl::Status OnnxImporter::CheckLengths(const NodeProto& lstm, const std::string& input) const {
  const std::string value = InputOf(lstm, 4);
  if (value.empty()) return absl::OkStatus();
  const std::string origin = graph_.Origin(value);
  if (origin != input && graph_.IsInput(origin)) return absl::OkStatus();
  const auto lengths = graph_.Integers(value);
  const auto time = axes_.lengths.find('T');
  if (lengths.ok() && time != axes_.lengths.end() &&
      std::all_of(lengths->begin(), lengths->end(), [&](int64_t n) { return n == time->second; })) {
    return absl::OkStatus();
  }
  return graph_.Refuse(lstm, "its sequence_lens, '", value,
                       "', may end sequences early, but a stream has no end; export without "
                       "lengths, or with lengths that are an input of the graph");
}

}  // namespace

absl::StatusOr<ImportedNetwork> ImportOnnx(const std::string& bytes, const std::string& source) {
  auto graph = OnnxGraph::Parse(bytes);
  absl::StatusOr<ImportedNetwork> imported =
      graph.ok() ? OnnxImporter(*std::move(graph)).Import() : graph.status();
  if (imported.ok()) return imported;
  return absl::Status(imported.status().code(),
                      absl::StrCat(source, ": ", imported.status().message()));
}

}  // namespace ese
