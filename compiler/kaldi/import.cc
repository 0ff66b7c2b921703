// SPDX-License-Identifier: Apache-2.0
#include "compiler/kaldi/import.h"

#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status.h"
#include "compiler/kaldi/reader.h"
#include "compiler/network.h"
#include "model/fixed_point.h"

namespace ese {
namespace {

// Our cell saturates at [-kCellLimit, kCellLimit), so a clip there or beyond changes nothing.
constexpr double kCellLimit = 32;
static_assert(Cell::kFractionBits == 10, "kCellLimit is that of Q5.10");

// These tokens, each followed by a number, matter only to training.
bool IsForTraining(absl::string_view token) {
  for (const char* known : {"<LearnRateCoef>", "<BiasLearnRateCoef>", "<MaxNorm>", "<DiffClip>",
                            "<CellDiffClip>", "<GradClip>", "<ClipGradient>", "<NumStream>"}) {
    if (token == known) return true;
  }
  return false;
}

class KaldiImporter {
 public:
  KaldiImporter(absl::string_view bytes, const std::string& source)
      : reader_(bytes), source_(source) {}

  absl::StatusOr<ImportedNetwork> Import() {
    absl::Status status = ReadNetwork();
    if (status.ok()) return std::move(imported_);
    return absl::Status(status.code(), absl::StrCat(source_, ": ", place_, status.message()));
  }

 private:
  using Layer = BasicNetworkLayer<DenseMatrix>;

  absl::Status ReadNetwork();
  absl::Status CheckSizes(int outputs, int inputs) const;
  absl::Status ReadComponent(const std::string& type, int outputs, int inputs);
  absl::Status ReadSplice(int outputs, int inputs);
  absl::Status ReadTransform(const std::string& type, int outputs, int inputs);
  absl::Status ReadLstm(int outputs, int inputs);
  absl::Status ReadLstmOptions(int* cells);
  absl::Status ReadGates(Layer* layer);
  absl::Status ReadPeepholes(Layer* layer);
  absl::Status ReadProjection(Layer* layer);
  absl::Status ReadAffine(int outputs, int inputs);
  absl::Status FinishInput();

  absl::Status ReadOptions(int* cells, double* cell_clip);
  absl::StatusOr<std::vector<float>> ReadMatrix(absl::string_view what, int rows, int columns);
  absl::StatusOr<std::vector<float>> ReadVector(absl::string_view what, int size);

  absl::Status Refuse(absl::string_view what) const { return absl::InvalidArgumentError(what); }
  bool has_output() const { return imported_.network.output.rows > 0; }

