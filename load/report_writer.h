// SPDX-License-Identifier: Apache-2.0
// Writes the report of a load test, for people, for scripts and for plots.
#pragma once

#include <ostream>
#include <string>

#include "absl/status/status.h"
#include "load/generator.h"
#include "load/report.h"
#include "load/search.h"
#include "load/vanish.h"

namespace ese {

void PrintReport(const LoadOptions& options, const LoadReport& report, std::ostream& out);
void PrintSearch(const SearchReport& report, std::ostream& out);
void PrintVanish(const VanishReport& report, std::ostream& out);

// Writes one JSON object: what was asked for, counts, percentiles up to 99.99 of every stage, the
// timeline and, if `search` is not null, the runs of the search. bench/plot_load.py draws it.
// Returns the system's error if the file cannot be written.
absl::Status WriteJsonReport(const std::string& path, const LoadOptions& options,
                             const LoadReport& report, const SearchReport* search);

// Writes the latencies in milliseconds, in the format of HdrHistogram's
// outputPercentileDistribution (https://github.com/HdrHistogram/HdrHistogram), which several
// plotters read.
absl::Status WritePercentiles(const std::string& path, const LatencyHistogram& latency);

}  // namespace ese
