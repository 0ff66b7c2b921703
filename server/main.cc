// SPDX-License-Identifier: Apache-2.0
// ese-server: connects models, channels on processors and cards, the gRPC service and /metrics.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "accel/cpu/cpu_channel.h"
#include "accel/xrt/xrt_cards.h"
#include "base/mutex.h"
#include "base/processors.h"
#include "base/status.h"
#include "grpc/support/log.h"
#include "metrics/registry.h"
#include "scheduler/processor_use.h"
#include "server/server.h"
#include "server/server_options.h"
#include "spdlog/sinks/stdout_sinks.h"
#include "spdlog/spdlog.h"

namespace ese {
namespace {

// The file exists exactly while the server serves, so that a supervisor can wait for it.
class ReadyFile {
 public:
  explicit ReadyFile(std::string path) : path_(std::move(path)) { Remove(); }
  ~ReadyFile() { Remove(); }

  // Writes the file atomically: a reader sees either all lines or no file.
  absl::Status Write(const std::string& text) {
    if (path_.empty()) return absl::OkStatus();
    const std::string part = path_ + ".part";
    std::error_code error;
    {
      std::ofstream file(part);
      file << text;
      file.flush();
      if (!file) error = std::error_code(errno, std::generic_category());
    }
    if (!error) std::filesystem::rename(part, path_, error);
    if (!error) return absl::OkStatus();
    std::error_code ignored;
    std::filesystem::remove(part, ignored);
    return absl::PermissionDeniedError(absl::StrCat("cannot write the ready file ", path_, ": ",
                                                    error.message(),
                                                    "; choose another with --ready-file"));
  }

 private:
  void Remove() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove(path_, ignored);
  }

  const std::string path_;
};

sigset_t EndSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

void StartLogging(const std::string& level) {
  auto logger = std::make_shared<spdlog::logger>("ese-server",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %v");
  logger->set_level(spdlog::level::from_str(level));
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
  // Otherwise gRPC writes to stderr in its own format, even if we report the same failure
  // ourselves.
  gpr_set_log_function([](gpr_log_func_args* args) { spdlog::debug("grpc: {}", args->message); });
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

// Serves until the first signal, then drains until all streams have ended, the time is up or a
// second signal comes.
void ServeUntilSignalled(Server& server, double drain_seconds) {
  const sigset_t signals = EndSignals();
  constexpr timespec kSecond{.tv_sec = 1, .tv_nsec = 0};
  int signal = 0;
  while ((signal = sigtimedwait(&signals, nullptr, &kSecond)) < 0) server.UpdateHealth();
  spdlog::info("received {}; draining for at most {} s", signal == SIGTERM ? "SIGTERM" : "SIGINT",
               drain_seconds);
  server.StartDrain();
  const TimePoint end = Clock::Real()->Now() + std::chrono::duration_cast<Duration>(
                                                   std::chrono::duration<double>(drain_seconds));
  bool idle = false;
  constexpr timespec kNoWait{};
  while (!idle && Clock::Real()->Now() < end && sigtimedwait(&signals, nullptr, &kNoWait) < 0) {
    idle = server.WaitUntilIdle(std::chrono::milliseconds(50));
  }
  spdlog::info("{}", idle ? "all streams have ended" : "ending the streams that are still open");
  server.Stop();
}

absl::Status Run(const ServerOptions& options) {
  // Block the signals before any thread starts, so that only sigtimedwait receives them.
  const sigset_t signals = EndSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  StartLogging(options.log_level);
  ReadyFile ready(options.ready_file);
  ESE_ASSIGN_OR_RETURN(const auto models, LoadModels(options.models));
  MetricsRegistry metrics;
  if (!options.metrics.empty()) ESE_RETURN_IF_ERROR(metrics.Serve(options.metrics));
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
  ESE_RETURN_IF_ERROR(
      ready.Write(absl::StrCat("grpc=", server->address(), "\nmetrics=", metrics.address(), "\n")));
  {
    const MutexLock lock(made_mutex);
    LogStart(*server, made, metrics.address());
  }
  if (options.serving.checkpoint_keys.empty()) {
    spdlog::info(
        "without --checkpoint-key, checkpoints are valid only as long as this process runs");
  }
  ServeUntilSignalled(*server, options.drain_seconds);
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  CommandLine command_line;
  const CommandLineError error = ParseServerOptions(argc, argv, &command_line);
  if (error.status.ok() && !command_line.text.empty()) {
    std::fputs(command_line.text.c_str(), stdout);
    return 0;
  }
  command_line.options.serving.scheduler.processors = ProcessorBudget::Process();
  const auto act = [](const ServerOptions& options) {
    return options.list_channels ? ListChannels() : Run(options);
  };
  const absl::Status status = error.status.ok() ? act(command_line.options) : error.status;
  if (!status.ok()) {
    std::fprintf(stderr, "ese-server: %s\n", std::string(status.message()).c_str());
  }
  const int exit_status = status.ok() ? 0 : error.status.ok() ? 1 : error.exit_status;
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
