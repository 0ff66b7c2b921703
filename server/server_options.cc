// SPDX-License-Identifier: Apache-2.0
#include "server/server_options.h"

#include <algorithm>
#include <cmath>

#include "CLI/CLI.hpp"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/listen_address.h"
#include "base/processors.h"
#include "base/status.h"

namespace ese {
namespace {

constexpr const char* kLogLevels[] = {"trace", "debug", "info", "warn", "error", "off"};

// Values as the flags give them, in the flags' units.
struct Flags {
  ServerOptions options;
  double target_latency_ms = 30;
  double watchdog_ms = 2000;
  std::vector<std::string> tenant_weights;  // NAME=WEIGHT
  double model_grace_seconds = 600;
  double checkpoint_max_age_seconds = 24 * 3600;
  double config_timeout_seconds = 10;
  double idle_timeout_seconds = 600;
  double max_age_seconds = 0;
  std::string channels;
  bool version = false;
};

void Declare(CLI::App& app, Flags& flags) {
  ServerOptions& options = flags.options;
  SchedulerOptions& scheduler = options.serving.scheduler;
  app.option_defaults()->always_capture_default();
  app.set_config("--config", "",
                 "Read options from this file: lines of `name = value`, names as below")
      ->type_name("FILE");
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.add_option("--model", options.models, "A compiled model to serve; may be repeated")
      ->type_name("FILE.ese")
      ->default_str("");
  app.add_option("--model-dir", options.serving.model_dir,
                 "Serves the compiled models (*.ese) of this folder, too, as they come, change and "
                 "go; write them elsewhere, then rename them into it")
      ->type_name("DIR");
  app.add_option("--model-grace-seconds", flags.model_grace_seconds,
                 "A replaced or removed version of a model stays for so long after its last "
                 "stream, for those that resume")
      ->type_name("S");
  app.add_option("--listen", options.serving.listen,
                 "Address of the service; port 0 takes a free one")
      ->type_name("HOST:PORT");
  app.add_option("--metrics", options.metrics, "Address of http /metrics; \"\" for none")
      ->type_name("HOST:PORT");
  app.add_option(
         "--channels", flags.channels,
         "What computes each model: N or cpu:N processors, xrt:all or xrt:INDEX cards, with "
         "commas between; the default is the number of cores divided by --channel-threads")
      ->type_name("SPEC")
      ->check([](const std::string& text) {
        return std::string(ParseChannelSpec(text).status().message());
      });
  app.add_option("--xclbin", options.xclbin, "What the cards are loaded with")
      ->type_name("FILE.xclbin")
      ->default_str("");
  app.add_option("--card-hot-celsius", options.card_hot_celsius,
                 "A card whose FPGA is that hot gets no batches until it is 5 degrees cooler; 0: "
                 "however hot it is")
      ->type_name("DEGREES");
  app.add_flag("--list-channels", options.list_channels,
               "Print the channels that this machine has, and end");
  app.add_option(
         "--channel-threads", options.channel_threads,
         "Threads of each channel, which make every step together: steps of few streams are "
         "shorter where each thread has a core to itself, and far longer where not")
      ->type_name("N");
  app.add_option("--pin", options.pin,
                 "Processor of each model's first channel, the next ones take the following; -1 "
                 "leaves them to the system")
      ->type_name("CPU");
  app.add_option(
         "--loops", options.serving.loops,
         "Threads that carry calls: messages, features and answers; the default is half the "
         "number of cores")
      ->type_name("N");
  app.add_option("--max-streams", scheduler.max_streams,
                 "Streams of each model at once; more are refused")
      ->type_name("N");
  app.add_option("--max-queued-frames", scheduler.max_queued_frames,
                 "Frames of a stream that wait or whose answers are unread; then its client waits")
      ->type_name("N");
  app.add_option("--max-queued-bytes", scheduler.max_queued_bytes,
                 "Of the frames of all streams of a model; from then on each stream has room for "
                 "a batch's frames only")
      ->type_name("BYTES");
  app.add_option("--max-load", scheduler.max_load,
                 "New streams are refused where those open need more than this part of what the "
                 "channels compute; 0: never for the load")
      ->type_name("PART");
  app.add_option("--tenant-weight", flags.tenant_weights,
                 "Share of a tenant where there is not enough for all; may be repeated; others "
                 "have 1")
      ->type_name("NAME=WEIGHT")
      ->default_str("");
  app.add_option("--max-frames-per-lane", scheduler.max_frames_per_lane,
                 "Frames of one stream in one batch; bounds how long a batch takes")
      ->type_name("N");
  app.add_option("--target-latency-ms", flags.target_latency_ms,
                 "Frames are scheduled to be answered within this time")
      ->type_name("MS");
  app.add_option("--watchdog-ms", flags.watchdog_ms,
                 "A batch that takes longer, and longer than ten times what was expected, is "
                 "computed again on another channel")
      ->type_name("MS");
  app.add_option("--max-message-bytes", options.serving.max_message_bytes,
                 "Largest request; a larger one ends its call with RESOURCE_EXHAUSTED")
      ->type_name("N");
  app.add_option("--drain-seconds", options.drain_seconds,
                 "Grace of open streams after SIGTERM or SIGINT; a second signal ends it")
      ->type_name("S");
  app.add_option("--config-timeout-seconds", flags.config_timeout_seconds,
                 "Calls that send no config for so long are ended")
      ->type_name("S");
  app.add_option("--idle-timeout-seconds", flags.idle_timeout_seconds,
                 "Streams of which nothing was read or written for so long are handed their "
                 "checkpoint and ended")
      ->type_name("S");
  app.add_option("--max-age-seconds", flags.max_age_seconds,
                 "Older streams are handed their checkpoint and ended, so that they spread over "
                 "the replicas; 0: never")
      ->type_name("S");
  app.add_option("--checkpoint-key", options.serving.checkpoint_keys,
                 "Key of at least 32 random bytes, shared by the replicas that may go on with each "
                 "other's streams; may be repeated: the first signs, all are accepted")
      ->type_name("FILE")
      ->default_str("");
  app.add_option("--checkpoint-max-age-seconds", flags.checkpoint_max_age_seconds,
                 "Checkpoints that are older are refused")
      ->type_name("S");
  app.add_option("--ready-file", options.ready_file,
                 "Written once serving: lines grpc=HOST:PORT and metrics=HOST:PORT")
      ->type_name("FILE");
  app.add_option("--log-level", options.log_level, "trace, debug, info, warn, error or off")
      ->type_name("LEVEL");
  app.add_flag("--version", flags.version, "Print the version and end");
}

absl::Status Validate(const Flags& flags) {
  const ServerOptions& options = flags.options;
  const SchedulerOptions& scheduler = options.serving.scheduler;
  if (options.models.empty() && options.serving.model_dir.empty()) {
    return absl::InvalidArgumentError(
        "there is no model to serve; give one with --model FILE.ese, or a folder with --model-dir");
  }
  const std::pair<const char*, double> positive[] = {
      {"channel-threads", options.channel_threads},
      {"loops", options.serving.loops},
      {"max-streams", scheduler.max_streams},
      {"max-queued-frames", scheduler.max_queued_frames},
      {"max-queued-bytes", static_cast<double>(scheduler.max_queued_bytes)},
      {"max-frames-per-lane", scheduler.max_frames_per_lane},
      {"target-latency-ms", flags.target_latency_ms},
      {"watchdog-ms", flags.watchdog_ms},
      {"checkpoint-max-age-seconds", flags.checkpoint_max_age_seconds},
      {"config-timeout-seconds", flags.config_timeout_seconds},
      {"idle-timeout-seconds", flags.idle_timeout_seconds},
      {"max-message-bytes", options.serving.max_message_bytes}};
  if (options.channels.cpu < 0 || (options.channels.cpu == 0 && !options.channels.cards)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--channels is ", flags.channels, "; it must be above 0"));
  }
  if (options.channels.cards && options.xclbin.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--channels is ", flags.channels, ", and cards need --xclbin FILE.xclbin (docs/cards.md)"));
  }
  for (const auto& [name, value] : positive) {
    if (!std::isfinite(value) || value <= 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("--", name, " is ", value, "; it must be above 0"));
    }
  }
  constexpr int kMaxThreads = 1024;
  for (const auto& [name, value] : {std::pair("channels", options.channels.cpu),
                                    std::pair("channel-threads", options.channel_threads),
                                    std::pair("loops", options.serving.loops)}) {
    if (value > kMaxThreads) {
      return absl::InvalidArgumentError(
          absl::StrCat("--", name, " is ", value, "; it must be at most ", kMaxThreads));
    }
  }
  if (options.pin < -1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--pin is ", options.pin, "; it must be a processor's number, or -1 for none"));
  }
  // A stream must be able to fill its lane.
  if (scheduler.max_queued_frames < scheduler.max_frames_per_lane) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--max-queued-frames is ", scheduler.max_queued_frames,
        ", less than --max-frames-per-lane, ", scheduler.max_frames_per_lane, "; raise it"));
  }
  for (const auto& [name, value] : {std::pair("drain-seconds", options.drain_seconds),
                                    std::pair("card-hot-celsius", options.card_hot_celsius),
                                    std::pair("max-age-seconds", flags.max_age_seconds),
                                    std::pair("model-grace-seconds", flags.model_grace_seconds),
                                    std::pair("max-load", scheduler.max_load)}) {
    if (!std::isfinite(value) || value < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("--", name, " is ", value, "; it must be 0 or above"));
    }
  }
  if (std::find(std::begin(kLogLevels), std::end(kLogLevels), options.log_level) ==
      std::end(kLogLevels)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--log-level is \"", options.log_level,
                     "\"; it must be trace, debug, info, warn, error or off"));
  }
  const auto listen = ParseListenAddress(options.serving.listen);
  if (!listen.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("--listen: ", listen.status().message()));
  }
  if (options.metrics.empty()) return absl::OkStatus();
  const auto metrics = ParseListenAddress(options.metrics);
  if (!metrics.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("--metrics: ", metrics.status().message()));
  }
  return absl::OkStatus();
}

