// SPDX-License-Identifier: Apache-2.0
#include "compiler/onnx/lstm.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "compiler/network.h"
#include "compiler/onnx/weights.h"
#include "compiler/safetensors.h"

namespace ese {
namespace {

using onnx::NodeProto;

// Our pre-activations saturate at [-16, 16), so a clip there or beyond changes nothing.
constexpr float kLeastClip = 16;

class OnnxLstmReader {
 public:
  OnnxLstmReader(const OnnxGraph& graph, const NodeProto& node, std::vector<std::string>* notices)
      : graph_(graph), node_(node), notices_(*notices) {}

  absl::StatusOr<BasicNetworkLayer<DenseMatrix>> Read();

 private:
  absl::Status CheckLstm(GActivation* g);
  absl::Status CheckActivations(GActivation* g) const;
  absl::Status CheckStart(int input);
  absl::Status CheckStateSize(int input, int cells) const;
  absl::StatusOr<OnnxTensor> ReadInputWeights() const;
  absl::Status ReadSizes(const std::vector<int64_t>& shape, LayerTopology* topology) const;
  absl::StatusOr<std::vector<double>> ReadBias(int64_t rows) const;
  absl::Status ReadPeepholes(BasicNetworkLayer<DenseMatrix>* layer);
  absl::StatusOr<std::vector<float>> Tensor(int input, const std::vector<int64_t>& shape) const;

