// SPDX-License-Identifier: Apache-2.0
#include "client/plan.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/regular_file.h"
#include "base/status.h"

namespace ese {
namespace {

// The report has a line for each second of the load.
constexpr size_t kMaxReportBytes = size_t{16} << 20;

}  // namespace

absl::StatusOr<MeasuredServer> ReadMeasuredServer(const std::string& path) {
  ESE_ASSIGN_OR_RETURN(const std::string text, ReadRegularFile(path, kMaxReportBytes));
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("most_streams") || !json.contains("p99_limit_ms") ||
      !json["most_streams"].is_number_integer() || !json["p99_limit_ms"].is_number()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path,
                     " is no report of a search; make one with ese-load --find-max --p99-ms "
                     "30 --report FILE against one of your servers"));
  }
  const MeasuredServer measured{path, json["most_streams"].get<int64_t>(),
                                json["p99_limit_ms"].get<double>()};
  if (measured.streams < 1) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s: the server held no number of streams with a p99 within %g ms; measure it with a "
        "larger --p99-ms or a smaller --streams",
        path, measured.p99_limit_ms));
  }
  return measured;
}

absl::StatusOr<MeasuredServer> ChooseMeasurement(const std::vector<MeasuredServer>& measured,
                                                 double p99_ms) {
  std::optional<MeasuredServer> best;
  for (const MeasuredServer& server : measured) {
    if (server.p99_limit_ms > p99_ms) continue;
    if (!best || server.streams > best->streams) best = server;
  }
  if (best) return *best;
  return absl::InvalidArgumentError(absl::StrFormat(
      "no report was measured with a limit of at most %g ms, and a latency cannot be guessed from "
      "others; make one with ese-load --find-max --p99-ms %g --report FILE",
      p99_ms, p99_ms));
}

int64_t ServersFor(int64_t streams, const MeasuredServer& server, double utilisation) {
  const auto share = static_cast<double>(server.streams) * utilisation;
  return std::max<int64_t>(1,
                           static_cast<int64_t>(std::ceil(static_cast<double>(streams) / share)));
}

absl::Status RunPlan(const PlanOptions& options, Console& console) {
  std::vector<MeasuredServer> measured;
  for (const std::string& path : options.measured) {
    ESE_ASSIGN_OR_RETURN(measured.emplace_back(), ReadMeasuredServer(path));
  }
  ESE_ASSIGN_OR_RETURN(const MeasuredServer server, ChooseMeasurement(measured, options.p99_ms));
  const int64_t servers = ServersFor(options.streams, server, options.utilisation);
  const auto load = [&](int64_t running) {
    return static_cast<double>(options.streams) / static_cast<double>(running * server.streams);
  };
  console.out << absl::StreamFormat("measured  %d streams a server, p99 within %g ms (%s)\n",
                                    server.streams, server.p99_limit_ms, server.path);
  console.out << absl::StreamFormat("servers   %d, each at %.0f %% of that\n", servers,
                                    100 * load(servers));
  if (options.cards > 0)
    console.out << absl::StreamFormat("cards     %d\n", servers * options.cards);
  if (servers == 1) {
    console.out << "one fails  all streams break: a second server would take them over\n";
  } else if (load(servers - 1) > 1) {
    console.out << "one fails  the others cannot carry all streams: plan one server more\n";
  } else {
    console.out << absl::StreamFormat("one fails  the others carry all streams, at %.0f %%\n",
                                      100 * load(servers - 1));
  }
  return absl::OkStatus();
}

}  // namespace ese
