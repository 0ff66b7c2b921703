// SPDX-License-Identifier: Apache-2.0
// The process's metrics: counters, gauges and histograms, served to Prometheus at /metrics.
//
// A component asks for its handles once, when it is constructed, and keeps the pointers. Updating a
// metric is an atomic operation (a short lock for a histogram); looking one up by name is slower.
// Names carry base units (`_seconds`, `_bytes`, `_joules`), names of counters end in `_total`, and
// every metric has a help text. Labels must have few values, such as the models or the channels;
// never use one for each stream. A component that is gone for good removes its metrics (Remove).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/mutex.h"
#include "metrics/operator_page.h"
#include "prometheus/collectable.h"
#include "prometheus/counter.h"
#include "prometheus/family.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/labels.h"
#include "prometheus/registry.h"

namespace ese {

class HttpServer;
class ProcessMetrics;

using prometheus::Counter;    // Increment(by = 1)
using prometheus::Gauge;      // Set(value), Increment(by = 1), Decrement(by = 1)
using prometheus::Histogram;  // Observe(value)
using prometheus::Labels;     // map of label name to value

// Upper edges, in seconds, of buckets for latencies from 0.25 ms to 1 s. They include 10 ms (a
// frame at the usual 100 frames per second) and 30 ms (the scheduler's default target).
const std::vector<double>& LatencyBuckets();

// Thread-safe, but Serve may not run at the same time as Show, address or another Serve. Handles
// are valid until they are removed or the registry is destroyed.
class MetricsRegistry {
 public:
  // A new registry has ese_build_info{version,compiler} 1 and the metrics of process_metrics.h.
  MetricsRegistry();
  // Stops serving.
  ~MetricsRegistry();

  // Returns the metric with this name and these labels, and creates it at the first call. A
  // programming error ends the program: a name or label that Prometheus does not allow, or a name
  // that a metric of another kind has.
  Counter* GetCounter(const std::string& name, const std::string& help,
                      const Labels& labels = {}) noexcept;
  Gauge* GetGauge(const std::string& name, const std::string& help,
                  const Labels& labels = {}) noexcept;
  // `buckets` are the inclusive upper edges, ascending; +Inf is added.
  Histogram* GetHistogram(const std::string& name, const std::string& help,
                          const std::vector<double>& buckets, const Labels& labels = {}) noexcept;

  // Removes every metric that has all of these labels, whatever other labels it has. Its handle is
  // invalid from then on.
  void Remove(const Labels& labels) ABSL_LOCKS_EXCLUDED(mutex_);

  // Also exports what `more` collects, for as long as `more` lives. This is for values that exist
  // only some of the time. Other metrics may have the same names if their labels differ.
  void Show(const std::shared_ptr<prometheus::Collectable>& more);

  // Serves http://ADDRESS/metrics from a thread of its own until the registry is destroyed. Readers
  // share a page that is at most a second old (shared_page.h).
  // `address` is HOST:PORT or unix:PATH as in base/listen_socket.h; port 0 takes a free port, see
  // address(). `page` tells who may also read the operator page at /. INVALID_ARGUMENT: not such an
  // address. UNAVAILABLE: the server cannot listen there. FAILED_PRECONDITION: already serving. The
  // message names the address, the reason and the remedy.
  absl::Status Serve(const std::string& address, OperatorPage page = OperatorPage::kOff);
  // What clients connect to, with the actual port; "" before Serve.
  const std::string& address() const { return address_; }

  // The answer of /metrics, in Prometheus's text format.
  std::string Render() const;

 private:
  struct Entry {
    Labels labels;
    std::function<void()> remove;
  };

  template <typename Metric, typename... Arguments>
  Metric* Get(prometheus::Family<Metric>* family, const Labels& labels,
              const Arguments&... arguments) ABSL_LOCKS_EXCLUDED(mutex_);

  std::vector<std::weak_ptr<prometheus::Collectable>> More() const ABSL_LOCKS_EXCLUDED(mutex_);

  const std::shared_ptr<prometheus::Registry> registry_;
  const std::shared_ptr<ProcessMetrics> process_;
  mutable Mutex mutex_;
  std::map<const void*, Entry> metrics_ ABSL_GUARDED_BY(mutex_);  // by handle
  std::vector<std::weak_ptr<prometheus::Collectable>> more_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<HttpServer> http_;  // set by Serve
  std::string address_;
};

}  // namespace ese
