#include "accel/xrt/xrt_channel.h"

#include <cstring>
#include <mutex>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "accel/batch_worker.h"
#include "accel/xrt/xrt_card.h"
#include "base/status.h"

namespace ese {
namespace {

constexpr size_t kStatusBytes = 64;

size_t Align(size_t offset) { return (offset + 63) / 64 * 64; }

// The parts of a batch in one buffer: all that goes to the card, then all that comes back, so that
// each way is one transfer.
struct Layout {
  size_t descriptor = 0, state_in, inputs, status, state_out, outputs, end;

  Layout(const CardModel& model, int frames) {
    state_in = Align(64 + size_t(model.shape.lanes) * 2);
    inputs = Align(state_in + model.state_bytes());
    status = BufferSize(inputs + model.input_bytes(frames));
    state_out = status + kStatusBytes;
    outputs = Align(state_out + model.state_bytes());
    end = BufferSize(outputs + model.output_bytes(frames));
  }
};

// One place of a compute unit. Its thread packs a batch and waits, asleep, until the unit has
// computed it; another place's batch is computed meanwhile.
class XrtChannel final : public Channel {
 public:
  XrtChannel(std::shared_ptr<LoadedCard> card, int unit, int place, Duration watchdog)
      : card_(std::move(card)),
        name_(absl::StrCat(card_->name, ".", unit, ".", place)),
        watchdog_(std::chrono::ceil<std::chrono::milliseconds>(watchdog)),
        kernel_(card_->units[unit]),
        run_(kernel_),
        worker_(name_, "ese-xrt", [this](Batch* batch) {
          absl::Status status;
          const absl::Status translated =
              TranslateXrt(absl::StrCat("channel ", name_), [&] { status = Execute(batch); });
          return translated.ok() ? status : translated;
        }) {}

  absl::Status Submit(std::unique_ptr<Batch>* batch, Completion done) override {
    ESE_RETURN_IF_ERROR(ValidateBatch(*card_->model, **batch, max_lanes()));
    return worker_.Submit(batch, std::move(done));
  }

  int max_lanes() const override { return card_->packed.shape.lanes; }
  const std::string& name() const override { return name_; }
  const std::string& kernel() const override { return card_->kernel; }

 private:
  // May throw what XRT throws.
  absl::Status Execute(Batch* batch) {
    if (hung_ && run_.state() < ERT_CMD_STATE_COMPLETED) {
      return absl::UnavailableError(absl::StrCat(
          "channel ", name_, ": the compute unit still has not ended an earlier batch"));
    }
    hung_ = false;
    const CardModel& model = card_->packed;
    size_t frames = 0;
    for (const Lane& lane : batch->lanes)
      frames = std::max(frames, lane.frames.size() / model.inputs);
    batch->steps = static_cast<int>(frames);
    const Layout layout(model, batch->steps);
    Reserve(layout.end);
    Put(layout, *batch);
    memory_.sync(XCL_BO_SYNC_BO_TO_DEVICE, layout.status + kBufferAlignment, 0);
    run_.set_arg(0, memory_);
    run_.start();
    const ert_cmd_state state = run_.wait(watchdog_);
    if (state == ERT_CMD_STATE_TIMEOUT || state < ERT_CMD_STATE_COMPLETED) {
      hung_ = true;
      return absl::UnavailableError(absl::StrCat("channel ", name_, ": the batch was not done in ",
                                                 watchdog_.count(), " ms"));
    }
    if (state != ERT_CMD_STATE_COMPLETED) {
      return absl::UnavailableError(
          absl::StrCat("channel ", name_, ": the batch ended in state ", static_cast<int>(state)));
    }
    memory_.sync(XCL_BO_SYNC_BO_FROM_DEVICE, layout.end - layout.status, layout.status);
    return Take(layout, batch);
  }

  // Room for the largest batch so far, kept for the next ones.
  void Reserve(size_t bytes) {
    if (bytes <= reserved_) return;
    memory_ = xrt::bo(card_->device, bytes, card_->group);
    bytes_ = memory_.map<uint8_t*>();
    reserved_ = bytes;
  }

