// SPDX-License-Identifier: Apache-2.0
#include "metrics/registry.h"

#include <algorithm>
#include <iterator>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "metrics/http_server.h"
#include "metrics/process_metrics.h"
#include "prometheus/text_serializer.h"

namespace ese {
namespace {

const char* Compiler() {
#if defined(__clang__)
  return "clang " __clang_version__;
#else
  return "gcc " __VERSION__;
#endif
}

// A name may stand only once in the page, so metrics of the same name join their family.
void Merge(prometheus::MetricFamily family, std::vector<prometheus::MetricFamily>* families) {
  const auto same = std::ranges::find(*families, family.name, &prometheus::MetricFamily::name);
  if (same == families->end()) {
    families->push_back(std::move(family));
  } else {
    std::ranges::move(family.metric, std::back_inserter(same->metric));
  }
}

}  // namespace

const std::vector<double>& LatencyBuckets() {
  static const auto* const buckets =
      new std::vector<double>{0.00025, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015,
                              0.02,    0.03,   0.05,  0.075, 0.1,   0.2,   0.5,    1};
  return *buckets;
}

MetricsRegistry::MetricsRegistry()
    : registry_(std::make_shared<prometheus::Registry>()),
      process_(std::make_shared<ProcessMetrics>()) {
  GetGauge("ese_build_info", "Constant 1, labelled with the version and compiler of this program.",
           {{"version", ESE_VERSION}, {"compiler", Compiler()}})
      ->Set(1);
}

MetricsRegistry::~MetricsRegistry() = default;

template <typename Metric, typename... Arguments>
Metric* MetricsRegistry::Get(prometheus::Family<Metric>* family, const Labels& labels,
                             const Arguments&... arguments) {
  const MutexLock lock(mutex_);
  Metric* const metric = &family->Add(labels, arguments...);
  metrics_.try_emplace(metric, Entry{labels, [family, metric] { family->Remove(metric); }});
  return metric;
}

Counter* MetricsRegistry::GetCounter(const std::string& name, const std::string& help,
                                     const Labels& labels) noexcept {
  return Get(&prometheus::BuildCounter().Name(name).Help(help).Register(*registry_), labels);
}

Gauge* MetricsRegistry::GetGauge(const std::string& name, const std::string& help,
                                 const Labels& labels) noexcept {
  return Get(&prometheus::BuildGauge().Name(name).Help(help).Register(*registry_), labels);
}

Histogram* MetricsRegistry::GetHistogram(const std::string& name, const std::string& help,
                                         const std::vector<double>& buckets,
                                         const Labels& labels) noexcept {
  return Get(&prometheus::BuildHistogram().Name(name).Help(help).Register(*registry_), labels,
             buckets);
}

void MetricsRegistry::Remove(const Labels& labels) {
  const MutexLock lock(mutex_);
  for (auto it = metrics_.begin(); it != metrics_.end();) {
    const Entry& entry = it->second;
    if (std::includes(entry.labels.begin(), entry.labels.end(), labels.begin(), labels.end())) {
      entry.remove();
      it = metrics_.erase(it);
    } else {
      ++it;
    }
  }
}

// Returns a copy, because a Collectable must not be called with this lock held: it may have locks
// of its own and ask for metrics while it holds them.
std::vector<std::weak_ptr<prometheus::Collectable>> MetricsRegistry::More() const {
  const MutexLock lock(mutex_);
  return more_;
}

void MetricsRegistry::Show(const std::shared_ptr<prometheus::Collectable>& more) {
  const MutexLock lock(mutex_);
  more_.push_back(more);
}

absl::Status MetricsRegistry::Serve(const std::string& address, OperatorPage page) {
  if (http_ != nullptr) {
    return absl::FailedPreconditionError(absl::StrCat("cannot serve metrics on ", address,
                                                      ": they are already served at ", address_,
                                                      "; call Serve only once"));
  }
  ESE_ASSIGN_OR_RETURN(http_, HttpServer::Start(
                                  address, [this] { return Render(); }, Clock::Real(), page));
  address_ = http_->address();
  return absl::OkStatus();
}

std::string MetricsRegistry::Render() const {
  std::vector<prometheus::MetricFamily> families = registry_->Collect();
  std::ranges::move(process_->Collect(), std::back_inserter(families));
  for (const auto& weak : More()) {
    const auto more = weak.lock();
    if (more == nullptr) continue;
    for (prometheus::MetricFamily& family : more->Collect()) Merge(std::move(family), &families);
  }
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, families);
  return out.str();
}

}  // namespace ese
