// SPDX-License-Identifier: Apache-2.0
// The process's metrics: counters, gauges and histograms, served to Prometheus at /metrics.
//
// A component asks for its handles once, when it is made, and keeps the pointers: updating one is
// an atomic operation (a short lock for a histogram), looking one up by name is not. Names carry
// base units (`_seconds`, `_bytes`, `_joules`), counters end in `_total`, every metric has a help
// text. Labels are for a few values at a time, such as the model or the channel; never one for each
// stream. What is gone for good takes its metrics along (Remove).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "prometheus/collectable.h"
#include "prometheus/counter.h"
#include "prometheus/exposer.h"
#include "prometheus/family.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/labels.h"
#include "prometheus/registry.h"

namespace ese {

class ProcessMetrics;

using prometheus::Counter;    // Increment(by = 1)
using prometheus::Gauge;      // Set(value), Increment(by = 1), Decrement(by = 1)
using prometheus::Histogram;  // Observe(value)
using prometheus::Labels;     // map of label name to value

// Upper edges in seconds for latencies of 0.25 ms to 1 s, with edges at 10 ms (one frame) and at
// 30 ms (the scheduler's default target).
const std::vector<double>& LatencyBuckets();

// Thread-safe. Handles are valid as long as the registry.
class MetricsRegistry {
 public:
  // Starts with ese_build_info{version,compiler} 1 and the process's own (process_metrics.h).
  MetricsRegistry();
  // Stops serving, which takes civetweb up to 2 s.
  ~MetricsRegistry();

  // The metric of this name and these labels, made when first asked for. A programming error ends
  // the program: a name or label that Prometheus does not allow, or a name taken by another kind.
  Counter* GetCounter(const std::string& name, const std::string& help,
                      const Labels& labels = {}) noexcept;
  Gauge* GetGauge(const std::string& name, const std::string& help,
                  const Labels& labels = {}) noexcept;
  // `buckets`: ascending inclusive upper edges; +Inf is added.
  Histogram* GetHistogram(const std::string& name, const std::string& help,
                          const std::vector<double>& buckets, const Labels& labels = {}) noexcept;

  // Takes away every metric that has all of these labels, and maybe others. Their handles are
  // invalid from then on.
  void Remove(const Labels& labels);

  // Shows what `more` collects, too, for as long as it lives: for values that are only sometimes
  // there. Its families' names must be its own. Not while another thread calls Serve.
  void Show(const std::shared_ptr<prometheus::Collectable>& more);

  // Serves http://ADDRESS/metrics from two threads of its own until destruction. `address` is
  // HOST:PORT as of base/listen_address.h, but not of IPv6; port 0 takes a free one, see port().
  // INVALID_ARGUMENT: not such an address. UNAVAILABLE: nobody can listen there, with the reason.
  // FAILED_PRECONDITION: serves already. The message names the address and the remedy.
  absl::Status Serve(const std::string& address);
  // The port that Serve bound; 0 before.
  int port() const { return port_; }

  // What /metrics would answer, in Prometheus's text format.
  std::string Render() const;

 private:
  struct Entry {
    Labels labels;
    std::function<void()> remove;
  };

  template <typename Metric, typename... Arguments>
  Metric* Get(prometheus::Family<Metric>* family, const Labels& labels,
              const Arguments&... arguments);

  std::vector<std::weak_ptr<prometheus::Collectable>> More() const;

  const std::shared_ptr<prometheus::Registry> registry_;
  const std::shared_ptr<ProcessMetrics> process_;
  mutable std::mutex mutex_;
  // Guarded by mutex_.
  std::map<const void*, Entry> metrics_;  // by handle
  std::vector<std::weak_ptr<prometheus::Collectable>> more_;
  std::unique_ptr<prometheus::Exposer> exposer_;
  int port_ = 0;
};

}  // namespace ese
