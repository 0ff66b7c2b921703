// SPDX-License-Identifier: Apache-2.0
// What a load test found, for people, for scripts and for plots.
#pragma once

#include <ostream>
#include <string>

#include "absl/status/status.h"
#include "load/generator.h"
#include "load/search.h"
#include "load/vanish.h"

namespace ese {

void PrintReport(const LoadOptions& options, const LoadReport& report, std::ostream& out);
void PrintSearch(const SearchReport& report, Duration p99_limit, std::ostream& out);
void PrintVanish(const VanishReport& report, std::ostream& out);

// One JSON object: what was asked for, counts, percentiles up to 99.99 of every stage, the
// timeline, and the steps of a search, if any. bench/plot_load.py draws it.
absl::Status WriteJsonReport(const std::string& path, const LoadOptions& options,
                             const LoadReport& report, const SearchReport* search);

// The latencies as HdrHistogram writes them, for the plotters that read its format:
// https://github.com/HdrHistogram/HdrHistogram (outputPercentileDistribution); milliseconds.
absl::Status WritePercentiles(const std::string& path, const LatencyHistogram& latency);

}  // namespace ese
