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
  // Path of the file with ese_channel kernels that every card is loaded with.
  std::string xclbin = "";
  // Indices of cards; empty takes all.
  std::vector<int> cards = {};
  // Batch slots of a compute unit: one batch is packed and moved while another is computed.
  int batches_in_flight = 2;
  // A batch that takes longer has failed, and its unit takes no batches until the card ends it.
  // Keep it below the scheduler's watchdog, so that the scheduler learns the reason of the delay.
  Duration watchdog = std::chrono::seconds(1);
  // A card this hot gets no batches until it is 5 degrees below. 0 turns this off.
  double hot_celsius = 90;
  Duration sensor_interval = std::chrono::seconds(1);
};

struct XrtCardInfo {
  int index = 0;
  absl::Status status;  // if not OK, why the card cannot be opened; the rest is then empty
  std::string name;     // of the platform; that of an emulated card says so
  std::string bdf;      // PCI address
  std::string serial;   // empty if XRT reports none
};

// Opens each card, and closes it again. UNAVAILABLE if there is no XRT or it has another version;
// the message says what to do.
absl::StatusOr<std::vector<XrtCardInfo>> ListXrtCards();

class CardCollectable;  // accel/xrt/card_collectable.h
class SensorSampler;    // accel/xrt/card_sensors.h
class XrtCard;          // accel/xrt/xrt_card.h

// The cards of this process. A card that cannot be opened or that is lost does not affect the
// others: it is opened again when a batch is submitted to one of its channels. Not thread-safe.
class XrtCards {
 public:
  // Opens the cards and loads them with the xclbin. `metrics` may be null, and must outlive this
  // and the channels. Errors are those of ListXrtCards; NOT_FOUND for a missing card or file, or if
  // there is no card at all; INVALID_ARGUMENT for an xclbin without this kernel; and, if no card
  // can be opened, the reason of the first.
  static absl::StatusOr<std::unique_ptr<XrtCards>> Open(const XrtOptions& options,
                                                        MetricsRegistry* metrics);
  ~XrtCards();

  // Writes the model to each card and makes `batches_in_flight` channels of 64 lanes for each of
  // its compute units, named xrt<card>.<unit>.<slot>, which share the unit. A card whose memory is
  // too small for the model gets no channels. RESOURCE_EXHAUSTED if that is so for all cards;
  // INVALID_ARGUMENT for a model that does not fit the card's format.
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
