// SPDX-License-Identifier: Apache-2.0
#include "server/server_options.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iterator>
#include <map>

#include "CLI/CLI.hpp"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/listen_socket.h"
#include "base/processors.h"
#include "base/regular_file.h"
#include "base/status.h"
#include "server/access_options.h"
#include "server/option_table.h"

namespace ese {
namespace {

constexpr const char* kLogLevels[] = {"trace", "debug", "info", "warn", "error", "off"};
constexpr OptionRange kThreads = {.above_least = true, .most = 1024};

// Headings of --help.
constexpr char kModels[] = "Models";
constexpr char kAddresses[] = "Addresses and files";
constexpr char kChannels[] = "Channels (what computes) and threads";
constexpr char kLimits[] = "Limits and shares";
constexpr char kPowerAndCost[] = "Power and cost";
constexpr char kStreams[] = "How long streams live";
constexpr char kCheckpoints[] = "Checkpoints";

// Receives the values of all options.
struct Values {
  ServerOptions options;
  // The text of options that are parsed further.
  std::string channels;
  std::string operator_page = "local";
  std::vector<std::string> tenant_weights;
  bool version = false;
};

// Splits NAME=WEIGHT at the last '=', because a name may contain one.
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

absl::Status CheckTenantWeights(Values& values) {
  ESE_ASSIGN_OR_RETURN(values.options.serving.scheduler.tenant_weights,
                       ParseTenantWeights(values.tenant_weights));
  return absl::OkStatus();
}

absl::Status CheckThereAreModels(const ServerOptions& options) {
  if (!options.models.empty() || !options.serving.model_dir.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "there is no model to serve; give one with --model FILE.ese, or a folder with --model-dir");
}

absl::Status CheckChannels(const Values& values) {
  const ChannelSpec& spec = values.options.channels;
  if (spec.cpu < 0 || (spec.cpu == 0 && !spec.cards)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--channels is ", values.channels, "; it must be above 0"));
  }
  if (spec.cpu > kThreads.most) {
    return absl::InvalidArgumentError(
        absl::StrCat("--channels is ", spec.cpu, "; it must be at most ", kThreads.most));
  }
  if (spec.cards && values.options.xclbin.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--channels is ", values.channels,
                     ", and cards need --xclbin FILE.xclbin (docs/cards.md)"));
  }
  return absl::OkStatus();
}

// A stream must be able to fill its lane.
absl::Status CheckQueuedFrames(const SchedulerOptions& scheduler) {
  if (scheduler.max_queued_frames >= scheduler.max_frames_per_lane) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "--max-queued-frames is ", scheduler.max_queued_frames, ", less than --max-frames-per-lane, ",
      scheduler.max_frames_per_lane, "; raise it"));
}

absl::Status CheckAddress(const char* option, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::InvalidArgumentError(absl::StrCat("--", option, ": ", status.message()));
}

absl::Status CheckLogLevel(const std::string& level) {
  if (std::ranges::find(kLogLevels, level) != std::end(kLogLevels)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "--log-level is \"", level, "\"; it must be trace, debug, info, warn, error or off"));
}

absl::Status ParseOperatorPage(Values& values) {
  const std::map<std::string, OperatorPage> names = {
      {"off", OperatorPage::kOff}, {"local", OperatorPage::kLocal}, {"all", OperatorPage::kAll}};
  const auto found = names.find(values.operator_page);
  if (found == names.end()) {
    return absl::InvalidArgumentError(absl::StrCat("--operator-page is \"", values.operator_page,
                                                   "\"; it must be off, local or all"));
  }
  values.options.operator_page = found->second;
  return absl::OkStatus();
}

std::vector<Option> ModelOptions(Values& values) {
  ServerOptions& options = values.options;
  return {
      {.group = kModels,
       .name = "model",
       .unit = "FILE.ese",
       .member = &options.models,
       .help = "A compiled model to serve. May be repeated.",
       .check = [&options] { return CheckThereAreModels(options); }},
      {.group = kModels,
       .name = "model-dir",
       .unit = "DIR",
       .member = &options.serving.model_dir,
       .help =
           "A folder whose compiled models (*.ese) are also served. The server follows the folder "
           "as files are added, replaced and removed. Write a new file under another name first, "
           "then rename it."},
      {.group = kModels,
       .name = "model-grace-seconds",
       .unit = "SECONDS",
       .member = DurationMember{.member = &options.serving.model_grace},
       .help = "How long a replaced or removed version of a model stays loaded after its last "
               "stream has ended, so that streams can be resumed on it.",
       .range = kZeroOrAbove},
  };
}

