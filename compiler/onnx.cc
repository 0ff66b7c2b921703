#include "compiler/onnx.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "compiler/onnx_axes.h"
#include "compiler/onnx_graph.h"

namespace ese {
namespace {

using onnx::NodeProto;

constexpr int kMaxSize = 1 << 16;

// Our pre-activations are in [-16, 16), so that a clip there or beyond adds nothing.
constexpr float kLeastClip = 16;

class OnnxImporter {
 public:
  explicit OnnxImporter(OnnxGraph graph) : graph_(std::move(graph)) {}

  // From the graph's first output up to its input.
  absl::StatusOr<ImportedNetwork> Import();

 private:
  // Each moves `value` up to what the layer reads.
  absl::Status ReadOutput(std::string* value);
  absl::Status ReadLayers(std::string* value);

  absl::Status ReadAffine(const NodeProto& node);
  absl::Status AddBias(const NodeProto& node, const std::string& value, float factor);
  absl::StatusOr<BasicNetworkLayer<DenseMatrix>> ReadLstm(const NodeProto& node);
  absl::Status CheckLstm(const NodeProto& node, GActivation* g);
  absl::Status CheckActivations(const NodeProto& node, GActivation* g) const;
  absl::Status CheckStart(const NodeProto& node, int input);
  absl::Status ReadPeepholes(const NodeProto& node, BasicNetworkLayer<DenseMatrix>* layer);
  absl::Status CheckAxes(const NodeProto& from, int channels, const NodeProto* to) const;

  absl::StatusOr<std::vector<float>> Tensor(const NodeProto& node, int input,
                                            const std::vector<int64_t>& shape) const;
  template <typename... Parts>
  absl::Status Refuse(const NodeProto& node, const Parts&... what) const {
    return absl::InvalidArgumentError(absl::StrCat(graph_.Describe(node), ": ", what...));
  }

  const OnnxGraph graph_;
  ImportedNetwork imported_;
  std::vector<const NodeProto*> shape_nodes_;  // below the layer being looked for, the last first
};

absl::StatusOr<ImportedNetwork> OnnxImporter::Import() {
  if (graph_.proto().output_size() == 0) {
    return absl::InvalidArgumentError("the graph has no output");
  }
  std::string value = graph_.proto().output(0).name();
  ESE_RETURN_IF_ERROR(ReadOutput(&value));
  ESE_RETURN_IF_ERROR(ReadLayers(&value));
  DenseNetwork& network = imported_.network;
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
    const std::string& type = node->op_type();
    if (type == "Gemm" || type == "MatMul") {
      *value = InputOf(*node, 0);
      return ReadAffine(*node);
    }
    if (type == "Add" && output.bias.empty()) {
      const int constant = graph_.IsConstant(InputOf(*node, 0)) ? 0 : 1;
      ESE_RETURN_IF_ERROR(AddBias(*node, InputOf(*node, constant), 1));
      *value = InputOf(*node, 1 - constant);
    } else if (IsShapeNode(*node) ||
               ((type == "Softmax" || type == "LogSoftmax") && output.bias.empty())) {
      *value = InputOf(*node, 0);
    } else {
      return Refuse(*node,
                    "is not supported in the output layer, which is Gemm, or MatMul and Add, "
                    "and optionally Softmax or LogSoftmax; name the logits as the first "
                    "output of the graph");
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat("the first output, '", graph_.proto().output(0).name(),
                   "', does not come from a Gemm or MatMul; a model needs an output layer"));
}

absl::Status OnnxImporter::AddBias(const NodeProto& node, const std::string& value, float factor) {
  auto tensor = graph_.Floats(value);
  if (!tensor.ok()) return Refuse(node, tensor.status().message());
  std::vector<double>& bias = imported_.network.output.bias;
  for (const float v : tensor->values) bias.push_back(double{factor} * double{v});
  return absl::OkStatus();
}

absl::Status OnnxImporter::ReadAffine(const NodeProto& node) {
  const auto integer = [&](const char* name) {
    const auto* attribute = FindAttribute(node, name);
    return attribute == nullptr ? int64_t{0} : attribute->i();
  };
  const auto factor = [&](const char* name) {
    const auto* attribute = FindAttribute(node, name);
    return attribute == nullptr ? 1.0f : attribute->f();
  };
  auto weight = graph_.Floats(InputOf(node, 1));
  if (!weight.ok()) return Refuse(node, weight.status().message());
  if (weight->shape.size() != 2 || integer("transA") != 0) {
    return Refuse(node, "has to multiply its first input, not transposed, by a constant matrix");
  }
  const bool is_rows = integer("transB") != 0;  // otherwise [columns, rows]
  const int64_t rows = weight->shape[is_rows ? 0 : 1];
  const int64_t columns = weight->shape[is_rows ? 1 : 0];
  if (rows < 1 || columns < 1 || rows > kMaxSize || columns > kMaxSize) {
    return Refuse(node, "its matrix of ", rows, " x ", columns, " is empty or too large");
  }
  DenseMatrix& output = imported_.network.output;
  output.name = {InputOf(node, 1), "--density-output"};
  output.rows = static_cast<int>(rows);
  output.columns = static_cast<int>(columns);
  output.weights.reserve(weight->values.size());
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      output.weights.push_back(factor("alpha") *
                               weight->values[is_rows ? r * columns + c : c * rows + r]);
    }
  }
  if (node.op_type() == "Gemm" && !InputOf(node, 2).empty()) {
    if (!output.bias.empty()) return Refuse(node, "has a bias, and an Add follows; join them");
    ESE_RETURN_IF_ERROR(AddBias(node, InputOf(node, 2), factor("beta")));
  }
  if (output.bias.size() == 1) output.bias.assign(rows, output.bias[0]);  // broadcast
  if (output.bias.empty()) output.bias.assign(rows, 0.0);
  if (static_cast<int64_t>(output.bias.size()) != rows) {
    return Refuse(node, "has ", rows, " outputs but a bias of ", output.bias.size(), " values");
  }
  return absl::OkStatus();
}

