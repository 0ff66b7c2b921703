// SPDX-License-Identifier: Apache-2.0
// ese-server: connects models, channels on processors and cards, the gRPC service and /metrics.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "accel/cpu/cpu_channel.h"
#include "accel/xrt/xrt_cards.h"
#include "base/mutex.h"
#include "base/printable.h"
#include "base/processors.h"
#include "base/status.h"
#include "grpc/support/log.h"
#include "metrics/cost.h"
#include "metrics/energy_meter.h"
#include "metrics/registry.h"
#include "process/process.h"
#include "process/threads.h"
#include "scheduler/processor_use.h"
#include "server/server.h"
#include "server/server_options.h"
#include "spdlog/spdlog.h"

namespace ese {
namespace {

// How long a loop of calls may take until it runs a task. Longer means that it hangs.
constexpr Duration kAliveLimit = std::chrono::seconds(5);
// Threads of gRPC, /metrics and the process itself, with some to spare.
constexpr int kOtherThreads = 32;

// gRPC aborts when it cannot go on without a thread. Its own reason is the only one there is.
void EndIfGrpcAborts(const char* message) {
  thread_local bool refused = false;
  // "pthread_create failed: ..." or "Could not create grpc_sync_server worker-thread"
  if (absl::StrContains(message, "pthread_create failed") ||
      absl::StrContains(message, "Could not create grpc_sync_server worker-thread")) {
    refused = true;
  }
  if (!absl::StartsWith(message, "assertion failed")) return;
  if (refused) {
    WriteError(
        "ese-server: the system refused a thread to gRPC; raise the limit of threads or memory\n");
    _exit(static_cast<int>(ExitStatus::kNoResources));
  }
  WriteError(absl::StrCat("ese-server: gRPC: ", Printable(message), "\n"));
}

// Otherwise gRPC writes to stderr in its own format, even if we report the same failure ourselves.
void SendGrpcMessagesToLog() {
  gpr_set_log_function([](gpr_log_func_args* args) {
    spdlog::debug("grpc: {}", args->message);
    EndIfGrpcAborts(args->message);
  });
}

absl::StatusOr<std::vector<std::shared_ptr<const Model>>> LoadModels(
    const std::vector<std::string>& paths) {
  std::vector<std::shared_ptr<const Model>> models;
  for (const std::string& path : paths) {
    ESE_ASSIGN_OR_RETURN(auto model, Model::FromFile(path));
    models.push_back(std::move(model));
  }
  return models;
}

std::string ShapeOf(const Model& model) {
  std::string shape = absl::StrCat(model.input_dim());
  for (const Layer& layer : model.layers) {
    absl::StrAppend(&shape, " -> ", layer.cells);
    if (layer.has_projection) absl::StrAppend(&shape, "p", layer.outputs);
  }
  return absl::StrCat(shape, " -> ", model.num_units());
}

using Channels = std::vector<std::unique_ptr<Channel>>;

// Returns null if no cards are wanted, or if they cannot be opened but there are also channels on
// processors.
absl::StatusOr<std::unique_ptr<XrtCards>> OpenCards(const ServerOptions& options,
                                                    MetricsRegistry* metrics) {
  if (!options.channels.cards) return nullptr;
  auto cards = XrtCards::Open({.xclbin = options.xclbin,
                               .cards = options.channels.cards_only,
                               .watchdog = options.serving.scheduler.watchdog / 2,
                               .hot_celsius = options.card_hot_celsius},
                              metrics);
  if (cards.ok() || options.channels.cpu == 0) return cards;
  spdlog::error("continuing without cards: {}", std::string(cards.status().message()));
  return nullptr;
}

absl::StatusOr<Channels> MakeChannels(const std::shared_ptr<const Model>& model,
                                      const ServerOptions& options, XrtCards* cards) {
  Channels channels;
  if (options.channels.cpu > 0) {
    // The channels and the scheduler's timer cannot do without their threads.
    ESE_RETURN_IF_ERROR(CheckThreadsCanStart(options.channels.cpu * options.channel_threads + 1));
    ESE_ASSIGN_OR_RETURN(channels, CreateCpuChannels(model, {.count = options.channels.cpu,
                                                             .first_processor = options.pin,
                                                             .threads = options.channel_threads}));
  }
  if (cards == nullptr) return channels;
  auto on_cards = cards->MakeChannels(model);
  if (!on_cards.ok() && channels.empty()) return on_cards.status();
  if (!on_cards.ok()) {
    spdlog::error("model \"{}\" continues without cards: {}", model->name,
                  std::string(on_cards.status().message()));
    return channels;
  }
  for (auto& channel : *on_cards) channels.push_back(std::move(channel));
  return channels;
}

// Returns text such as "2, kernel avx512vnni + 8, kernel emulated_ese_card".
std::string Summary(const Channels& channels) {
  std::vector<std::string> kinds;
  for (size_t k = 0, end = 0; k < channels.size(); k = end) {
    while (end < channels.size() && channels[end]->kernel() == channels[k]->kernel()) ++end;
    kinds.push_back(absl::StrCat(end - k, ", kernel ", channels[k]->kernel()));
  }
  return absl::StrJoin(kinds, " + ");
}

// Prints the channels that --channels may name on this machine.
absl::Status ListChannels() {
  std::printf("cpu:%d\n", ThreadsAllowed());
  ESE_ASSIGN_OR_RETURN(const auto cards, ListXrtCards());
  for (const XrtCardInfo& card : cards) {
    const std::string text = card.status.ok()
                                 ? absl::StrCat(card.name, " at ", card.bdf,
                                                card.serial.empty() ? "" : ", serial ", card.serial)
                                 : absl::StrCat("cannot be used: ", card.status.message());
    std::printf("xrt:%d  %s\n", card.index, text.c_str());
  }
  return absl::OkStatus();
}

void LogStart(const Server& server, const std::string& channels,
              const std::string& metrics_address) {
  std::vector<std::string> models;
  for (const auto& served : server.catalog().Current()) {
    const Model& model = *served->model;
    models.push_back(absl::StrCat(model.name, " (", ShapeOf(model), ", ",
                                  model.fingerprint().substr(0, 8), ")"));
  }
  if (models.empty()) models.push_back("no model yet");
  spdlog::info("ese-server {} serves {}; channels of each model: {}; grpc={} metrics={}",
               ESE_VERSION, absl::StrJoin(models, ", "), channels, server.address(),
               metrics_address.empty() ? "none" : metrics_address);
}

// The threads of a channel wait for each other many times in each step, so one without a processor
// holds up all of them.
void WarnOfTooManyThreads(const ServerOptions& options) {
  if (options.channel_threads <= ProcessorsAllowed()) return;
  spdlog::warn(
      "--channel-threads is {}, but this process may use only {} processors (affinity and control "
      "group): steps will take many times as long, and streams may fail; use --channel-threads {}",
      options.channel_threads, ProcessorsAllowed(), ThreadsAllowed());
}

// Returns what the process does with the server, which must outlive it.
Servable ServableOf(Server& server) {
  return {.tick = [&server] { server.UpdateHealth(); },
          .alive = [&server] { return server.IsAlive(kAliveLimit); },
          .start_drain = [&server] { server.StartDrain(); },
          .wait_until_idle = [&server](Duration limit) { return server.WaitUntilIdle(limit); },
          .stop = [&server] { server.Stop(); }};
}

absl::StatusOr<ExitStatus> Run(const ServerOptions& options) {
  MetricsRegistry metrics;
  ESE_ASSIGN_OR_RETURN(const auto process, Process::Start(options.process, &metrics));
  SendGrpcMessagesToLog();
  ESE_RETURN_IF_ERROR(CheckThreadsCanStart(options.serving.loops + kOtherThreads));
  WarnOfTooManyThreads(options);
  ESE_ASSIGN_OR_RETURN(const auto models, LoadModels(options.models));
  if (!options.metrics.empty()) {
    ESE_RETURN_IF_ERROR(metrics.Serve(options.metrics, options.operator_page));
  }
  ESE_ASSIGN_OR_RETURN(const auto meter, EnergyMeter::Start(options.power, Clock::Real()));
  if (meter != nullptr) metrics.Show(meter);
  ShowCost(options.cost, &metrics);
  ESE_ASSIGN_OR_RETURN(const auto cards, OpenCards(options, &metrics));
  Mutex made_mutex;  // guards `made`, because another thread loads the models of a folder
  std::string made = "not made yet";
  const auto make_channels = [&](const std::shared_ptr<const Model>& model) {
    auto channels = MakeChannels(model, options, cards.get());
    if (channels.ok()) {
      const MutexLock lock(made_mutex);
      made = Summary(*channels);
    }
    return channels;
  };
  ESE_ASSIGN_OR_RETURN(const auto server,
                       Server::Start(options.serving, models, make_channels, &metrics));
  if (!options.serving.model_dir.empty()) {
    process->reloads().Add("the models of the folder", [&server = *server] {
      server.ReadModelsAgain();
      return absl::OkStatus();
    });
  }
  process->reloads().Add("certificates and tokens",
                         [&server = *server] { return server.ReloadAccess(); });
  ESE_RETURN_IF_ERROR(process->Ready(absl::StrCat(
      "grpc=", server->address(), "\nmetrics=", metrics.address(), "\npid=", getpid(), "\n")));
  {
    const MutexLock lock(made_mutex);
    LogStart(*server, made, metrics.address());
  }
  if (meter == nullptr && options.power.source == "auto") {
    spdlog::info(
        "no energy counter of a processor can be read in {}, so the power of the machine is not "
        "shown; --power model computes it from flags",
        options.power.powercap);
  }
  if (options.serving.checkpoint_keys.empty()) {
    spdlog::info(
        "without --checkpoint-key, checkpoints are valid only as long as this process runs");
  }
  return process->Serve(ServableOf(*server));
}

// Returns the status of the command line, of ListChannels or of Run.
absl::StatusOr<ExitStatus> Act(const CommandLine& command_line, const CommandLineError& error) {
  if (!error.status.ok()) return error.status;
  if (!command_line.options.list_channels) return Run(command_line.options);
  ESE_RETURN_IF_ERROR(ListChannels());
  return ExitStatus::kDrained;
}

ExitStatus StatusFor(const absl::Status& failed) {
  return absl::IsResourceExhausted(failed) ? ExitStatus::kNoResources : ExitStatus::kFailed;
}

int Main(int argc, char** argv) {
  ExplainMissingThreads();
  CommandLine command_line;
  const CommandLineError error = ParseServerOptions(argc, argv, &command_line);
  if (error.status.ok() && !command_line.text.empty()) {
    std::fputs(command_line.text.c_str(), stdout);
    return 0;
  }
  command_line.options.serving.scheduler.processors = ProcessorBudget::Process();
  const absl::StatusOr<ExitStatus> ended = Act(command_line, error);
  if (!ended.ok()) {
    WriteError(absl::StrCat("ese-server: ", Printable(ended.status().message()), "\n"));
  }
  const int exit_status = ended.ok()          ? static_cast<int>(*ended)
                          : error.status.ok() ? static_cast<int>(StatusFor(ended.status()))
                                              : error.exit_status;
  if (command_line.options.channels.cards) {
    // XRT's destructors wait for all batches, even for one that a hung unit never finishes.
    std::fflush(nullptr);
    std::quick_exit(exit_status);
  }
  return exit_status;
}

}  // namespace
}  // namespace ese

int main(int argc, char** argv) { return ese::Main(argc, argv); }