  const OnnxGraph& graph_;
  const NodeProto& node_;
  std::vector<std::string>& notices_;
};

absl::StatusOr<std::vector<float>> OnnxLstmReader::Tensor(int input,
                                                          const std::vector<int64_t>& shape) const {
  auto tensor = ReadOnnxWeight(graph_, InputOf(node_, input));
  if (!tensor.ok()) return graph_.Refuse(node_, tensor.status().message());
  if (tensor->shape != shape) {
    return graph_.Refuse(node_, "'", InputOf(node_, input), "' has the shape ",
                         ShapeText(tensor->shape), " but must have ", ShapeText(shape));
  }
  return std::move(tensor->values);
}

absl::Status OnnxLstmReader::CheckActivations(GActivation* g) const {
  const auto* attribute = FindAttribute(node_, "activations");
  if (attribute == nullptr) return absl::OkStatus();
  std::vector<std::string> names;
  for (const std::string& name : attribute->strings()) {
    names.push_back(absl::AsciiStrToLower(name));
  }
  const bool is_sigmoid = names == std::vector<std::string>{"sigmoid", "sigmoid", "tanh"};
  if (!is_sigmoid && names != std::vector<std::string>{"sigmoid", "tanh", "tanh"}) {
    return graph_.Refuse(node_, "has the activations ", absl::StrJoin(attribute->strings(), ", "),
                         "; Sigmoid, Tanh, Tanh and Sigmoid, Sigmoid, Tanh are supported");
  }
  if (is_sigmoid) *g = GActivation::kSigmoid;
  return absl::OkStatus();
}

absl::Status OnnxLstmReader::CheckLstm(GActivation* g) {
  const auto* direction = FindAttribute(node_, "direction");
  if (direction != nullptr && direction->s() != "forward") {
    return graph_.Refuse(
        node_, "its direction is ", direction->s(),
        ", which needs the end of an utterance before its beginning is answered; train a "
        "forward LSTM");
  }
  ESE_RETURN_IF_ERROR(CheckActivations(g));
  const auto* clip = FindAttribute(node_, "clip");
  if (clip != nullptr && clip->f() > 0 && clip->f() < kLeastClip) {
    return graph_.Refuse(node_, "has a clip of ", clip->f(), "; only none, or at least ",
                         kLeastClip, ", is supported");
  }
  const auto* coupled = FindAttribute(node_, "input_forget");
  if (coupled != nullptr && coupled->i() != 0) {
    return graph_.Refuse(node_, "couples its input and forget gates (input_forget); train without");
  }
  ESE_RETURN_IF_ERROR(CheckStart(5));
  return CheckStart(6);
}

// PyTorch's exporter based on torch.export writes nn.LSTM(proj_size=P) without its projection: with
// P cells and the first 4 * P rows of the weights. Only the size of the cells' state still shows
// it.
absl::Status OnnxLstmReader::CheckStateSize(int input, int cells) const {
  const std::string value = InputOf(node_, input);
  const std::optional<int64_t> size = value.empty() ? std::nullopt : graph_.LastLength(value);
  if (!size || *size == cells) return absl::OkStatus();
  return graph_.Refuse(
      node_, input == 5 ? "its initial_h" : "its initial_c", ", '", value, "', has ", *size,
      " values for ", cells,
      " cells, so the graph is not valid. torch.onnx.export loses the projection of "
      "nn.LSTM(proj_size=...); save the weights with ese_prune.export, as safetensors");
}

// Streams start at zero. A state that the graph's caller provides is carried between calls; the
// server does that itself, so such an input is accepted.
absl::Status OnnxLstmReader::CheckStart(int input) {
  const std::string value = InputOf(node_, input);
  if (value.empty()) return absl::OkStatus();
  const std::string origin = graph_.Origin(value);
  if (graph_.IsZero(origin)) return absl::OkStatus();
  if (!graph_.IsInput(origin)) {
    const NodeProto* producer = graph_.IsConstant(value) ? nullptr : graph_.Producer(origin);
    return graph_.Refuse(
        node_, "starts at '", value, "', which is ",
        producer == nullptr ? "not zero" : absl::StrCat("computed by ", graph_.Describe(*producer)),
        "; streams start at zero, so train and export with that (opset 9 or later)");
  }
  const std::string notice = absl::StrCat("streams start with zeros for the input '", origin, "'");
  if (std::find(notices_.begin(), notices_.end(), notice) == notices_.end()) {
    notices_.push_back(notice);
  }
  return absl::OkStatus();
}

absl::StatusOr<BasicNetworkLayer<DenseMatrix>> OnnxLstmReader::Read() {
  BasicNetworkLayer<DenseMatrix> layer;
  LayerTopology& topology = layer.topology;
  ESE_RETURN_IF_ERROR(CheckLstm(&topology.g_activation));
  ESE_ASSIGN_OR_RETURN(const OnnxTensor input, ReadInputWeights());
  ESE_RETURN_IF_ERROR(ReadSizes(input.shape, &topology));
  for (const int state : {5, 6}) ESE_RETURN_IF_ERROR(CheckStateSize(state, topology.cells));
  const int64_t rows = input.shape[1];
  ESE_ASSIGN_OR_RETURN(const auto recurrent, Tensor(2, {1, rows, topology.cells}));
  ESE_ASSIGN_OR_RETURN(const auto bias, ReadBias(rows));
  layer.gates = JoinGates({absl::StrCat(InputOf(node_, 1), " | ", InputOf(node_, 2)),
                           "--density-gates", topology.cells, kOnnxGates},
                          input.values, recurrent, bias);
  ESE_RETURN_IF_ERROR(ReadPeepholes(&layer));
  return layer;
}

// W [1, 4 cells, inputs] and R [1, 4 cells, cells] hold the gates i, o, f, c.
absl::StatusOr<OnnxTensor> OnnxLstmReader::ReadInputWeights() const {
  auto input = ReadOnnxWeight(graph_, InputOf(node_, 1));
  if (!input.ok()) return graph_.Refuse(node_, input.status().message());
  const std::vector<int64_t>& shape = input->shape;
  if (shape.size() != 3 || shape[0] != 1 || shape[1] < 4 || shape[1] % 4 != 0 || shape[2] < 1 ||
      shape[1] > 4 * kMaxSize || shape[2] > kMaxSize) {
    return graph_.Refuse(node_, "'", InputOf(node_, 1), "' has the shape ", ShapeText(shape),
                         " but must have [1, 4 * cells, inputs]");
  }
  return input;
}

// `shape` is that of W.
absl::Status OnnxLstmReader::ReadSizes(const std::vector<int64_t>& shape,
                                       LayerTopology* topology) const {
  topology->cells = static_cast<int>(shape[1] / 4);
  topology->inputs = static_cast<int>(shape[2]);
  topology->prefix = absl::StrCat(node_.name().empty() ? "LSTM" : node_.name(), ".");
  const auto* hidden = FindAttribute(node_, "hidden_size");
  if (hidden != nullptr && hidden->i() != topology->cells) {
    return graph_.Refuse(node_, "its hidden_size is ", hidden->i(), ", but '", InputOf(node_, 1),
                         "' has ", topology->cells, " cells; export it again");
  }
  return absl::OkStatus();
}

// B [1, 8 cells] holds the bias of W and that of R.
absl::StatusOr<std::vector<double>> OnnxLstmReader::ReadBias(int64_t rows) const {
  std::vector<double> bias(rows, 0.0);
  if (InputOf(node_, 3).empty()) return bias;
  ESE_ASSIGN_OR_RETURN(const auto both, Tensor(3, {1, 2 * rows}));
  for (int64_t r = 0; r < rows; ++r) bias[r] = double{both[r]} + double{both[rows + r]};
  return bias;
}

// P [1, 3 cells] holds the peepholes of i, o, f.
absl::Status OnnxLstmReader::ReadPeepholes(BasicNetworkLayer<DenseMatrix>* layer) {
  if (InputOf(node_, 7).empty()) return absl::OkStatus();
  const int cells = layer->topology.cells;
  ESE_ASSIGN_OR_RETURN(const auto values, Tensor(7, {1, int64_t{3} * cells}));
  layer->topology.peepholes = true;
  for (int cell = 0; cell < cells; ++cell) {
    for (const int block : {0, 2, 1}) layer->peepholes.push_back(values[block * cells + cell]);
  }
  return absl::OkStatus();
}

}  // namespace

bool IsBatchFirst(const NodeProto& lstm) {
  const auto* layout = FindAttribute(lstm, "layout");
  return layout != nullptr && layout->i() == 1;
}

absl::StatusOr<BasicNetworkLayer<DenseMatrix>> ReadOnnxLstm(const OnnxGraph& graph,
                                                            const NodeProto& node,
                                                            std::vector<std::string>* notices) {
  return OnnxLstmReader(graph, node, notices).Read();
}

}  // namespace ese