  KaldiReader reader_;
  const std::string& source_;
  std::string place_;  // "component 2 <LstmProjected>: "
  std::string name_;   // "component2."
  ImportedNetwork imported_;
  int last_outputs_ = 0;               // of the previous component; 0 at the first
  std::vector<double> scale_, shift_;  // x = scale * feature + shift; empty: none so far
};

absl::Status KaldiImporter::ReadNetwork() {
  ESE_ASSIGN_OR_RETURN(std::string token, reader_.Token());
  if (token != "<Nnet>") {
    return Refuse(absl::StrCat("begins with ", token,
                               ", not with <Nnet>; only nnet1 networks are read, without a "
                               "transition model (nnet3 networks are not)"));
  }
  for (int index = 1;; ++index) {
    place_.clear();
    ESE_ASSIGN_OR_RETURN(token, reader_.Token());
    if (token == "</Nnet>") break;
    place_ = absl::StrCat("component ", index, " ", token, ": ");
    name_ = absl::StrCat("component", index, ".");
    ESE_ASSIGN_OR_RETURN(const int outputs, reader_.Integer());
    ESE_ASSIGN_OR_RETURN(const int inputs, reader_.Integer());
    ESE_RETURN_IF_ERROR(CheckSizes(outputs, inputs));
    ESE_RETURN_IF_ERROR(ReadComponent(token, outputs, inputs));
    last_outputs_ = outputs;
    // Older files have no token between components.
    const KaldiReader before = reader_;
    ESE_ASSIGN_OR_RETURN(token, reader_.Token());
    if (token != "<!EndOfComponent>") reader_ = before;
  }
  if (imported_.network.layers.empty() || !has_output()) {
    return Refuse("has no <LstmProjected>, or no <AffineTransform> after it; a model needs both");
  }
  return FinishInput();
}

absl::Status KaldiImporter::CheckSizes(int outputs, int inputs) const {
  if (outputs < 1 || inputs < 1 || outputs > kMaxSize || inputs > kMaxSize) {
    return Refuse(
        absl::StrCat("sizes of ", outputs, " and ", inputs, " are not between 1 and ", kMaxSize));
  }
  if (last_outputs_ != 0 && inputs != last_outputs_) {
    return Refuse(absl::StrCat("has ", inputs, " inputs but the component before it has ",
                               last_outputs_, " outputs; the file is not one network"));
  }
  return absl::OkStatus();
}

absl::Status KaldiImporter::ReadComponent(const std::string& type, int outputs, int inputs) {
  if (type == "<Softmax>" && has_output()) {
    return inputs == outputs ? absl::OkStatus() : Refuse("must have as many outputs as inputs");
  }
  if (has_output()) return Refuse("nothing but <Softmax> may follow the output layer; remove it");
  if (type == "<LstmProjected>" || type == "<LstmProjectedStreams>") {
    return ReadLstm(outputs, inputs);
  }
  if (type == "<AffineTransform>" && !imported_.network.layers.empty()) {
    return ReadAffine(outputs, inputs);
  }
  if ((type == "<AddShift>" || type == "<Rescale>") && imported_.network.layers.empty()) {
    return ReadTransform(type, outputs, inputs);
  }
  if (type == "<Splice>" && imported_.network.layers.empty()) return ReadSplice(outputs, inputs);
  return Refuse(
      "is not supported here; a network is <AddShift> and <Rescale> (optional), then "
      "<LstmProjected> once or more, then <AffineTransform> and <Softmax>; bidirectional LSTMs "
      "cannot stream");
}

// Kaldi's recipe writes a <Splice> into the feature transform even if it adds no frame.
absl::Status KaldiImporter::ReadSplice(int outputs, int inputs) {
  ESE_ASSIGN_OR_RETURN(const std::vector<int> offsets, reader_.Integers());
  if (outputs == inputs && offsets == std::vector<int>{0}) return absl::OkStatus();
  return Refuse(
      "joins each frame with its neighbours; only the offset 0, which adds none, is supported. "
      "Train on the plain features (--splice 0), on frames that do not overlap (\"stack\" of the "
      "topology's features), or take it out and let the client send spliced features");
}

// Reads the options before the data, in any order.
absl::Status KaldiImporter::ReadOptions(int* cells, double* cell_clip) {
  while (reader_.NextIsToken()) {
    ESE_ASSIGN_OR_RETURN(const std::string token, reader_.Token());
    if (token == "<CellDim>" && cells != nullptr) {
      ESE_ASSIGN_OR_RETURN(*cells, reader_.Integer());
    } else if (token == "<CellClip>" && cell_clip != nullptr) {
      ESE_ASSIGN_OR_RETURN(*cell_clip, reader_.Number());
    } else if (IsForTraining(token)) {
      ESE_RETURN_IF_ERROR(reader_.Number().status());
    } else {
      return Refuse(absl::StrCat("has the option ", token,
                                 ", which is unknown; write the network with Kaldi's nnet-copy"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<float>> KaldiImporter::ReadMatrix(absl::string_view what, int rows,
                                                             int columns) {
  auto matrix = reader_.Matrix();
  if (!matrix.ok()) return Refuse(absl::StrCat(what, ": ", matrix.status().message()));
  if (matrix->rows != rows || matrix->columns != columns) {
    return Refuse(absl::StrCat(what, " has ", matrix->rows, " x ", matrix->columns,
                               " values but must have ", rows, " x ", columns));
  }
  return std::move(matrix->values);
}

absl::StatusOr<std::vector<float>> KaldiImporter::ReadVector(absl::string_view what, int size) {
  auto vector = reader_.Vector();
  if (!vector.ok()) return Refuse(absl::StrCat(what, ": ", vector.status().message()));
  if (vector->columns != size) {
    return Refuse(absl::StrCat(what, " has ", vector->columns, " values but must have ", size));
  }
  return std::move(vector->values);
}

absl::Status KaldiImporter::ReadTransform(const std::string& type, int outputs, int inputs) {
  if (outputs != inputs) return Refuse("must have as many outputs as inputs");
  ESE_RETURN_IF_ERROR(ReadOptions(nullptr, nullptr));
  ESE_ASSIGN_OR_RETURN(const std::vector<float> values, ReadVector("the vector", inputs));
  if (scale_.empty()) {
    scale_.assign(inputs, 1.0);
    shift_.assign(inputs, 0.0);
  }
  for (int k = 0; k < inputs; ++k) {
    if (type == "<AddShift>") {
      shift_[k] += values[k];
    } else {
      if (values[k] == 0) {
        return Refuse(absl::StrCat("value ", k, " is 0, so input ", k,
                                   " has no effect; remove it from the features"));
      }
      scale_[k] *= values[k];
      shift_[k] *= values[k];
    }
  }
  return absl::OkStatus();
}

absl::Status KaldiImporter::ReadLstm(int outputs, int inputs) {
  Layer& layer = imported_.network.layers.emplace_back();
  LayerTopology& topology = layer.topology;
  ESE_RETURN_IF_ERROR(ReadLstmOptions(&topology.cells));
  topology.prefix = name_;
  topology.inputs = inputs;
  topology.projection = outputs;
  topology.peepholes = true;
  ESE_RETURN_IF_ERROR(ReadGates(&layer));
  ESE_RETURN_IF_ERROR(ReadPeepholes(&layer));
  ESE_RETURN_IF_ERROR(ReadProjection(&layer));
  imported_.topology.layers.push_back(topology);
  return absl::OkStatus();
}

absl::Status KaldiImporter::ReadLstmOptions(int* cells) {
  double cell_clip = 0;
  ESE_RETURN_IF_ERROR(ReadOptions(cells, &cell_clip));
  if (*cells < 1 || *cells > kMaxSize) {
    return Refuse(absl::StrCat("<CellDim> is ", *cells, ", not between 1 and ", kMaxSize));
  }
  if (cell_clip > 0 && cell_clip < kCellLimit) {
    return Refuse(
        absl::StrFormat("<CellClip> is %g, but our cells are clipped only at %g; train with 0 "
                        "(none) or at least %g",
                        cell_clip, kCellLimit, kCellLimit));
  }
  return absl::OkStatus();
}

// The gates are [g; i; f; o].
absl::Status KaldiImporter::ReadGates(Layer* layer) {
  const int cells = layer->topology.cells;
  ESE_ASSIGN_OR_RETURN(const auto input, ReadMatrix("w_gifo_x", 4 * cells, layer->topology.inputs));
  ESE_ASSIGN_OR_RETURN(const auto recurrent,
                       ReadMatrix("w_gifo_r", 4 * cells, layer->topology.projection));
  ESE_ASSIGN_OR_RETURN(const auto bias, ReadVector("bias", 4 * cells));
  layer->gates = JoinGates({absl::StrCat(name_, "w_gifo_x | ", name_, "w_gifo_r"),
                            "--density-gates", cells, kKaldiGates},
                           input, recurrent, std::vector<double>(bias.begin(), bias.end()));
  return absl::OkStatus();
}

// The peepholes of i and f read the cell before the step, that of o reads it after the step.
absl::Status KaldiImporter::ReadPeepholes(Layer* layer) {
  const int cells = layer->topology.cells;
  layer->peepholes.resize(size_t{3} * cells);
  const char* const kPeepholes[] = {"peephole_i_c", "peephole_f_c", "peephole_o_c"};
  for (int k = 0; k < 3; ++k) {
    ESE_ASSIGN_OR_RETURN(const auto values, ReadVector(kPeepholes[k], cells));
    for (int cell = 0; cell < cells; ++cell) layer->peepholes[size_t{3} * cell + k] = values[cell];
  }
  return absl::OkStatus();
}

absl::Status KaldiImporter::ReadProjection(Layer* layer) {
  DenseMatrix& projection = layer->projection;
  projection.name = {absl::StrCat(name_, "w_r_m"), "--density-projection"};
  projection.rows = layer->topology.projection;
  projection.columns = layer->topology.cells;
  ESE_ASSIGN_OR_RETURN(projection.weights,
                       ReadMatrix("w_r_m", projection.rows, projection.columns));
  projection.bias.assign(projection.rows, 0.0);
  return absl::OkStatus();
}

absl::Status KaldiImporter::ReadAffine(int outputs, int inputs) {
  ESE_RETURN_IF_ERROR(ReadOptions(nullptr, nullptr));
  DenseMatrix& output = imported_.network.output;
  output.name = {absl::StrCat(name_, "linearity"), "--density-output"};
  output.columns = inputs;
  ESE_ASSIGN_OR_RETURN(output.weights, ReadMatrix("linearity", outputs, inputs));
  ESE_ASSIGN_OR_RETURN(const auto bias, ReadVector("bias", outputs));
  output.bias.assign(bias.begin(), bias.end());
  output.rows = outputs;
  return absl::OkStatus();
}

// Rewrites scale * feature + shift as (feature - mean) * inv_stddev.
absl::Status KaldiImporter::FinishInput() {
  DenseNetwork& network = imported_.network;
  const int inputs = imported_.topology.layers.front().inputs;
  network.input_mean.assign(inputs, 0.0f);
  network.input_inv_stddev.assign(inputs, 1.0f);
  for (size_t k = 0; k < scale_.size(); ++k) {
    network.input_mean[k] = static_cast<float>(-shift_[k] / scale_[k]);
    network.input_inv_stddev[k] = static_cast<float>(scale_[k]);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ImportedNetwork> ImportKaldi(absl::string_view bytes, const std::string& source) {
  return KaldiImporter(bytes, source).Import();
}

}  // namespace ese
