// Channels through the genuine XRT, over emulated cards.
#include "accel/xrt/xrt_channel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "accel/emu/xclbin_writer.h"
#include "accel/rtl/sim/random_batch.h"
#include "model/testing.h"

namespace ese {
namespace {

using testing::HasSubstr;

constexpr const char* kCards = "2";
constexpr int kUnits = 3;

class XrtChannelTest : public testing::Test {
 protected:
  // XRT loads its shim once for a process.
  static void SetUpTestSuite() {
    setenv("XILINX_XRT", ESE_BINARY_DIR "/emu", 1);
    setenv("ESE_EMU_CARDS", kCards, 1);
    setenv("ESE_EMU_MEMORY_MIB", "4", 1);
    fault_file_ = new std::string(testing::TempDir() + "/fault");
    setenv("ESE_EMU_FAULT_FILE", fault_file_->c_str(), 1);
    xclbin_ = new std::string(testing::TempDir() + "/ese_channel.xclbin");
    ASSERT_TRUE(emu::WriteXclbin({.compute_units = kUnits}, *xclbin_).ok());
  }
  static void TearDownTestSuite() {
    delete xclbin_;
    delete fault_file_;
  }
  void TearDown() override { Inject(""); }
  static void Inject(const std::string& fault) { std::ofstream(*fault_file_) << fault; }

  static std::vector<std::unique_ptr<Channel>> Create(const std::shared_ptr<const Model>& model) {
    auto channels = CreateXrtChannels(model, {.xclbin = *xclbin_});
    EXPECT_TRUE(channels.ok()) << channels.status();
    return channels.ok() ? *std::move(channels) : std::vector<std::unique_ptr<Channel>>{};
  }

