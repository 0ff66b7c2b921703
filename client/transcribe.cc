// SPDX-License-Identifier: Apache-2.0
#include "client/transcribe.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/types/span.h"
#include "base/printable.h"
#include "base/status.h"
#include "client/audio.h"
#include "client/error_rate.h"
#include "client/figures.h"
#include "client/recognize.h"
#include "client/references.h"
#include "client/score_report.h"

namespace ese {
namespace {

using Units = std::vector<v1::RecognizedUnit>;

absl::StatusOr<Units> TranscribeFile(const ResumingClient& client, const v1::Model& model,
                                     InputKind kind, const std::string& path) {
  ESE_ASSIGN_OR_RETURN(const Audio audio, ReadAudioFile(path));
  ESE_ASSIGN_OR_RETURN(ContentEncoder encoder,
                       ContentEncoder::Create(model, kind, audio.sample_rate_hz));
  const size_t block = std::max(1, audio.sample_rate_hz / kBlocksPerSecond);
  absl::Span<const int16_t> rest(audio.samples);
  Units units;
  RecognizeHooks hooks;
  hooks.next_chunk = [&](std::string* chunk) -> absl::StatusOr<bool> {
    const absl::Span<const int16_t> samples = rest.subspan(0, block);
    rest.remove_prefix(samples.size());
    ESE_RETURN_IF_ERROR(encoder.Encode(samples, rest.empty(), chunk));
    return !rest.empty();
  };
  hooks.on_response = [&](const v1::StreamingInferResponse& response) {
    units.insert(units.end(), response.units().begin(), response.units().end());
  };
  ESE_RETURN_IF_ERROR(Recognize(client, model, kind, hooks));
  return units;
}

std::vector<std::string> Symbols(const Units& units) {
  std::vector<std::string> symbols;
  for (const v1::RecognizedUnit& unit : units) symbols.push_back(unit.symbol());
  return symbols;
}

void PrintTimes(const Units& units, std::ostream& out) {
  for (const v1::RecognizedUnit& unit : units) {
    out << absl::StreamFormat("  %8.3f s  %s\n", unit.start_seconds(), unit.symbol());
  }
}

// The state of one run over all files.
class Transcription {
 public:
  Transcription(const TranscribeOptions& options, Console& console)
      : options_(options), console_(console) {}

  // Does everything that can fail before the first file is read.
  absl::Status Prepare(const ResumingClientOptions& servers) {
    if (!options_.references.empty()) {
      ESE_ASSIGN_OR_RETURN(references_, ReadReferences(options_.references));
    }
    if (!options_.json.empty()) {
      ESE_ASSIGN_OR_RETURN(figures_, FigureFile::Open(options_.json));
    }
    ESE_ASSIGN_OR_RETURN(client_, ResumingClient::Connect(servers));
    ESE_ASSIGN_OR_RETURN(model_, client_->FindModel(options_.model));
    return absl::OkStatus();
  }

  absl::Status Transcribe(const std::string& path) {
    const Reference* reference = nullptr;
    if (references_) {
      const auto at = references_->find(std::filesystem::path(path).filename().string());
      if (at == references_->end()) {
        return absl::NotFoundError(absl::StrCat("there is no line for this file in ",
                                                options_.references,
                                                "; add one, or leave out --references"));
      }
      reference = &at->second;
    }
    ESE_ASSIGN_OR_RETURN(const Units units, TranscribeFile(*client_, model_, options_.input, path));
    if (reference != nullptr) {
      const Alignment alignment = Align(reference->phones, Symbols(units));
      scores_.Add(reference->set, alignment.counts);
      PrintScored(path, *reference, alignment, console_.out);
    } else {
      console_.out << path << ": " << absl::StrJoin(Symbols(units), " ") << '\n';
    }
    if (options_.times) PrintTimes(units, console_.out);
    console_.out.flush();
    return absl::OkStatus();
  }

  absl::Status Finish() {
    if (references_) scores_.Print(console_.out);
    console_.out.flush();
    if (!figures_) return absl::OkStatus();
    if (const ErrorCounts all = scores_.Total(); all.reference > 0) {
      figures_->Append(absl::StrCat(options_.prefix, ".per"), all.rate(), "share");
    }
    return figures_->Close();
  }

 private:
  const TranscribeOptions& options_;
  Console& console_;
  std::optional<References> references_;
  std::optional<FigureFile> figures_;
  std::unique_ptr<ResumingClient> client_;
  v1::Model model_;
  ScoreTable scores_;
};

// The error of a file already names its path; the error of a call does not.
void PrintFileError(const std::string& path, const absl::Status& status, std::ostream& err) {
  const std::string message(status.message());
  const bool named = message.rfind(path, 0) == 0;
  err << "ese-client: " << Printable(named ? message : absl::StrCat(path, ": ", message)) << '\n';
}

}  // namespace

bool RunTranscribe(const ResumingClientOptions& servers, const TranscribeOptions& options,
                   Console& console) {
  Transcription transcription(options, console);
  if (absl::Status status = transcription.Prepare(servers); !status.ok()) {
    console.err << "ese-client: " << Printable(status.message()) << '\n';
    return false;
  }
  bool all_done = true;
  for (const std::string& path : options.files) {
    if (absl::Status status = transcription.Transcribe(path); !status.ok()) {
      PrintFileError(path, status, console.err);
      all_done = false;
    }
  }
  if (absl::Status status = transcription.Finish(); !status.ok()) {
    console.err << "ese-client: " << Printable(status.message()) << '\n';
    all_done = false;
  }
  return all_done;
}

}  // namespace ese
