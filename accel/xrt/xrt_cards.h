// SPDX-License-Identifier: Apache-2.0
// The back end for FPGA cards. Apart from the emulated card, only this folder uses XRT. XRT finds
// the cards, real or emulated, through the installation that XILINX_XRT names (docs/cards.md).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "accel/backend.h"
#include "base/clock.h"
#include "metrics/registry.h"
#include "model/model.h"

namespace ese {

struct XrtOptions {
  // Path of the file with ese_channel kernels that is loaded onto every card.
  std::string xclbin = "";
  // Indices of cards; empty means all cards.
  std::vector<int> cards = {};
  // Batch slots of each compute unit: one batch is packed and transferred while another is
  // computed.
  int batches_in_flight = 2;
  // A batch that takes longer has failed, and its unit takes no batches until the card ends it.
  // Keep this below the scheduler's watchdog, so that the scheduler learns the reason for the
  // delay.
  Duration watchdog = std::chrono::seconds(1);
  // A card this hot gets no batches until it is more than 5 degrees cooler. 0 turns this off.
  double hot_celsius = 90;
  Duration sensor_interval = std::chrono::seconds(1);
};

struct XrtCardInfo {
  int index = 0;
  absl::Status status;  // if not OK, the reason that the card cannot be opened; the rest is empty
  std::string name;     // of the platform; contains "emulated" for an emulated card
  std::string bdf;      // PCI address
  std::string serial;   // empty if XRT reports none
};

// Opens each card and closes it again. UNAVAILABLE if XRT is missing or has another version; the
// message gives the remedy.
absl::StatusOr<std::vector<XrtCardInfo>> ListXrtCards();

class CardCollectable;  // accel/xrt/card_collectable.h
class SensorSampler;    // accel/xrt/card_sensors.h
class XrtCard;          // accel/xrt/xrt_card.h

// The cards of this process. A card that cannot be opened or that is lost does not affect the
// others. It is opened again when a batch is submitted to one of its channels. Not thread-safe.
class XrtCards {
 public:
  // Opens the cards and loads them with the xclbin. `metrics` may be null, and must outlive this
  // and the channels. Errors are those of ListXrtCards; NOT_FOUND if a card or the file is missing;
  // INVALID_ARGUMENT for an xclbin without this kernel; and, if no card can be opened, the first
  // card's error.
  static absl::StatusOr<std::unique_ptr<XrtCards>> Open(const XrtOptions& options,
                                                        MetricsRegistry* metrics);
  ~XrtCards();

  // Writes the model to each card and makes `batches_in_flight` channels of 64 lanes for each of
  // its compute units, named xrt<card>.<unit>.<slot>, which share the unit. A card whose memory is
  // too small for the model gets no channels. RESOURCE_EXHAUSTED if the memory of all cards is too
  // small; INVALID_ARGUMENT for a model that does not fit the card's format.
  absl::StatusOr<std::vector<std::unique_ptr<Channel>>> MakeChannels(
      std::shared_ptr<const Model> model);

 private:
  explicit XrtCards(const XrtOptions& options) : options_(options) {}

  const XrtOptions options_;
  std::vector<std::shared_ptr<XrtCard>> cards_;
  std::shared_ptr<CardCollectable> collectable_;
  std::vector<std::shared_ptr<SensorSampler>> samplers_;  // last, because they use the cards
};

}  // namespace ese