absl::Status OnnxImporter::ReadLayers(std::string* value) {
  auto& layers = imported_.network.layers;
  const NodeProto* reader = nullptr;  // the LSTM that reads the value, or the output layer
  int reader_inputs = imported_.network.output.columns;
  for (int left = graph_.proto().node_size(); left > 0; --left) {
    const NodeProto* node = graph_.Producer(*value);
    if (node == nullptr) break;
    if (IsShapeNode(*node)) {
      shape_nodes_.push_back(node);
    } else if (node->op_type() == "LSTM" && node->domain().empty()) {
      if (*value != node->output(0)) {
        return Refuse(*node,
                      "its output Y_h or Y_c, the state after the last frame, is read; a "
                      "stream needs Y, the output of every frame");
      }
      ESE_ASSIGN_OR_RETURN(auto layer, ReadLstm(*node));
      if (layer.topology.outputs() != reader_inputs) {
        return Refuse(*node, "has ", layer.topology.outputs(), " outputs but what reads them has ",
                      reader_inputs, " inputs");
      }
      ESE_RETURN_IF_ERROR(CheckAxes(*node, layer.topology.cells, reader));
      shape_nodes_.clear();
      reader = node;
      reader_inputs = layer.topology.inputs;
      layers.insert(layers.begin(), std::move(layer));
    } else {
      return Refuse(*node,
                    "is not supported; between the graph's input and its output layer there may be "
                    "forward LSTMs and nodes that change shapes. Give a normalisation of the input "
                    "in the topology (\"input\"), and take all else out of the export");
    }
    *value = InputOf(*node, 0);
  }
  if (layers.empty()) return absl::InvalidArgumentError("the graph has no LSTM before its output");
  if (graph_.IsInput(*value)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "the layers read '", *value, "', which is not an input of the graph; export it again"));
}

// The axes of an LSTM's Y, through the nodes before the next LSTM or the output layer.
absl::Status OnnxImporter::CheckAxes(const NodeProto& from, int channels,
                                     const NodeProto* to) const {
  const auto batch_first = [](const NodeProto& lstm) {
    const auto* layout = FindAttribute(lstm, "layout");
    return layout != nullptr && layout->i() == 1;
  };
  OnnxAxes axes = batch_first(from) ? "BTDC" : "TDBC";
  for (auto node = shape_nodes_.rbegin(); node != shape_nodes_.rend(); ++node) {
    ESE_RETURN_IF_ERROR(ApplyShapeNode(graph_, **node, channels, &axes));
  }
  if (to == nullptr) {
    if (!axes.empty() && axes.back() == 'C') return absl::OkStatus();
    return Refuse(from, "its cells are not the last axis where the output layer reads them");
  }
  std::replace(axes.begin(), axes.end(), 'U', 'B');
  if (axes == (batch_first(*to) ? "BTC" : "TBC")) return absl::OkStatus();
  return Refuse(*to, "does not read time and batch as ", graph_.Describe(from),
                " wrote them; squeeze the axis of directions between them, and transpose as the "
                "attribute 'layout' of both says");
}

absl::StatusOr<std::vector<float>> OnnxImporter::Tensor(const NodeProto& node, int input,
                                                        const std::vector<int64_t>& shape) const {
  auto tensor = graph_.Floats(InputOf(node, input));
  if (!tensor.ok()) return Refuse(node, tensor.status().message());
  if (tensor->shape != shape) {
    return Refuse(node, "'", InputOf(node, input), "' has the shape ", ShapeText(tensor->shape),
                  " but has to have ", ShapeText(shape));
  }
  return std::move(tensor->values);
}

absl::Status OnnxImporter::CheckActivations(const NodeProto& node, GActivation* g) const {
  const auto* attribute = FindAttribute(node, "activations");
  if (attribute == nullptr) return absl::OkStatus();
  std::vector<std::string> names;
  for (const std::string& name : attribute->strings()) {
    names.push_back(absl::AsciiStrToLower(name));
  }
  const bool is_sigmoid = names == std::vector<std::string>{"sigmoid", "sigmoid", "tanh"};
  if (!is_sigmoid && names != std::vector<std::string>{"sigmoid", "tanh", "tanh"}) {
    return Refuse(node, "has the activations ", absl::StrJoin(attribute->strings(), ", "),
                  "; Sigmoid, Tanh, Tanh and Sigmoid, Sigmoid, Tanh are supported");
  }
  if (is_sigmoid) *g = GActivation::kSigmoid;
  return absl::OkStatus();
}

