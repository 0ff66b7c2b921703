// SPDX-License-Identifier: Apache-2.0
#include "load/command.h"

#include <CLI/CLI.hpp>
#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/printable.h"
#include "base/status.h"
#include "client/access_flags.h"
#include "client/figures.h"
#include "client/seconds.h"
#include "load/generator.h"
#include "load/report.h"
#include "load/report_writer.h"
#include "load/search.h"
#include "load/vanish.h"

namespace ese {
namespace {

enum class Answers { kNothing, kUnits, kPosteriors };

// The parsed command line.
struct Arguments {
  LoadOptions load;
  double seconds = 10;
  double ramp_seconds = 0;
  double timeout_seconds = 10;
  double cut_every_seconds = 0;
  Answers answers = Answers::kNothing;
  bool find_max = false;
  double p99_ms = 30;
  int64_t vanish = 0;
  std::string report;
  std::string percentiles;
  std::string json;
  std::string prefix = "demo";
};

void AppendFigures(const Arguments& arguments, const LoadReport& report, FigureFile* file) {
  const bool flat_out = arguments.load.pace == LoadPace::kFlatOut;
  const auto append = [&](const char* name, double value, const char* unit) {
    file->Append(absl::StrCat(arguments.prefix, flat_out ? ".flat_out." : ".", name), value, unit);
  };
  if (report.chunks_answered > 0 && flat_out) {
    append("frames_per_s", report.frames_per_s, "frames/s");
    append("realtime_factor", report.realtime_streams, "x");
  } else if (report.chunks_answered > 0) {
    append("p50_ms", Milliseconds(report.latency.Percentile(50)), "ms");
    append("p95_ms", Milliseconds(report.latency.Percentile(95)), "ms");
    append("p99_ms", Milliseconds(report.latency.Percentile(99)), "ms");
    append("max_ms", Milliseconds(report.latency.max()), "ms");
    append("streams", report.completed, "streams");
  }
  append("failed_streams", report.streams - report.completed - report.refused.count, "streams");
  append("refused_streams", report.refused.count, "streams");
}

absl::Status WriteReports(const Arguments& arguments, const LoadReport& report,
                          const SearchReport* search) {
  if (!arguments.report.empty()) {
    ESE_RETURN_IF_ERROR(WriteJsonReport(arguments.report, arguments.load, report, search));
  }
  if (arguments.percentiles.empty()) return absl::OkStatus();
  return WritePercentiles(arguments.percentiles, report.latency);
}

// Returns why no chunk was answered, and what to do.
std::string WhyNothingWasAnswered(const LoadReport& report) {
  if (report.refused.count > 0) {
    return absl::StrCat("nothing was answered, because the server refused ", report.refused.count,
                        " of ", report.streams,
                        " streams, the first with: ", report.refused.example);
  }
  if (!report.errors.empty()) {
    const auto& [code, errors] = *report.errors.begin();
    return absl::StrCat("nothing was answered, because ", errors.count, " of ", report.streams,
                        " streams failed with ", code, ", the first with: ", errors.example);
  }
  return "nothing was answered; look into the server's log, or run for longer (--seconds)";
}

absl::StatusOr<bool> RunOnce(const Arguments& arguments, Console& console,
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
  ESE_RETURN_IF_ERROR(WriteReports(arguments, report, nullptr));
  if (report.chunks_answered == 0) {
    console.err << "ese-load: " << Printable(WhyNothingWasAnswered(report)) << '\n';
  }
  return report.ok();
}

absl::StatusOr<bool> RunSearch(const Arguments& arguments, Console& console,
                               const std::atomic<bool>& stop) {
  const Duration limit = FromSeconds(arguments.p99_ms / 1000);
  ESE_ASSIGN_OR_RETURN(const SearchReport search,
                       FindMostStreams(arguments.load, limit, stop, console.err));
  PrintSearch(search, console.out);
  ESE_RETURN_IF_ERROR(WriteReports(arguments, search.at_best, &search));
  return search.best > 0;
}

// Returns true if the run had no errors.
absl::StatusOr<bool> Run(const Arguments& arguments, Console& console,
                         const std::atomic<bool>& stop) {
  if (arguments.load.access.tls &&
      (arguments.vanish > 0 || arguments.load.cut_every > Duration(0))) {
    return absl::InvalidArgumentError(
        "--vanish and --cut-every break plaintext connections only; leave out --tls");
  }
  if (arguments.find_max) return RunSearch(arguments, console, stop);
  if (arguments.vanish == 0) return RunOnce(arguments, console, stop);
  ESE_ASSIGN_OR_RETURN(const VanishReport report,
                       RunVanish(arguments.load, arguments.vanish, stop));
  PrintVanish(report, console.out);
  return report.errors.empty();
}

template <typename T>
CLI::Option* AddChoice(CLI::App& app, const char* name, T& value,
                       const std::map<std::string, T>& of, const char* choices,
                       const char* standard, const char* help) {
  return app.add_option(name, value, help)
      ->transform(CLI::CheckedTransformer(of))
      ->type_name(choices)
      ->default_str(standard);
}

void AddContentOptions(CLI::App& app, Arguments& arguments) {
  LoadSourceOptions& source = arguments.load.source;
  app.add_option(
         "files", source.files,
         "Recordings to send in loops; streams take them in turn. Without any, streams send noise")
      ->type_name("FILE");
  AddChoice<InputKind>(app, "--input", source.input,
                       {{"audio", InputKind::kAudio}, {"features", InputKind::kFeatures}},
                       "audio|features", "features",
                       "What to send: audio samples, or filter-bank features");
  app.add_option("--chunk-ms", source.chunk_ms,
                 "Length of the audio in a chunk, rounded to whole frames")
      ->check(CLI::Range(1.0, 10000.0))
      ->capture_default_str();
  app.add_option("--frame-ms", source.frame_ms,
                 "Length of a frame, for models that take features only")
      ->check(CLI::Range(1.0, 1000.0))
      ->capture_default_str();
  app.add_option("--seed", source.seed, "Seed for the streams' phases and the noise")
      ->capture_default_str();
  AddChoice<Answers>(app, "--return", arguments.answers,
                     {{"nothing", Answers::kNothing},
                      {"units", Answers::kUnits},
                      {"posteriors", Answers::kPosteriors}},
                     "nothing|units|posteriors", "nothing",
                     "What the server is to return for each frame");
}

void AddLoadOptions(CLI::App& app, Arguments& arguments) {
  LoadOptions& load = arguments.load;
  app.add_option(
         "--server", load.addresses,
         "Address of the server, or of several (separated by commas) that share the streams")
      ->type_name("HOST:PORT|unix:PATH")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->capture_default_str();
  app.add_option("--model", load.model, "Name of the model; required if the server has several")
      ->type_name("NAME");
  app.add_option("--streams", load.streams, "Number of streams at the same time")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  app.add_option("--seconds", arguments.seconds, "How long to measure")
      ->check(CLI::Range(0.01, 86400.0))
      ->capture_default_str();
  app.add_option("--ramp", arguments.ramp_seconds,
                 "Open the streams over so many seconds, before the measurement")
      ->check(CLI::Range(0.0, 86400.0))
      ->capture_default_str();
  AddChoice<LoadPace>(
      app, "--rate", load.pace,
      {{"realtime", LoadPace::kRealTime}, {"max", LoadPace::kFlatOut}, {"idle", LoadPace::kIdle}},
      "realtime|max|idle", "realtime",
      "realtime: as speakers speak; max: as fast as the server answers; idle: one "
      "chunk, then silence");
  app.add_option("--tenant", load.tenant,
                 "Tenant of the streams; the server may give tenants different shares")
      ->type_name("NAME");
  app.add_option("--priority", load.priority,
                 "Priority of the streams among those of the same tenant")
      ->check(CLI::Range(-8, 8))
      ->capture_default_str();
  app.add_option("--window", load.window, "Unanswered chunks per stream with --rate max")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--threads", load.threads, "Number of threads that share the streams")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--connections", load.connections,
                 "Connections per thread; 0: one for every 64 streams, at most 8")
      ->check(CLI::Range(0, 10000))
      ->capture_default_str();
  app.add_option("--timeout", arguments.timeout_seconds,
                 "Give a stream up if an answer has been due for this long")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.01, 86400.0))
      ->capture_default_str();
}

