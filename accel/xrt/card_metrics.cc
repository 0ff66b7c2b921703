// SPDX-License-Identifier: Apache-2.0
#include "accel/xrt/card_metrics.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "metrics/energy_meter.h"

namespace ese {
namespace {

constexpr std::array<const char*, kCardFaults> kNames = {
    "open",        "gone",   "memory",   "transfer", "start", "hang",
    "error_state", "kernel", "checksum", "hot",      "sensor"};

}  // namespace

const char* NameOf(CardFault fault) { return kNames[static_cast<size_t>(fault)]; }

const char* SourceOf(const CardIdentity& card) {
  return absl::StrContains(card.name, "emulated") ? "model" : "xrt";
}

std::string ComponentOf(const CardIdentity& card) { return absl::StrCat("card-", card.index); }

Labels LabelsOf(const CardIdentity& card) {
  return {{"card", absl::StrCat(card.index)}, {"bdf", card.bdf}};
}

CardMetrics::CardMetrics(MetricsRegistry* registry, const CardIdentity& card)
    : registry_(registry) {
  Identify(card);
}

void CardMetrics::Identify(const CardIdentity& card) {
  const MutexLock lock(mutex_);
  if (registry_ == nullptr) return;
  if (!labels_.empty()) registry_->Remove(labels_);
  labels_ = LabelsOf(card);
  for (size_t k = 0; k < kCardFaults; ++k) {
    Labels labels = labels_;
    labels["kind"] = kNames[k];
    faults_[k] =
        registry_->GetCounter("ese_card_faults_total", "Faults of a card, by kind.", labels);
  }
  opens_ = registry_->GetCounter("ese_card_opens_total",
                                 "Number of times that a card was opened and loaded.", labels_);
  up_ = registry_->GetGauge("ese_card_up", "1 if the card is open and loaded, else 0.", labels_);
  hot_ = registry_->GetGauge("ese_card_too_hot",
                             "1 if the card is too hot and gets no batches, else 0.", labels_);
  Labels labels = labels_;
  labels["source"] = SourceOf(card);
  labels["component"] = ComponentOf(card);
  joules_ = registry_->GetCounter("ese_energy_joules_total", kEnergyHelp, labels);
  labels = labels_;
  labels["name"] = card.name;
  labels["serial"] = card.serial;
  registry_->GetGauge("ese_card_info", "Always 1; its labels identify the card.", labels)->Set(1);
}

void CardMetrics::Count(CardFault fault) {
  const MutexLock lock(mutex_);
  if (registry_ != nullptr) faults_[static_cast<size_t>(fault)]->Increment();
}

void CardMetrics::Opened() {
  const MutexLock lock(mutex_);
  if (registry_ == nullptr) return;
  opens_->Increment();
  up_->Set(1);
}

void CardMetrics::Lost() {
  const MutexLock lock(mutex_);
  if (registry_ != nullptr) up_->Set(0);
}

void CardMetrics::SetHot(bool hot) {
  const MutexLock lock(mutex_);
  if (registry_ != nullptr) hot_->Set(hot);
}

void CardMetrics::AddJoules(double joules) {
  const MutexLock lock(mutex_);
  if (registry_ != nullptr) joules_->Increment(joules);
}

}  // namespace ese