// As long as a Duration can be, where it is longer.
Duration Seconds(double seconds) {
  constexpr double kMost = 1e9;
  return std::chrono::round<Duration>(std::chrono::duration<double>(std::min(seconds, kMost)));
}

Duration Milliseconds(double milliseconds) { return Seconds(milliseconds / 1000); }

// The name may hold '=': the weight follows the last one.
absl::StatusOr<std::map<std::string, double>> ParseTenantWeights(
    const std::vector<std::string>& texts) {
  std::map<std::string, double> weights;
  for (const std::string& text : texts) {
    const size_t split = text.rfind('=');
    double weight = 0;
    if (split == std::string::npos || !absl::SimpleAtod(text.substr(split + 1), &weight) ||
        !std::isfinite(weight) || weight <= 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--tenant-weight is \"", text, "\"; it must be NAME=WEIGHT with a weight above 0"));
    }
    if (!weights.emplace(text.substr(0, split), weight).second) {
      return absl::InvalidArgumentError(absl::StrCat("--tenant-weight names \"",
                                                     text.substr(0, split),
                                                     "\" twice; give each tenant one weight"));
    }
  }
  return weights;
}

// CLI11's message on one line.
std::string MessageOf(const CLI::Error& error) {
  return absl::StrReplaceAll(error.what(),
                             {{"\n", " "}, {"INI was not able to parse", "unknown name"}});
}

}  // namespace