void AddTestOptions(CLI::App& app, Arguments& arguments) {
  LoadOptions& load = arguments.load;
  app.add_flag("--resume", load.resume, "Continue streams after a break, on the next server");
  app.add_option("--checkpoint-every", load.checkpoint_every_frames,
                 "Number of frames between checkpoints; with --resume the default is 100")
      ->type_name("FRAMES");
  app.add_option("--cut-every", arguments.cut_every_seconds,
                 "Cut one connection every so many seconds, and resume its streams")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.001, 86400.0));
  app.add_flag("--verify", load.verify,
               "After the run, compare all posteriors with those of undisturbed streams");
  app.add_flag(
      "--find-max", arguments.find_max,
      "Find the largest number of streams within the limit --p99-ms, starting from --streams");
  app.add_option("--p99-ms", arguments.p99_ms, "Latency limit for --find-max")
      ->check(CLI::Range(0.001, 1e6))
      ->capture_default_str();
  app.add_option("--vanish", arguments.vanish,
                 "Instead of a run, connect, send and vanish so many times, with --streams clients "
                 "at a time")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 40));
}

void AddReportOptions(CLI::App& app, Arguments& arguments) {
  app.add_option("--report", arguments.report, "Write the whole report to this file as JSON")
      ->type_name("FILE");
  app.add_option("--percentiles", arguments.percentiles,
                 "Write the latencies to this file in HdrHistogram's format")
      ->type_name("FILE");
  app.add_option("--json", arguments.json, "Append the figures to this file as lines of JSON")
      ->type_name("FILE");
  app.add_option("--prefix", arguments.prefix, "Prefix for the names of the figures")
      ->capture_default_str();
}

