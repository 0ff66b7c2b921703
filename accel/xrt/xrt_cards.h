// SPDX-License-Identifier: Apache-2.0
// The back end of FPGA cards through XRT, the only user of XRT beside the emulated card. Which
// cards there are, real or emulated, is XRT's matter: XILINX_XRT names the installation
// (docs/cards.md).
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
  // Of a card with ese_channel kernels.
  std::string xclbin = "";
  // Indices of cards; empty takes all.
  std::vector<int> cards = {};
  // Batches that a compute unit has in hand: one is packed and moved while another is computed.
  int batches_in_flight = 2;
  // A batch that takes longer has failed, and its unit is out of use until the card ends it. Less
  // than the scheduler's, so that what it learns is the reason and not only the delay.
  Duration watchdog = std::chrono::seconds(1);
  // At so many degrees a card gets no batches until it is five below; 0: never.
  double hot_celsius = 90;
  Duration sensor_interval = std::chrono::seconds(1);
};

struct XrtCardInfo {
  int index = 0;
  absl::Status status;  // why it cannot be opened; then the rest is empty
  std::string name;     // of the platform; an emulated card's says so
  std::string bdf;      // PCI address
  std::string serial;   // empty: XRT does not tell
};

// Each card is opened for it, and closed. UNAVAILABLE: no XRT, or one of another version; the
// message says what to do.
absl::StatusOr<std::vector<XrtCardInfo>> ListXrtCards();

class CardCollectable;  // accel/xrt/card_collectable.h
class SensorSampler;    // accel/xrt/card_sensors.h
class XrtCard;          // accel/xrt/xrt_card.h

// The cards of this process. A card that cannot be opened, or that is lost, does not take others
// along: it is opened again whenever one of its channels is tried (see Channel::Submit). Calls are
// from one thread at a time.
class XrtCards {
 public:
  // Opens the cards and loads them with the xclbin. `metrics` may be null, and must outlive this
  // and the channels. Errors: those of ListXrtCards; NOT_FOUND: no such card, no card at all, or no
  // such file; INVALID_ARGUMENT: an xclbin that is none of this kernel; if none of the cards can
  // be opened, why the first cannot.
  static absl::StatusOr<std::unique_ptr<XrtCards>> Open(const XrtOptions& options,
                                                        MetricsRegistry* metrics);
  ~XrtCards();

  // Puts the model into the memory of each card and makes `batches_in_flight` channels of 64 lanes
  // for each of its compute units, xrt<card>.<unit>.<place>, that share the unit. A card whose
  // memory is too small for it gets none. RESOURCE_EXHAUSTED: that is so of all;
  // INVALID_ARGUMENT: a model that the card's format has no room for.
  absl::StatusOr<std::vector<std::unique_ptr<Channel>>> MakeChannels(
      std::shared_ptr<const Model> model);

 private:
  explicit XrtCards(const XrtOptions& options) : options_(options) {}

  const XrtOptions options_;
  std::vector<std::shared_ptr<XrtCard>> cards_;
  std::shared_ptr<CardCollectable> collectable_;
  std::vector<std::shared_ptr<SensorSampler>> samplers_;  // last: they use the cards
};

}  // namespace ese