std::vector<Option> AddressOptions(Values& values) {
  ServerOptions& options = values.options;
  return {
      {.group = kAddresses,
       .name = "listen",
       .unit = "HOST:PORT",
       .member = &options.serving.listen,
       .help = "Address of the gRPC service, or unix:PATH for a unix socket. Port 0 chooses a free "
               "port. [::] takes IPv4 connections as well as IPv6 ones.",
       .check =
           [&options] {
             return CheckAddress("listen", CheckListenAddress(options.serving.listen));
           }},
      {.group = kAddresses,
       .name = "metrics",
       .unit = "HOST:PORT",
       .member = &options.metrics,
       .help = "Address of the HTTP server for /metrics, or unix:PATH for a unix socket. \"\" "
               "disables it.",
       .check =
           [&options] {
             return options.metrics.empty()
                        ? absl::OkStatus()
                        : CheckAddress("metrics", CheckListenAddress(options.metrics));
           }},
      {.group = kAddresses,
       .name = "operator-page",
       .unit = "WHO",
       .member = &values.operator_page,
       .help = "Who may read the page for operators, at / of --metrics: off (nobody), local (only "
               "this machine) or all.",
       .check = [&values] { return ParseOperatorPage(values); }},
      {.group = kAddresses,
       .name = "ready-file",
       .unit = "FILE",
       .member = &options.process.ready_file,
       .help =
           "A file that the server writes when it is ready, with the lines grpc=HOST:PORT, "
           "metrics=HOST:PORT and pid=N. The server removes it when it stops, unless another file "
           "has replaced it."},
      {.group = kAddresses,
       .name = "log-file",
       .unit = "FILE",
       .member = &options.process.log_file,
       .help = "A file to append the log to, instead of standard error. SIGHUP opens it again."},
      {.group = kAddresses,
       .name = "log-level",
       .unit = "LEVEL",
       .member = &options.process.log_level,
       .help = "The least severe messages to log: trace, debug, info, warn, error or off.",
       .check = [&options] { return CheckLogLevel(options.process.log_level); }},
  };
}

std::vector<Option> ChannelOptions(Values& values) {
  ServerOptions& options = values.options;
  return {
      {.group = kChannels,
       .name = "channels",
       .unit = "SPEC",
       .member = &values.channels,
       .help = "The channels that compute each model: N or cpu:N for N channels on processors (at "
               "most 1024), xrt:all for all cards, or xrt:INDEX for one card. Separate several "
               "with commas.",
       .default_text = "the number of cores divided by --channel-threads",
       .check_syntax =
           [](const std::string& text) {
             return std::string(ParseChannelSpec(text).status().message());
           },
       .check = [&values] { return CheckChannels(values); }},
      {.group = kChannels,
       .name = "xclbin",
       .unit = "FILE.xclbin",
       .member = &options.xclbin,
       .help = "The binary to load onto the cards. It is required for xrt channels."},
      {.group = kChannels,
       .name = "card-hot-celsius",
       .unit = "DEGREES",
       .member = &options.card_hot_celsius,
       .help = "A card whose FPGA reaches this temperature gets no batches until it is 5 degrees "
               "cooler. 0 disables this limit.",
       .range = kZeroOrAbove},
      {.group = kChannels,
       .name = "list-channels",
       .unit = "",
       .member = &options.list_channels,
       .help = "Print the channels that this machine has, then exit."},
      {.group = kChannels,
       .name = "channel-threads",
       .unit = "N",
       .member = &options.channel_threads,
       .help =
           "Threads in each CPU channel, which share the work of every step. With more threads, "
           "small batches take less time if each thread has a core to itself, and much more "
           "time if not.",
       .range = kThreads},
      {.group = kChannels,
       .name = "pin",
       .unit = "CPU",
       .member = &options.pin,
       .help =
           "Pin the threads of each model's channels to one processor each, beginning with this "
           "processor. -1 leaves the choice to the system.",
       .range = {.least = -1, .text = "a processor's number, or -1 for none"}},
      {.group = kChannels,
       .name = "loops",
       .unit = "N",
       .member = &options.serving.loops,
       .help = "Threads that serve calls: they read messages, compute features and write answers.",
       .range = kThreads,
       .default_text = "half the number of cores"},
  };
}