void Complete(Arguments& arguments) {
  LoadOptions& load = arguments.load;
  load.run_time = FromSeconds(arguments.seconds);
  load.ramp = FromSeconds(arguments.ramp_seconds);
  load.timeout = FromSeconds(arguments.timeout_seconds);
  load.cut_every = FromSeconds(arguments.cut_every_seconds);
  load.return_units = arguments.answers == Answers::kUnits;
  load.return_posteriors = arguments.answers == Answers::kPosteriors;
  load.resume = load.resume || load.cut_every > Duration(0);
  if (load.resume && load.checkpoint_every_frames == 0) load.checkpoint_every_frames = 100;
}

}  // namespace

int LoadMain(int argc, const char* const* argv, Console console, const std::atomic<bool>& stop) {
  Arguments arguments;
  CLI::App app("Sends many streams to an ese-server at the same time and measures its answers.",
               "ese-load");
  app.set_version_flag("--version", ESE_VERSION);
  AddLoadOptions(app, arguments);
  AddAccessFlags(app, &arguments.load.access);
  AddContentOptions(app, arguments);
  AddTestOptions(app, arguments);
  AddReportOptions(app, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error, console.out, console.err);
  }
  Complete(arguments);
  const absl::StatusOr<bool> clean = Run(arguments, console, stop);
  if (!clean.ok()) {
    console.err << "ese-load: " << Printable(clean.status().message()) << '\n';
    return 1;
  }
  console.out.flush();
  if (!console.out) {
    console.err << "ese-load: cannot write to standard output; is the disk full?\n";
    return 1;
  }
  return *clean ? 0 : 1;
}

}  // namespace ese
