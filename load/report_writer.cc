// SPDX-License-Identifier: Apache-2.0
#include "load/report_writer.h"

#include <cerrno>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/seconds.h"

namespace ese {
namespace {

constexpr double kPercents[] = {10, 25, 50, 75, 90, 95, 99, 99.9, 99.99, 100};

std::string PaceName(LoadPace pace) {
  switch (pace) {
    case LoadPace::kRealTime:
      return "in real time";
    case LoadPace::kFlatOut:
      return "flat out";
    case LoadPace::kIdle:
      return "idle after one chunk";
  }
  return "";
}

void PrintErrors(const std::map<std::string, LoadTally::Errors>& errors, const char* what,
                 std::ostream& out) {
  int64_t failed = 0;
  for (const auto& [code, error] : errors) failed += error.count;
  out << absl::StreamFormat("failed       %d %s\n", failed, what);
  for (const auto& [code, error] : errors) {
    out << absl::StreamFormat("             %d x %s, the first: %s\n", error.count, code,
                              error.example);
  }
}

void PrintStage(const char* name, const LatencyHistogram& stage, std::ostream& out) {
  out << absl::StreamFormat("%-11s", name);
  for (const double percent : {50.0, 95.0, 99.0, 99.9, 99.99, 100.0}) {
    out << absl::StreamFormat(" %9.3f", Milliseconds(stage.Percentile(percent)));
  }
  out << '\n';
}

void PrintLatencies(const LoadReport& report, std::ostream& out) {
  out << "ms               p50       p95       p99     p99.9    p99.99       max\n";
  PrintStage("latency", report.latency, out);
  PrintStage("  queue", report.queue, out);
  PrintStage("  compute", report.compute, out);
  PrintStage("  rest", report.rest, out);
  if (report.lag.count() > 0) PrintStage("client late", report.lag, out);
  if (report.resume.count() > 0) PrintStage("resume", report.resume, out);
}

void PrintBreaks(const LoadReport& report, std::ostream& out) {
  if (report.cuts + report.breaks > 0) {
    out << absl::StreamFormat("breaks       %d connections cut; %d calls broken, %d resumed\n",
                              report.cuts, report.breaks, report.resumed);
  }
  if (report.verified) {
    out << absl::StreamFormat(
        "verified     the posteriors of %d frames; %d streams differ from an undisturbed one\n",
        report.frames_verified, report.differing);
    if (report.unverified > 0) {
      out << absl::StreamFormat(
          "unverified   %d streams, because no undisturbed stream succeeded; run again when the "
          "server has room\n",
          report.unverified);
    }
  }
}

nlohmann::ordered_json ToJson(const LatencyHistogram& histogram) {
  nlohmann::ordered_json json;
  json["count"] = histogram.count();
  json["mean_ms"] = Milliseconds(histogram.Mean());
  for (const double percent : kPercents) {
    json["percentiles_ms"][absl::StrCat(percent)] = Milliseconds(histogram.Percentile(percent));
  }
  return json;
}

nlohmann::ordered_json ToJson(const LoadSecond& second) {
  return {{"streams", second.streams},
          {"frames", second.frames},
          {"p50_ms", Milliseconds(second.p50)},
          {"p99_ms", Milliseconds(second.p99)},
          {"max_ms", Milliseconds(second.max)}};
}

nlohmann::ordered_json ToJson(const LoadOptions& options, const LoadReport& report) {
  nlohmann::ordered_json json;
  json["pace"] = PaceName(options.pace);
  json["chunk_ms"] = options.source.chunk_ms;
  json["streams"] = report.streams;
  json["accepted"] = report.accepted;
  json["completed"] = report.completed;
  json["seconds"] = report.seconds;
  json["frames"] = report.frames;
  json["frames_per_s"] = report.frames_per_s;
  json["realtime_streams"] = report.realtime_streams;
  json["chunks_due"] = report.chunks_due;
  json["chunks_answered"] = report.chunks_answered;
  json["chunks_sent"] = report.chunks_sent;
  for (const auto& [name, stage] : {std::pair{"latency", &report.latency},
                                    {"queue", &report.queue},
                                    {"compute", &report.compute},
                                    {"rest", &report.rest},
                                    {"client_late", &report.lag},
                                    {"resume", &report.resume}}) {
    json[name] = ToJson(*stage);
  }
  json["cuts"] = report.cuts;
  json["breaks"] = report.breaks;
  json["resumed"] = report.resumed;
  json["refused"] = report.refused.count;
  json["errors"] = nlohmann::ordered_json::object();
  for (const auto& [code, error] : report.errors) {
    json["errors"][code] = {{"count", error.count}, {"example", error.example}};
  }
  if (report.verified) {
    json["frames_verified"] = report.frames_verified;
    json["differing"] = report.differing;
    json["unverified"] = report.unverified;
  }
  json["timeline"] = nlohmann::ordered_json::array();
  for (const LoadSecond& second : report.timeline) json["timeline"].push_back(ToJson(second));
  return json;
}

absl::Status WriteFile(const std::string& path, const std::string& text) {
  errno = 0;
  std::ofstream file(path);
  file << text;
  file.close();
  if (file) return absl::OkStatus();
  return absl::ErrnoToStatus(errno != 0 ? errno : EIO,
                             absl::StrCat(path,
                                          ": cannot be written; choose a path that you may "
                                          "write, on a disk that is not full"));
}

}  // namespace

void PrintReport(const LoadOptions& options, const LoadReport& report, std::ostream& out) {
  out << absl::StreamFormat("streams      %d asked for, %d accepted, %d answered to the end; %s\n",
                            report.streams, report.accepted, report.completed,
                            PaceName(options.pace));
  out << absl::StreamFormat("time         %.2f s%s, over %d connections\n", report.seconds,
                            report.stopped ? " (stopped early)" : "", report.connections);
  out << absl::StreamFormat("chunks       %d due, %d answered\n", report.chunks_due,
                            report.chunks_answered);
  out << absl::StreamFormat("throughput   %.0f frames/s: %.1f x real time\n", report.frames_per_s,
                            report.realtime_streams);
  PrintLatencies(report, out);
  PrintBreaks(report, out);
  if (report.refused.count > 0) {
    out << absl::StreamFormat("refused      %d streams, the first: %s\n", report.refused.count,
                              report.refused.example);
  }
  PrintErrors(report.errors, "streams", out);
}

void PrintSearch(const SearchReport& report, std::ostream& out) {
  out << "streams       p99 ms   failed\n";
  for (const SearchRun& run : report.runs) {
    out << absl::StreamFormat("%7d %12.3f %8d  %s\n", run.streams, Milliseconds(run.p99),
                              run.failed, run.held ? "held" : "not held");
  }
  out << absl::StreamFormat("most streams with p99 within %g ms: %d\n",
                            Milliseconds(report.p99_limit), report.best);
}

void PrintVanish(const VanishReport& report, std::ostream& out) {
  out << absl::StreamFormat("vanished     %d times, in %.2f s\n", report.vanished, report.seconds);
  PrintErrors(report.errors, "times", out);
}

absl::Status WriteJsonReport(const std::string& path, const LoadOptions& options,
                             const LoadReport& report, const SearchReport* search) {
  nlohmann::ordered_json json = ToJson(options, report);
  if (search != nullptr) {
    json["most_streams"] = search->best;
    json["p99_limit_ms"] = Milliseconds(search->p99_limit);
    for (const SearchRun& run : search->runs) {
      json["steps"].push_back({{"streams", run.streams},
                               {"p99_ms", Milliseconds(run.p99)},
                               {"failed", run.failed},
                               {"held", run.held}});
    }
  }
  return WriteFile(path, json.dump(1) + "\n");
}

absl::Status WritePercentiles(const std::string& path, const LatencyHistogram& latency) {
  std::string text = "       Value     Percentile TotalCount 1/(1-Percentile)\n\n";
  // Five lines each time the share above is halved, as HdrHistogram writes them.
  for (double above = 1; above * static_cast<double>(latency.count()) >= 0.5; above /= 2) {
    for (int line = 0; line < 5; ++line) {
      const double share = 1 - above * (1 - 0.1 * line);
      const double percent = std::max(100 * share, 1e-9);
      absl::StrAppendFormat(&text, "%12.3f %2.12f %10d %14.2f\n",
                            Milliseconds(latency.Percentile(percent)), share, latency.Rank(percent),
                            1 / (1 - share));
    }
  }
  absl::StrAppendFormat(&text, "%12.3f %2.12f %10d\n", Milliseconds(latency.max()), 1.0,
                        latency.count());
  absl::StrAppendFormat(&text, "#[Mean    = %12.3f]\n#[Max     = %12.3f, Total count    = %12d]\n",
                        Milliseconds(latency.Mean()), Milliseconds(latency.max()), latency.count());
  return WriteFile(path, text);
}

}  // namespace ese