std::vector<Option> LimitOptions(Values& values) {
  SchedulerOptions& scheduler = values.options.serving.scheduler;
  return {
      {.group = kLimits,
       .name = "max-connections",
       .unit = "N",
       .member = &values.options.serving.max_connections,
       .help =
           "Maximum number of open connections. For a further one, connections without a stream "
           "are closed; if all have one, it is closed itself. 0 means as many as the limit of "
           "file descriptors allows, but at most 10000.",
       .range = kZeroOrAbove},
      {.group = kLimits,
       .name = "max-connection-calls",
       .unit = "N",
       .member = &values.options.serving.max_connection_calls,
       .help = "Maximum number of open calls of one connection. Clients wait with further ones, or "
               "open another connection.",
       .range = kAboveZero},
      {.group = kLimits,
       .name = "max-connection-resets",
       .unit = "PER_SECOND",
       .member = &values.options.serving.max_connection_resets,
       .help = "How many calls of one connection may be wasted in a second: reset or cancelled "
               "before their first answer, refused before their config is read, or malformed. A "
               "connection may waste 20 times as many in a burst; then it is closed. 0 means no "
               "limit.",
       .range = kZeroOrAbove},
      {.group = kLimits,
       .name = "max-streams",
       .unit = "N",
       .member = &scheduler.max_streams,
       .help = "Maximum number of open streams of each model. Further streams are refused.",
       .range = kAboveZero},
      {.group = kLimits,
       .name = "max-waiting-calls",
       .unit = "N",
       .member = &values.options.serving.max_waiting_calls,
       .help =
           "Maximum number of calls that have not sent their config. When another one comes, the "
           "oldest of them is ended.",
       .range = kAboveZero},
      {.group = kLimits,
       .name = "max-load",
       .unit = "FRACTION",
       .member = &scheduler.max_load,
       .help = "Refuse new streams when the open ones need more than this fraction of what the "
               "channels can compute. New streams are also refused when the processors are almost "
               "fully used or frames wait too long. 0 disables all three checks.",
       .range = kZeroOrAbove},
      {.group = kLimits,
       .name = "max-frames-per-lane",
       .unit = "FRAMES",
       .member = &scheduler.max_frames_per_lane,
       .help = "Maximum number of frames of one stream in one batch. It bounds how long a batch "
               "takes.",
       .range = kAboveZero},
      {.group = kLimits,
       .name = "max-queued-frames",
       .unit = "FRAMES",
       .member = &scheduler.max_queued_frames,
       .help = "Maximum number of frames of one stream that wait to be computed or whose answers "
               "the client has not read. At this number the server stops reading from the client. "
               "It must be at least --max-frames-per-lane.",
       .range = kAboveZero,
       .check = [&scheduler] { return CheckQueuedFrames(scheduler); }},
      {.group = kLimits,
       .name = "max-queued-bytes",
       .unit = "BYTES",
       .member = &scheduler.max_queued_bytes,
       .help =
           "Size of the queued frames of all streams of a model. Above this size, each stream may "
           "queue only --max-frames-per-lane frames.",
       .range = kAboveZero},
      {.group = kLimits,
       .name = "max-message-bytes",
       .unit = "BYTES",
       .member = &values.options.serving.max_message_bytes,
       .help = "Maximum size of a request. A larger request ends its call with RESOURCE_EXHAUSTED. "
               "Requests that resume a stream carry a checkpoint, whose size depends on the model.",
       .range = {.least = 4096}},
      {.group = kLimits,
       .name = "target-latency-ms",
       .unit = "MILLISECONDS",
       .member = DurationMember{.member = &scheduler.target_latency,
                                .unit = std::chrono::milliseconds(1)},
       .help = "The scheduler chooses the size of batches so that frames are answered within this "
               "time.",
       .range = kAboveZero},
      {.group = kLimits,
       .name = "watchdog-ms",
       .unit = "MILLISECONDS",
       .member =
           DurationMember{.member = &scheduler.watchdog, .unit = std::chrono::milliseconds(1)},
       .help = "A batch that takes longer than this, and longer than ten times the expected time, "
               "is computed again on another channel.",
       .range = kAboveZero},
      {.group = kLimits,
       .name = "tenant-weight",
       .unit = "NAME=WEIGHT",
       .member = &values.tenant_weights,
       .help =
           "A tenant's share of the channels when they cannot serve everyone. WEIGHT is above 0. "
           "Tenants that are not named have weight 1. May be repeated.",
       .check = [&values] { return CheckTenantWeights(values); }},
  };
}

