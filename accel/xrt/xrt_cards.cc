// SPDX-License-Identifier: Apache-2.0
#include "accel/xrt/xrt_cards.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "accel/card/card_model.h"
#include "accel/xrt/card_collectable.h"
#include "accel/xrt/card_sensors.h"
#include "accel/xrt/resident_model.h"
#include "accel/xrt/xclbin_file.h"
#include "accel/xrt/xrt_batch_slot.h"
#include "accel/xrt/xrt_card.h"
#include "accel/xrt/xrt_channel.h"
#include "accel/xrt/xrt_error.h"
#include "base/status.h"
#include "spdlog/spdlog.h"

namespace ese {
namespace {

constexpr int kStepsWithRoom = 16;  // by default, the scheduler's longest batch

XrtCardInfo LookAt(int index) {
  XrtCardInfo card{.index = index, .status = {}, .name = {}, .bdf = {}, .serial = {}};
  absl::StatusOr<CardIdentity> identity;
  card.status = TranslateXrt(absl::StrCat("opening card ", index), [&] {
    identity = Identify(index, xrt::device(static_cast<unsigned int>(index)));
  });
  if (card.status.ok()) card.status = identity.status();
  if (card.status.ok()) {
    card.name = identity->name;
    card.bdf = identity->bdf;
    card.serial = identity->serial;
  }
  return card;
}

// Returns OK if the card has room for the model, in the memory of each unit, and for all batches in
// flight. Longer batches allocate more memory when they come.
absl::Status CheckRoom(const std::shared_ptr<OpenCard>& open, int batches_in_flight,
                       ResidentModel* model) {
  const size_t bytes = BatchBytes(model->packed().card, kStepsWithRoom);
  std::vector<xrt::bo> batches;
  for (const OpenCard::Unit& unit : open->units) {
    ESE_RETURN_IF_ERROR(model->BufferOn(open, unit.group).status());
    ESE_RETURN_IF_ERROR(
        TranslateXrt(absl::StrCat("allocating memory for ", batches_in_flight * open->units.size(),
                                  " batches of ", bytes, " bytes"),
                     [&] {
                       for (int i = 0; i < batches_in_flight; ++i)
                         batches.emplace_back(open->device, bytes, unit.group);
                     }));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<int>> Choose(const std::vector<int>& wanted, int present) {
  if (present == 0) {
    return absl::NotFoundError(
        "XRT finds no card; check that one is installed and that its driver xocl is loaded "
        "(docs/cards.md)");
  }
  std::vector<int> chosen = wanted;
  for (int index = 0; wanted.empty() && index < present; ++index) chosen.push_back(index);
  for (const int index : chosen) {
    if (index >= 0 && index < present) continue;
    return absl::NotFoundError(absl::StrCat("there is no card ", index, "; XRT finds ", present,
                                            " cards, numbered from 0"));
  }
  return chosen;
}

}  // namespace

absl::StatusOr<std::vector<XrtCardInfo>> ListXrtCards() {
  ESE_ASSIGN_OR_RETURN(const int count, CountXrtCards());
  std::vector<XrtCardInfo> cards;
  for (int index = 0; index < count; ++index) cards.push_back(LookAt(index));
  return cards;
}

absl::StatusOr<std::unique_ptr<XrtCards>> XrtCards::Open(const XrtOptions& options,
                                                         MetricsRegistry* metrics) {
  ESE_ASSIGN_OR_RETURN(const int present, CountXrtCards());
  ESE_ASSIGN_OR_RETURN(const std::vector<int> chosen, Choose(options.cards, present));
  ESE_ASSIGN_OR_RETURN(XclbinFile file, ReadXclbin(options.xclbin));
  const auto xclbin = std::make_shared<const XclbinFile>(std::move(file));
  std::unique_ptr<XrtCards> cards(new XrtCards(options));
  absl::Status first_error;
  bool any = false;
  for (const int index : chosen) {
    cards->cards_.push_back(std::make_shared<XrtCard>(index, xclbin, options, metrics));
    const absl::Status status = cards->cards_.back()->Get().status();
    any = any || status.ok();
    first_error.Update(status);
  }
  if (!any) return first_error;
  for (const auto& card : cards->cards_) {
    cards->samplers_.push_back(std::make_shared<SensorSampler>(
        options.sensor_interval, [card] { return card->ReadSensors(); },
        [card = card.get()](const absl::StatusOr<SensorReadings>& readings) {
          if (absl::IsNotFound(readings.status())) return;  // the card is gone, not its sensors
          card->sensors().Take(readings, Clock::Real()->Now());
        }));
  }
  cards->collectable_ = std::make_shared<CardCollectable>(cards->cards_);
  if (metrics != nullptr) metrics->Show(cards->collectable_);
  return cards;
}

XrtCards::~XrtCards() = default;

absl::StatusOr<std::vector<std::unique_ptr<Channel>>> XrtCards::MakeChannels(
    std::shared_ptr<const Model> model) {
  ESE_ASSIGN_OR_RETURN(CardModel card_model, PackForCard(*model, CardShape{}));
  const auto packed = std::make_shared<const PackedForCards>(
      PackedForCards{.model = std::move(model), .card = std::move(card_model)});
  std::vector<std::unique_ptr<Channel>> channels;
  absl::Status too_small;
  for (const auto& card : cards_) {
    const auto resident = std::make_shared<ResidentModel>(packed);
    const auto open = card->Get();
    absl::Status fits;
    if (open.ok()) fits = CheckRoom(*open, options_.batches_in_flight, resident.get());
    // Any other error may be temporary.
    if (absl::IsResourceExhausted(fits)) {
      spdlog::error("card {}: {}", card->identity().index, std::string(fits.message()));
      too_small.Update(fits);
      continue;
    }
    for (int unit = 0; unit < card->units(); ++unit) {
      for (int slot = 0; slot < options_.batches_in_flight; ++slot) {
        channels.push_back(
            std::make_unique<XrtChannel>(card, resident, unit, slot, options_.watchdog));
      }
    }
  }
  if (channels.empty()) return too_small;
  return channels;
}

}  // namespace ese