  void Put(const Layout& layout, const Batch& batch) {
    const CardModel& model = card_->packed;
    const uint64_t base = memory_.address();
    const BatchAddresses addresses = {.model = card_->model_memory.address(),
                                      .inputs = base + layout.inputs,
                                      .state_in = base + layout.state_in,
                                      .state_out = base + layout.state_out,
                                      .outputs = base + layout.outputs,
                                      .status = base + layout.status};
    absl::c_copy(PackDescriptor(model, batch.lanes, addresses), bytes_ + layout.descriptor);
    absl::c_copy(PackStates(model, batch.lanes), bytes_ + layout.state_in);
    absl::c_copy(PackInputs(model, batch.lanes), bytes_ + layout.inputs);
    // So that the status of an earlier batch is not taken for this one's.
    BatchStatus none;
    none.error = ~uint32_t{0};
    std::memcpy(bytes_ + layout.status, &none, sizeof(none));
  }

  absl::Status Take(const Layout& layout, Batch* batch) {
    const CardModel& model = card_->packed;
    BatchStatus status;
    std::memcpy(&status, bytes_ + layout.status, sizeof(status));
    if (status.error != 0) {
      return absl::InternalError(absl::StrCat(
          "channel ", name_, ": the kernel ended the batch with error ",
          status.error == ~uint32_t{0} ? "unknown, without a status record"
                                       : absl::StrCat(status.error, " (docs/hardware.md)")));
    }
    const uint64_t checksum =
        ResultChecksum(model, batch->lanes, bytes_ + layout.state_out, bytes_ + layout.outputs);
    if (checksum != status.checksum) {
      return absl::DataLossError(absl::StrCat(
          "channel ", name_, ": a bit of the results flipped on the way: their checksum is ",
          absl::Hex(checksum), ", the kernel's ", absl::Hex(status.checksum)));
    }
    UnpackStates(model, bytes_ + layout.state_out, &batch->lanes);
    UnpackLogits(model, bytes_ + layout.outputs, &batch->lanes);
    return absl::OkStatus();
  }

  const std::shared_ptr<LoadedCard> card_;
  const std::string name_;
  const std::chrono::milliseconds watchdog_;

  // The worker's own.
  xrt::kernel kernel_;
  xrt::run run_;
  xrt::bo memory_;
  uint8_t* bytes_ = nullptr;
  size_t reserved_ = 0;
  bool hung_ = false;  // the unit may still write to memory_

  BatchWorker worker_;  // last: it uses all of the above
};

}  // namespace

absl::StatusOr<std::vector<std::unique_ptr<Channel>>> CreateXrtChannels(
    std::shared_ptr<const Model> model, const XrtOptions& options) {
  // XRT's own maps of devices and kernels have no lock.
  static std::mutex one_at_a_time;
  const std::lock_guard lock(one_at_a_time);
  ESE_ASSIGN_OR_RETURN(const std::vector<XrtCard> present, ListXrtCards());
  if (present.empty()) {
    return absl::NotFoundError(
        "XRT finds no card; is one installed, and may this user open it? (docs/cards.md)");
  }
  std::vector<int> chosen = options.cards;
  if (chosen.empty()) {
    for (const XrtCard& card : present) chosen.push_back(card.index);
  }
  std::vector<std::unique_ptr<Channel>> channels;
  for (const int index : chosen) {
    if (index < 0 || static_cast<size_t>(index) >= present.size()) {
      return absl::NotFoundError(absl::StrCat("there is no card ", index, "; XRT finds ",
                                              present.size(), ", the first of which is 0"));
    }
    ESE_ASSIGN_OR_RETURN(const auto card, LoadCard(index, model, options));
    const int units = static_cast<int>(card->units.size());
    for (int unit = 0; unit < units; ++unit) {
      for (int place = 0; place < options.batches_in_flight; ++place) {
        ESE_RETURN_IF_ERROR(TranslateXrt(card->name, [&] {
          channels.push_back(std::make_unique<XrtChannel>(card, unit, place, options.watchdog));
        }));
      }
    }
  }
  return channels;
}

}  // namespace ese