  static inline std::string* xclbin_ = nullptr;
  static inline std::string* fault_file_ = nullptr;
};

struct Pending {
  OwnedBatch batch;
  std::future<absl::Status> done;
};

// The channel's batch, under way; its buffers must stay where they are.
std::unique_ptr<Pending> Start(Channel* channel, const Model& model, const std::vector<int>& frames,
                               uint32_t seed) {
  auto pending = std::make_unique<Pending>();
  pending->batch = RandomBatch(model, frames, seed);
  auto batch = std::make_unique<Batch>();
  batch->lanes = pending->batch.lanes;
  auto promise = std::make_shared<std::promise<absl::Status>>();
  pending->done = promise->get_future();
  EXPECT_TRUE(channel
                  ->Submit(&batch,
                           [promise](std::unique_ptr<Batch>, absl::Status status) {
                             promise->set_value(std::move(status));
                           })
                  .ok());
  return pending;
}

void ExpectEqualsReference(const Model& model, Pending* pending, const std::vector<int>& frames,
                           uint32_t seed) {
  const absl::Status status = pending->done.get();
  ASSERT_TRUE(status.ok()) << status;
  OwnedBatch expected = RandomBatch(model, frames, seed);
  RunReference(model, &expected);
  for (size_t lane = 0; lane < frames.size(); ++lane) {
    const StreamState &a = pending->batch.states_out[lane], &b = expected.states_out[lane];
    EXPECT_TRUE(std::equal(a.c.begin(), a.c.end(), b.c.begin(), b.c.end())) << "c, lane " << lane;
    EXPECT_TRUE(std::equal(a.y.begin(), a.y.end(), b.y.begin(), b.y.end())) << "y, lane " << lane;
    EXPECT_EQ(pending->batch.logits[lane], expected.logits[lane]) << "logits, lane " << lane;
  }
}

TEST_F(XrtChannelTest, EveryPlaceOfEveryUnitOfEveryCardEqualsTheReference) {
  const RandomLayer sigmoid = {
      .cells = 33, .projection = 10, .peepholes = true, .g_activation = GActivation::kSigmoid};
  for (const int units : {7, 40, 64}) {
    const auto model = RandomModel(
        {.inputs = 13,
         .layers = {{.cells = 70, .projection = 20, .peepholes = true}, {.cells = 21}, sigmoid},
         .units = units,
         .density = 0.4});
    const auto channels = Create(model);
    ASSERT_EQ(channels.size(), 2u * kUnits * 2u);
    const std::vector<std::vector<int>> shapes = {
        {1}, {2, 5, 1}, std::vector<int>(64, 3), {4, 1, 3, 4, 2, 2, 1, 5, 1}};
    for (size_t k = 0; k < shapes.size(); ++k) {
      // All at once.
      std::vector<std::unique_ptr<Pending>> pending;
      for (size_t c = 0; c < channels.size(); ++c) {
        pending.push_back(Start(channels[c].get(), *model, shapes[k], uint32_t(100 * k + c)));
      }
      for (size_t c = 0; c < channels.size(); ++c) {
        ExpectEqualsReference(*model, pending[c].get(), shapes[k], uint32_t(100 * k + c));
      }
    }
  }
}

TEST_F(XrtChannelTest, EmulatedCardsSaySo) {
  const auto cards = ListXrtCards();
  ASSERT_TRUE(cards.ok()) << cards.status();
  ASSERT_EQ(cards->size(), 2u);
  EXPECT_THAT(cards->front().name, HasSubstr("emulated"));
  const auto channels = Create(RandomModel({}));
  ASSERT_FALSE(channels.empty());
  EXPECT_THAT(channels.front()->kernel(), HasSubstr("emulated"));
  EXPECT_EQ(channels.front()->name(), "xrt0.0.0");
  EXPECT_EQ(channels.back()->name(), "xrt1.2.1");
}

TEST_F(XrtChannelTest, SaysWhatIsMissing) {
  const auto model = RandomModel({});
  const auto error = [&](const XrtOptions& options) {
    return std::string(CreateXrtChannels(model, options).status().message());
  };
  EXPECT_THAT(error({.xclbin = "nowhere.xclbin"}), HasSubstr("no xclbin \"nowhere.xclbin\""));
  EXPECT_THAT(error({.xclbin = *xclbin_, .cards = {2}}), HasSubstr("no card 2; XRT finds 2"));
  const std::string other = testing::TempDir() + "/other.xclbin";
  ASSERT_TRUE(emu::WriteXclbin({.kernel = "vadd"}, other).ok());
  EXPECT_THAT(error({.xclbin = other}), HasSubstr("has no kernel ese_channel"));
}

TEST_F(XrtChannelTest, AModelOverTheCardsMemoryIsRefused) {
  // 2048 rows of 1024 entries of two bytes are 4 MiB.
  const auto model =
      RandomModel({.inputs = 512, .layers = {{.cells = 512, .projection = 512}}, .density = 1});
  const auto channels = CreateXrtChannels(model, {.xclbin = *xclbin_});
  EXPECT_EQ(channels.status().code(), absl::StatusCode::kResourceExhausted) << channels.status();
}

TEST_F(XrtChannelTest, RefusesABatchWithoutLanes) {
  const auto model = RandomModel({});
  const auto channels = Create(model);
  ASSERT_FALSE(channels.empty());
  auto empty = std::make_unique<Batch>();
  EXPECT_EQ(channels.front()->Submit(&empty, [](auto, auto) {}).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_NE(empty, nullptr);
}

TEST_F(XrtChannelTest, FaultsFailTheBatchAndTheUnitComesBack) {
  const auto model = RandomModel({});
  auto channels =
      CreateXrtChannels(model, {.xclbin = *xclbin_, .watchdog = std::chrono::milliseconds(50)});
  ASSERT_TRUE(channels.ok()) << channels.status();
  Channel* const channel = channels->front().get();
  const std::vector<int> frames = {2, 1};
  for (const auto& [fault, code] : {std::pair("flip", absl::StatusCode::kDataLoss),
                                    std::pair("error", absl::StatusCode::kUnavailable),
                                    std::pair("hang", absl::StatusCode::kUnavailable)}) {
    Inject(std::string("* ") + fault);
    const auto failed = Start(channel, *model, frames, 1);
    EXPECT_EQ(failed->done.get().code(), code) << fault;
    Inject("");
    // A unit that hung refuses until it has ended the batch that was given up.
    std::unique_ptr<Pending> well;
    absl::Status status;
    do {
      well = Start(channel, *model, frames, 2);
      status = well->done.get();
    } while (absl::IsUnavailable(status));
    EXPECT_TRUE(status.ok()) << fault << ": " << status;
    OwnedBatch expected = RandomBatch(*model, frames, 2);
    RunReference(*model, &expected);
    EXPECT_EQ(well->batch.logits, expected.logits) << fault;
  }
}

}  // namespace
}  // namespace ese