std::vector<Option> LifetimeAndCheckpointOptions(Values& values) {
  ServingOptions& serving = values.options.serving;
  LifetimeOptions& lifetime = serving.lifetime;
  return {
      {.group = kStreams,
       .name = "config-timeout-seconds",
       .unit = "SECONDS",
       .member = DurationMember{.member = &lifetime.config_timeout},
       .help = "End a call that has not sent its config within this time.",
       .range = kAboveZero},
      {.group = kStreams,
       .name = "idle-timeout-seconds",
       .unit = "SECONDS",
       .member = DurationMember{.member = &lifetime.idle_timeout},
       .help = "If no message of a stream was read or written for this long, send its client a "
               "checkpoint and end the stream.",
       .range = kAboveZero},
      {.group = kStreams,
       .name = "max-age-seconds",
       .unit = "SECONDS",
       .member = DurationMember{.member = &lifetime.max_age, .zero_is_forever = true},
       .help =
           "If a stream is older than this, send its client a checkpoint and end the stream, so "
           "that long streams spread over the replicas. 0 means no limit.",
       .range = kZeroOrAbove},
      {.group = kStreams,
       .name = "drain-seconds",
       .unit = "SECONDS",
       .member = DurationMember{.member = &values.options.process.drain},
       .help = "How long open streams may continue after SIGTERM or SIGINT. A second signal ends "
               "them immediately.",
       .range = {.most = 7 * 24 * 3600}},
      {.group = kCheckpoints,
       .name = "checkpoint-key",
       .unit = "FILE",
       .member = &serving.checkpoint_keys,
       .help = "A file with a key of at least 32 random bytes, shared by all replicas that may "
               "continue each other's streams. May be repeated: the first key seals, and all keys "
               "are accepted."},
      {.group = kCheckpoints,
       .name = "checkpoint-max-age-seconds",
       .unit = "SECONDS",
       .member = DurationMember{.member = &serving.checkpoint_max_age},
       .help = "Refuse checkpoints that are older than this.",
       .range = kAboveZero},
  };
}

std::vector<Option> PowerAndCostOptions(Values& values) {
  PowerOptions& power = values.options.power;
  CostOptions& cost = values.options.cost;
  return {
      {.group = kPowerAndCost,
       .name = "power",
       .unit = "SOURCE",
       .member = &power.source,
       .help = "Where the machine's power comes from: auto (rapl if it can be read, else nothing), "
               "rapl (the processors' counters), model (the two options below) or none. Cards "
               "report theirs by themselves."},
      {.group = kPowerAndCost,
       .name = "power-idle-watts",
       .unit = "WATTS",
       .member = &power.idle_watts,
       .help = "With --power model: what the machine, or this server's share of it, draws while it "
               "does nothing.",
       .range = kZeroOrAbove},
      {.group = kPowerAndCost,
       .name = "power-core-watts",
       .unit = "WATTS",
       .member = &power.core_watts,
       .help = "With --power model: what each processor adds that this server keeps busy.",
       .range = kZeroOrAbove},
      {.group = kPowerAndCost,
       .name = "cost-server-price",
       .unit = "DOLLARS",
       .member = &cost.server_price,
       .help = "Price of the machine. 0 means unknown: no cost of it is shown.",
       .range = kZeroOrAbove},
      {.group = kPowerAndCost,
       .name = "cost-server-life",
       .unit = "YEARS",
       .member = &cost.server_life,
       .help = "Years over which the machine's price is spread.",
       .range = kAboveZero},
      {.group = kPowerAndCost,
       .name = "cost-card-price",
       .unit = "DOLLARS",
       .member = &cost.card_price,
       .help = "Price of a card. 0 means unknown.",
       .range = kZeroOrAbove},
      {.group = kPowerAndCost,
       .name = "cost-card-life",
       .unit = "YEARS",
       .member = &cost.card_life,
       .help = "Years over which a card's price is spread.",
       .range = kAboveZero},
      {.group = kPowerAndCost,
       .name = "cost-tariff",
       .unit = "DOLLARS",
       .member = &cost.tariff,
       .help = "Price of a kWh of electricity. 0 means unknown.",
       .range = kZeroOrAbove},
      {.group = kPowerAndCost,
       .name = "cost-pue",
       .unit = "RATIO",
       .member = &cost.pue,
       .help = "Power usage effectiveness: what the whole site draws over what its computers draw.",
       .range = {.least = 1}},
      {.group = kPowerAndCost,
       .name = "cost-overhead",
       .unit = "RATIO",
       .member = &cost.overhead,
       .help = "Space, network, repair and people, as a share of the prices.",
       .range = kZeroOrAbove},
      {.group = kPowerAndCost,
       .name = "cost-share",
       .unit = "RATIO",
       .member = &cost.share,
       .help = "The share of the machine that this server uses.",
       .range = {.above_least = true, .most = 1}},
  };
}

