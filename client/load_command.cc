#include "client/load_command.h"

#include <CLI/CLI.hpp>
#include <chrono>
#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status.h"
#include "client/figures.h"
#include "client/load_generator.h"
#include "client/seconds.h"

namespace ese {
namespace {

// Whatever the command line says.
struct Arguments {
  LoadOptions load;
  double seconds = 10;
  double timeout_seconds = 10;
  std::string json;
  std::string prefix = "demo";
};

void PrintReport(const LoadOptions& options, const LoadReport& report, std::ostream& out) {
  out << absl::StreamFormat("streams      %d asked for, %d accepted, %d answered to the end; %s\n",
                            report.streams, report.accepted, report.completed,
                            options.flat_out ? "flat out" : "in real time");
  out << absl::StreamFormat("time         %.2f s%s, over %d connections\n", report.seconds,
                            report.stopped ? " (stopped early)" : "", report.connections);
  out << absl::StreamFormat("chunks       %d due, %d answered\n", report.chunks_due,
                            report.chunks_answered);
  out << absl::StreamFormat("latency      p50 %.3f  p95 %.3f  p99 %.3f  max %.3f ms\n",
                            Milliseconds(report.p50), Milliseconds(report.p95),
                            Milliseconds(report.p99), Milliseconds(report.max));
  if (!options.flat_out) {
    out << absl::StreamFormat(
        "             from when a chunk was due; this client itself was late by p99 %.3f ms\n",
        Milliseconds(report.lag_p99));
  }
  out << absl::StreamFormat("throughput   %.0f frames/s: %.1f x real time\n", report.frames_per_s,
                            report.realtime_streams);
  int64_t failed = 0;
  for (const auto& [code, errors] : report.errors) failed += errors.count;
  out << absl::StreamFormat("failed       %d streams\n", failed);
  for (const auto& [code, errors] : report.errors) {
    out << absl::StreamFormat("             %d x %s, the first: %s\n", errors.count, code,
                              errors.example);
  }
}

void AppendFigures(const Arguments& arguments, const LoadReport& report, FigureFile* file) {
  const auto append = [&](const char* name, double value, const char* unit) {
    file->Append(absl::StrCat(arguments.prefix, ".", name), value, unit);
  };
  if (report.chunks_answered > 0 && arguments.load.flat_out) {
    append("frames_per_s", report.frames_per_s, "frames/s");
    append("realtime_factor", report.realtime_streams, "x");
  } else if (report.chunks_answered > 0) {
    append("p50_ms", Milliseconds(report.p50), "ms");
    append("p95_ms", Milliseconds(report.p95), "ms");
    append("p99_ms", Milliseconds(report.p99), "ms");
    append("max_ms", Milliseconds(report.max), "ms");
    append("streams", report.completed, "streams");
  }
  append("failed_streams", report.streams - report.completed, "streams");
}

// True if the run was without errors.
absl::StatusOr<bool> Run(const Arguments& arguments, Console& console,
                         const std::atomic<bool>& stop) {
  std::optional<FigureFile> figures;
  if (!arguments.json.empty()) {
    ESE_ASSIGN_OR_RETURN(figures, FigureFile::Open(arguments.json));
  }
  ESE_ASSIGN_OR_RETURN(const LoadReport report, RunLoad(arguments.load, stop, console.err));
  PrintReport(arguments.load, report, console.out);
  if (figures) {
    AppendFigures(arguments, report, &*figures);
    ESE_RETURN_IF_ERROR(figures->Close());
  }
  if (report.chunks_answered == 0) {
    console.err << "ese-load: nothing was answered; see the server's log, or run for longer "
                   "(--seconds)\n";
  }
  return report.ok();
}

void AddOptions(CLI::App& app, Arguments& arguments) {
  LoadOptions& load = arguments.load;
  app.add_option("files", load.source.files,
                 "Recordings to play in loops, stream by stream in turn; without any, noise")
      ->type_name("FILE");
  app.add_option("--server", load.server.address, "The server's address")
      ->type_name("HOST:PORT")
      ->capture_default_str();
  app.add_option("--model", load.model, "Needed if the server has several models")
      ->type_name("NAME");
  app.add_option("--streams", load.streams, "Streams at once")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  app.add_option("--seconds", arguments.seconds, "How long to send")
      ->check(CLI::Range(0.01, 86400.0))
      ->capture_default_str();
  app.add_option("--rate", load.flat_out,
                 "realtime: as speakers speak; max: as fast as the server answers")
      ->transform(
          CLI::CheckedTransformer(std::map<std::string, bool>{{"realtime", false}, {"max", true}}))
      ->type_name("realtime|max")
      ->default_str("realtime");
  app.add_option("--input", load.source.input, "What to send: samples, or filter banks")
      ->transform(CLI::CheckedTransformer(std::map<std::string, InputKind>{
          {"audio", InputKind::kAudio}, {"features", InputKind::kFeatures}}))
      ->type_name("audio|features")
      ->default_str("features");
  app.add_option("--chunk-ms", load.source.chunk_ms, "Audio in a chunk, rounded to whole frames")
      ->check(CLI::Range(1.0, 10000.0))
      ->capture_default_str();
  app.add_option("--frame-ms", load.source.frame_ms,
                 "Length of a frame, for models that do not tell")
      ->check(CLI::Range(1.0, 1000.0))
      ->capture_default_str();
  app.add_option("--window", load.window, "Unanswered chunks of a stream at --rate max")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--connections", load.connections,
                 "TCP connections; 0: one for every 64 streams, at most 8")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  app.add_option("--seed", load.source.seed, "Of the streams' phases, and of noise")
      ->capture_default_str();
  app.add_option("--timeout", arguments.timeout_seconds,
                 "Give a stream up when an answer has been due for this long")
      ->check(CLI::Range(0.01, 86400.0))
      ->capture_default_str();
  app.add_option("--json", arguments.json, "Append the figures to this file, as lines of JSON")
      ->type_name("FILE");
  app.add_option("--prefix", arguments.prefix, "Prefix of the figures' names")
      ->capture_default_str();
}

}  // namespace

int LoadMain(int argc, const char* const* argv, Console console, const std::atomic<bool>& stop) {
  Arguments arguments;
  CLI::App app("Plays many streams to an ese-server at once and measures its answers.", "ese-load");
  app.set_version_flag("--version", ESE_VERSION);
  AddOptions(app, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error, console.out, console.err);
  }
  arguments.load.run_time = FromSeconds(arguments.seconds);
  arguments.load.server.timeout = FromSeconds(arguments.timeout_seconds);
  const absl::StatusOr<bool> clean = Run(arguments, console, stop);
  if (!clean.ok()) {
    console.err << "ese-load: " << clean.status().message() << '\n';
    return 1;
  }
  console.out.flush();
  if (!console.out) {
    console.err << "ese-load: standard output could not be written; is its disk full?\n";
    return 1;
  }
  return *clean ? 0 : 1;
}

}  // namespace ese
