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
#include "model/model.h"

namespace ese {

struct XrtOptions {
  // Of a card with ese_channel kernels.
  std::string xclbin;
  // Indices of cards; empty takes all.
  std::vector<int> cards = {};
  // Batches that a compute unit has in hand: one is packed and moved while another is computed.
  int batches_in_flight = 2;
  // A batch that takes longer has failed, and its place is out of use until the card ends it.
  Duration watchdog = std::chrono::seconds(5);
};

struct XrtCard {
  int index = 0;
  std::string name;  // of the platform; an emulated card's says so
};

// UNAVAILABLE: no XRT, or one of another version; the message says what to do.
absl::StatusOr<std::vector<XrtCard>> ListXrtCards();

// Puts the model into the memory of each card and makes `batches_in_flight` channels of 64 lanes
// for each of its compute units, xrt<card>.<unit>.<place>, that share the unit. Errors: those of
// ListXrtCards; NOT_FOUND: no such card, no card at all, or no such file; INVALID_ARGUMENT: the
// xclbin is not of ese_channel, or a model that the card's format has no room for;
// RESOURCE_EXHAUSTED: the card's memory is too small; UNAVAILABLE: a card that cannot be opened.
absl::StatusOr<std::vector<std::unique_ptr<Channel>>> CreateXrtChannels(
    std::shared_ptr<const Model> model, const XrtOptions& options);

}  // namespace ese