CommandLineError ParseServerOptions(int argc, const char* const* argv, CommandLine* out) {
  Flags flags;
  const int cores = ThreadsAllowed();
  flags.options.serving.loops = std::max(1, cores / 2);
  CLI::App app("Serves compiled speech models (.ese) over gRPC.", "ese-server");
  Declare(app, flags);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    out->text = app.help();
    return {absl::OkStatus(), 0};
  } catch (const CLI::ConfigError& error) {
    return {absl::InvalidArgumentError(
                absl::StrCat("the configuration file: ", MessageOf(error),
                             "; its lines are `name = value`, with the names of --help")),
            1};
  } catch (const CLI::FileError& error) {
    return {absl::NotFoundError(
                absl::StrCat("the configuration file cannot be read: ", MessageOf(error))),
            1};
  } catch (const CLI::Error& error) {
    return {absl::InvalidArgumentError(absl::StrCat(MessageOf(error), "; see ese-server --help")),
            2};
  }
  if (flags.version) {
    out->text = absl::StrCat("ese-server ", ESE_VERSION, "\n");
    return {absl::OkStatus(), 0};
  }
  if (app.count("--channels") == 0) {
    flags.options.channels.cpu = std::max(1, cores / std::max(1, flags.options.channel_threads));
  } else {
    flags.options.channels = *ParseChannelSpec(flags.channels);  // checked above
  }
  if (flags.options.list_channels) {
    out->options = flags.options;
    return {absl::OkStatus(), 0};
  }
  const absl::Status status = Validate(flags);
  if (!status.ok()) return {status, 1};
  auto weights = ParseTenantWeights(flags.tenant_weights);
  if (!weights.ok()) return {weights.status(), 1};
  ServingOptions& serving = flags.options.serving;
  serving.scheduler.tenant_weights = *std::move(weights);
  serving.scheduler.target_latency = Milliseconds(flags.target_latency_ms);
  serving.scheduler.watchdog = Milliseconds(flags.watchdog_ms);
  serving.model_grace = Seconds(flags.model_grace_seconds);
  serving.checkpoint_max_age = Seconds(flags.checkpoint_max_age_seconds);
  serving.lifetime.config_timeout = Seconds(flags.config_timeout_seconds);
  serving.lifetime.idle_timeout = Seconds(flags.idle_timeout_seconds);
  if (flags.max_age_seconds > 0) serving.lifetime.max_age = Seconds(flags.max_age_seconds);
  out->options = flags.options;
  return {absl::OkStatus(), 0};
}

}  // namespace ese
