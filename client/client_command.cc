// SPDX-License-Identifier: Apache-2.0
#include "client/client_command.h"

#include <CLI/CLI.hpp>
#include <chrono>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/printable.h"
#include "base/status.h"
#include "client/access_flags.h"
#include "client/live.h"
#include "client/plan.h"
#include "client/resuming_stream.h"
#include "client/seconds.h"
#include "client/transcribe.h"

namespace ese {
namespace {

// The parsed command line.
struct Arguments {
  ResumingClientOptions servers;
  double timeout_seconds = 10;
  double give_up_seconds = 60;
  std::string model;
  bool features = false;
  bool times = false;
  TranscribeOptions transcribe;
  LiveOptions live;
  PlanOptions plan;
};

void PrintModel(const v1::Model& model, std::ostream& out) {
  out << model.name() << '\n';
  out << "  fingerprint  " << model.fingerprint() << '\n';
  out << "  input        " << model.input_dim() << " values per frame\n";
  if (model.has_features() && model.features().sample_rate_hz() > 0) {
    const v1::FeatureSettings& f = model.features();
    out << absl::StreamFormat(
        "  audio        %d Hz; windows of %g ms every %g ms, %d mel bins from %g Hz to %s, "
        "preemphasis %g; %d windows per frame, one frame every %g ms\n",
        f.sample_rate_hz(), f.frame_length_ms(), f.frame_shift_ms(), f.num_mel_bins(),
        f.low_freq_hz(),
        f.high_freq_hz() > 0
            ? absl::StrFormat("%g Hz", f.high_freq_hz())
            : absl::StrFormat("%g Hz", f.sample_rate_hz() / 2.0 + f.high_freq_hz()),
        f.preemphasis(), f.stack(), 1000 * FrameSeconds(model));
  } else {
    out << "  audio        none: the model takes features only\n";
  }
  out << "  units        " << model.units_size() << ": " << absl::StrJoin(model.units(), " ")
      << '\n';
  if (model.blank() >= 0) {
    out << "  blank        unit " << model.blank() << '\n';
  } else {
    out << "  blank        none: the model gives posteriors only\n";
  }
}

absl::Status RunModels(const Arguments& arguments, Console& console) {
  ESE_ASSIGN_OR_RETURN(const std::unique_ptr<ResumingClient> client,
                       ResumingClient::Connect(arguments.servers));
  if (!arguments.model.empty()) {
    ESE_ASSIGN_OR_RETURN(const v1::Model model, client->FindModel(arguments.model));
    PrintModel(model, console.out);
    return absl::OkStatus();
  }
  ESE_ASSIGN_OR_RETURN(const v1::ListModelsResponse models, client->ListModels());
  for (const v1::Model& model : models.models()) PrintModel(model, console.out);
  return absl::OkStatus();
}

void AddTranscribe(CLI::App& app, Arguments& arguments) {
  CLI::App* command =
      app.add_subcommand("transcribe", "Recognise recordings and print their units");
  command
      ->add_option("files", arguments.transcribe.files,
                   "WAV, FLAC or Ogg files with any sample rate")
      ->type_name("FILE")
      ->required();
  command->add_flag("--features", arguments.features,
                    "Compute the features in the client instead of the server");
  command->add_flag("--times", arguments.times, "Print the time of each unit");
  command
      ->add_option("--references", arguments.transcribe.references,
                   "Also print the phone error rate against this table, which has the columns file "
                   "and phones")
      ->type_name("FILE.tsv");
  command
      ->add_option("--json", arguments.transcribe.json,
                   "Append the phone error rate to this file as a line of JSON")
      ->type_name("FILE")
      ->needs("--references");
  command->add_option("--prefix", arguments.transcribe.prefix, "Prefix for the figure's name")
      ->capture_default_str();
}

void AddStream(CLI::App& app, Arguments& arguments) {
  CLI::App* command = app.add_subcommand(
      "stream",
      "Recognise live audio from standard input: raw PCM, signed 16-bit little-endian, mono");
  command->add_option("--rate", arguments.live.rate_hz, "Sample rate of the input")
      ->type_name("HZ")
      ->check(CLI::Range(1000, 768000))
      ->capture_default_str();
  command->add_flag("--features", arguments.features,
                    "Compute the features in the client instead of the server");
  command->add_flag("--times", arguments.times, "Print one unit per line, with its time");
}

void AddPlan(CLI::App& app, Arguments& arguments) {
  CLI::App* command = app.add_subcommand(
      "plan", "Tell how many servers or cards a number of live streams needs. Talks to no server");
  command->add_option("--streams", arguments.plan.streams, "Live streams at the same time")
      ->check(CLI::Range(int64_t{1}, int64_t{1'000'000'000}))
      ->required();
  command
      ->add_option("--p99-ms", arguments.plan.p99_ms,
                   "The latency that 99 % of the answers must keep")
      ->check(CLI::Range(0.001, 60000.0))
      ->capture_default_str();
  command
      ->add_option("--measured", arguments.plan.measured,
                   "Report of ese-load --find-max --report FILE against one of your servers")
      ->type_name("REPORT.json")
      ->required();
  command
      ->add_option("--utilisation", arguments.plan.utilisation,
                   "Share of the measured streams that each server gets; the rest is head room")
      ->check(CLI::Range(0.01, 1.0))
      ->capture_default_str();
  command->add_option("--cards", arguments.plan.cards, "Cards in each server")
      ->check(CLI::Range(0, 64))
      ->capture_default_str();
}

bool Run(const CLI::App& app, Arguments& arguments, Console& console) {
  const InputKind input = arguments.features ? InputKind::kFeatures : InputKind::kAudio;
  if (app.got_subcommand("transcribe")) {
    arguments.transcribe.model = arguments.model;
    arguments.transcribe.input = input;
    arguments.transcribe.times = arguments.times;
    return RunTranscribe(arguments.servers, arguments.transcribe, console);
  }
  absl::Status status;
  if (app.got_subcommand("stream")) {
    arguments.live.model = arguments.model;
    arguments.live.input = input;
    arguments.live.times = arguments.times;
    status = RunLive(arguments.servers, arguments.live, console);
  } else if (app.got_subcommand("plan")) {
    status = RunPlan(arguments.plan, console);
  } else {
    status = RunModels(arguments, console);
  }
  if (!status.ok()) console.err << "ese-client: " << Printable(status.message()) << '\n';
  return status.ok();
}

}  // namespace

int ClientMain(int argc, const char* const* argv, Console console) {
  Arguments arguments;
  CLI::App app("Sends speech to an ese-server and prints what it recognises.", "ese-client");
  app.set_version_flag("--version", ESE_VERSION);
  app.require_subcommand(1);
  app.fallthrough();  // the common flags may also follow the command
  app.add_option(
         "--server", arguments.servers.addresses,
         "Address of the server. Streams move to the next one of several (separated by commas) if "
         "a server fails")
      ->type_name("HOST:PORT|unix:PATH")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->capture_default_str();
  app.add_option("--model", arguments.model,
                 "Name of the model; required if the server has several")
      ->type_name("NAME");
  app.add_option("--timeout", arguments.timeout_seconds,
                 "Give up if the server owes an answer for this long")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.01, 86400.0))
      ->capture_default_str();
  app.add_option("--give-up", arguments.give_up_seconds,
                 "Give a stream up if no server continues it within this time")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.0, 86400.0))
      ->capture_default_str();
  AddAccessFlags(app, &arguments.servers.access);
  AddTranscribe(app, arguments);
  AddStream(app, arguments);
  AddPlan(app, arguments);
  app.add_subcommand("models", "List the server's models and their settings");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error, console.out, console.err);
  }
  arguments.servers.timeout = FromSeconds(arguments.timeout_seconds);
  arguments.servers.reconnect.give_up_after = FromSeconds(arguments.give_up_seconds);
  const bool done = Run(app, arguments, console);
  console.out.flush();
  if (!console.out) {
    console.err << "ese-client: cannot write to standard output; is the disk full?\n";
    return 1;
  }
  return done ? 0 : 1;
}

}  // namespace ese