std::vector<Option> AccessRows(Values& values) {
  return AccessOptionRows(&values.options.serving.access);
}

std::vector<Option> OptionTable(Values& values) {
  std::vector<Option> table;
  for (auto part : {ModelOptions, AddressOptions, AccessRows, ChannelOptions, LimitOptions,
                    LifetimeAndCheckpointOptions, PowerAndCostOptions}) {
    std::ranges::move(part(values), std::back_inserter(table));
  }
  return table;
}

// Returns CLI11's message as one line.
std::string MessageOf(const CLI::Error& error) {
  return absl::StrReplaceAll(error.what(),
                             {{"\n", " "}, {"INI was not able to parse", "unknown name"}});
}

// Returns what is wrong if the path is not a regular file; reading a FIFO might wait for ever. A
// missing file is found later.
std::string NotAFile(const std::string& path) {
  const absl::Status status = RegularFile::Open(path).status();
  return absl::IsInvalidArgument(status) ? std::string(status.message()) : "";
}

// Parses the command line and the configuration file. *help is set if --help was given.
CommandLineError Parse(CLI::App& app, int argc, const char* const* argv, std::string* help) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    *help = app.help();
  } catch (const CLI::ConfigError& error) {
    return {absl::InvalidArgumentError(
                absl::StrCat("the configuration file: ", MessageOf(error),
                             "; each line must be `name = value`, with a name that --help lists")),
            1};
  } catch (const CLI::FileError& error) {
    return {
        absl::NotFoundError(absl::StrCat("cannot read the configuration file: ", MessageOf(error))),
        1};
  } catch (const CLI::Error& error) {
    return {absl::InvalidArgumentError(absl::StrCat(MessageOf(error), "; see ese-server --help")),
            2};
  }
  return {absl::OkStatus(), 0};
}

}  // namespace

CommandLineError ParseServerOptions(int argc, const char* const* argv, CommandLine* out) {
  Values values;
  ServerOptions& options = values.options;
  const int cores = ThreadsAllowed();
  options.serving.loops = std::max(1, cores / 2);
  CLI::App app("Serves compiled speech models (.ese) over gRPC.", "ese-server");
  app.get_formatter()->column_width(32);
  app.footer(kExitStatusHelp);
  app.set_config(
         "--config", "",
         "Read options from this file. Each line is `name = value`,\nwith a name of this list. "
         "The command line takes precedence.")
      ->type_name("FILE")
      ->check([](const std::string& path) { return NotAFile(path); });
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.add_flag("--version", values.version, "Print the version, then exit.");
  std::vector<Option> table = OptionTable(values);
  DeclareOptions(table, app);

  std::string help;
  const CommandLineError error = Parse(app, argc, argv, &help);
  out->text = help;
  if (!error.status.ok() || !help.empty()) return error;
  if (values.version) {
    out->text = absl::StrCat("ese-server ", ESE_VERSION, "\n");
    return {absl::OkStatus(), 0};
  }
  if (app.count("--channels") == 0) {
    options.channels.cpu = std::max(1, cores / std::max(1, options.channel_threads));
  } else {
    options.channels = *ParseChannelSpec(values.channels);  // the syntax has been checked
  }
  if (!options.list_channels) {
    const absl::Status status = CheckOptions(table);
    if (!status.ok()) return {status, 1};
  }
  out->options = options;
  return {absl::OkStatus(), 0};
}

}  // namespace ese