absl::Status OnnxImporter::CheckLstm(const NodeProto& node, GActivation* g) {
  const auto* direction = FindAttribute(node, "direction");
  if (direction != nullptr && direction->s() != "forward") {
    return Refuse(node, "its direction is ", direction->s(),
                  ", which needs the end of an utterance before its beginning is answered; train a "
                  "forward LSTM");
  }
  ESE_RETURN_IF_ERROR(CheckActivations(node, g));
  const auto* clip = FindAttribute(node, "clip");
  if (clip != nullptr && clip->f() > 0 && clip->f() < kLeastClip) {
    return Refuse(node, "has a clip of ", clip->f(), "; only none, or at least ", kLeastClip,
                  ", is supported");
  }
  const auto* coupled = FindAttribute(node, "input_forget");
  if (coupled != nullptr && coupled->i() != 0) {
    return Refuse(node, "couples its input and forget gates (input_forget); train without");
  }
  ESE_RETURN_IF_ERROR(CheckStart(node, 5));
  return CheckStart(node, 6);
}

// Streams start at zero. A state that the graph's caller gives is the state between calls, which is
// the server's business.
absl::Status OnnxImporter::CheckStart(const NodeProto& node, int input) {
  const std::string value = InputOf(node, input);
  if (value.empty()) return absl::OkStatus();
  const std::string origin = graph_.Origin(value);
  if (graph_.IsZero(origin)) return absl::OkStatus();
  if (!graph_.IsInput(origin)) {
    return Refuse(node, "starts at '", value,
                  "', which is not zero; streams start at zero, so train and export with that");
  }
  const std::string notice = absl::StrCat("streams start with zeros for the input '", origin, "'");
  auto& notices = imported_.notices;
  if (std::find(notices.begin(), notices.end(), notice) == notices.end()) {
    notices.push_back(notice);
  }
  return absl::OkStatus();
}

// W [1, 4 cells, inputs] and R [1, 4 cells, cells] have the gates i, o, f, c; B is both biases.
absl::StatusOr<BasicNetworkLayer<DenseMatrix>> OnnxImporter::ReadLstm(const NodeProto& node) {
  BasicNetworkLayer<DenseMatrix> layer;
  LayerTopology& topology = layer.topology;
  ESE_RETURN_IF_ERROR(CheckLstm(node, &topology.g_activation));
  auto input = graph_.Floats(InputOf(node, 1));
  if (!input.ok()) return Refuse(node, input.status().message());
  const std::vector<int64_t>& shape = input->shape;
  if (shape.size() != 3 || shape[0] != 1 || shape[1] < 4 || shape[1] % 4 != 0 || shape[2] < 1 ||
      shape[1] > 4 * kMaxSize || shape[2] > kMaxSize) {
    return Refuse(node, "'", InputOf(node, 1), "' has the shape ", ShapeText(shape),
                  " but has to have [1, 4 * cells, inputs]");
  }
  topology.cells = static_cast<int>(shape[1] / 4);
  topology.inputs = static_cast<int>(shape[2]);
  topology.prefix = absl::StrCat(node.name().empty() ? "LSTM" : node.name(), ".");
  const int64_t rows = shape[1];
  ESE_ASSIGN_OR_RETURN(const auto recurrent, Tensor(node, 2, {1, rows, topology.cells}));
  std::vector<double> bias(rows, 0.0);
  if (!InputOf(node, 3).empty()) {
    ESE_ASSIGN_OR_RETURN(const auto both, Tensor(node, 3, {1, 2 * rows}));
    for (int64_t r = 0; r < rows; ++r) bias[r] = double{both[r]} + double{both[rows + r]};
  }
  layer.gates = JoinGates({absl::StrCat(InputOf(node, 1), " | ", InputOf(node, 2)),
                           "--density-gates", topology.cells, kOnnxGates},
                          input->values, recurrent, bias);
  ESE_RETURN_IF_ERROR(ReadPeepholes(node, &layer));
  return layer;
}

// P [1, 3 cells] is for i, o, f.
absl::Status OnnxImporter::ReadPeepholes(const NodeProto& node,
                                         BasicNetworkLayer<DenseMatrix>* layer) {
  if (InputOf(node, 7).empty()) return absl::OkStatus();
  const int cells = layer->topology.cells;
  ESE_ASSIGN_OR_RETURN(const auto values, Tensor(node, 7, {1, int64_t{3} * cells}));
  layer->topology.peepholes = true;
  for (int cell = 0; cell < cells; ++cell) {
    for (const int block : {0, 2, 1}) layer->peepholes.push_back(values[block * cells + cell]);
  }
  return absl::OkStatus();
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
