// SPDX-License-Identifier: Apache-2.0
// Runs channels through the real XRT library on emulated cards.
#include "accel/xrt/xrt_cards.h"

#include "accel/xrt/card_test_rig.h"
#include "accel/xrt/xrt_card.h"

namespace ese {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class XrtCardsTest : public CardTest {
 protected:
  std::string ErrorOf(const XrtOptions& options) {
    return std::string(XrtCards::Open(options, &metrics_).status().message());
  }
};

TEST_F(XrtCardsTest, EverySlotOfEveryUnitOfEveryCardEqualsTheReference) {
  const RandomLayer sigmoid = {
      .cells = 33, .projection = 10, .peepholes = true, .g_activation = GActivation::kSigmoid};
  for (const int units : {7, 40, 64}) {
    const auto model = RandomModel(
        {.inputs = 13,
         .layers = {{.cells = 70, .projection = 20, .peepholes = true}, {.cells = 21}, sigmoid},
         .units = units,
         .density = 0.4});
    const auto channels = Create(model);
    ASSERT_EQ(channels.size(), size_t{kCards * kUnits * kSlots});
    const std::vector<std::vector<int>> shapes = {
        {1}, {2, 5, 1}, std::vector<int>(64, 3), {4, 1, 3, 4, 2, 2, 1, 5, 1}};
    for (size_t k = 0; k < shapes.size(); ++k) {
      // All channels at once.
      std::vector<std::unique_ptr<Pending>> pending;
      for (size_t c = 0; c < channels.size(); ++c) {
        pending.push_back(Start(channels[c].get(), *model, shapes[k], uint32_t(100 * k + c)));
      }
      for (size_t c = 0; c < channels.size(); ++c) {
        const absl::Status status = pending[c]->done.get();
        ASSERT_TRUE(status.ok()) << status;
        ExpectReferencesBits(*model, pending[c]->batch, shapes[k], uint32_t(100 * k + c));
      }
    }
  }
}

TEST_F(XrtCardsTest, EmulatedCardsAreNamedAsSuch) {
  const auto cards = ListXrtCards();
  ASSERT_TRUE(cards.ok()) << cards.status();
  ASSERT_EQ(cards->size(), 2u);
  EXPECT_THAT(cards->front().name, HasSubstr("emulated"));
  const auto channels = Create(RandomModel({}));
  ASSERT_FALSE(channels.empty());
  EXPECT_THAT(channels.front()->kernel(), HasSubstr("emulated"));
  EXPECT_EQ(channels.front()->name(), "xrt0.0.0");
  EXPECT_EQ(channels.back()->name(), "xrt1.2.1");
  EXPECT_EQ(channels.back()->executor(), "xrt1.2");
  EXPECT_EQ(Metric("ese_card_up", 1, "bdf=\"0000:02:00.1\""), 1);
  EXPECT_EQ(Metric("ese_card_info", 1, "name=\"emulated_ese_card\""), 1);
}

TEST_F(XrtCardsTest, ListsWhichCardsCannotBeUsed) {
  Inject("0 permission");
  const auto cards = ListXrtCards();
  ASSERT_TRUE(cards.ok()) << cards.status();
  ASSERT_EQ(cards->size(), size_t{kCards});
  EXPECT_EQ(cards->at(0).status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_TRUE(cards->at(1).status.ok()) << cards->at(1).status;
  EXPECT_EQ(cards->at(1).bdf, "0000:02:00.1");
}

TEST_F(XrtCardsTest, RefusesOtherVersionsOfXrt) {
  EXPECT_TRUE(CheckXrtVersion("2.13.466").ok());
  for (const char* version : {"2.14.354", "2.1.3", "unknown"}) {
    const absl::Status status = CheckXrtVersion(version);
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(status.message(), AllOf(HasSubstr(version), HasSubstr("install libxrt1")));
  }
}

// Each fault has its own code and remedy.
TEST_F(XrtCardsTest, SaysWhyNoCardCanBeOpened) {
  for (const auto& [fault, code, remedy] :
       {std::tuple("* permission", absl::StatusCode::kPermissionDenied,
                   "add the user to the group"),
        std::tuple("* busy", absl::StatusCode::kFailedPrecondition, "end the program that holds"),
        std::tuple("* gone", absl::StatusCode::kNotFound, "the card is gone")}) {
    Inject(fault);
    const absl::Status status = XrtCards::Open({.xclbin = xclbin_}, nullptr).status();
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_THAT(status.message(), AllOf(HasSubstr("card 0"), HasSubstr(remedy)));
  }
}

TEST_F(XrtCardsTest, UsesACardOnceItCanBeOpened) {
  const auto model = RandomModel({});
  for (const auto& [fault, complaint] :
       {std::pair("0 permission", "Permission denied"), std::pair("0 busy", "another program")}) {
    Inject(fault);
    // The sensors are not read during the test, because reading them might open the card too.
    const auto channels = Create(model, {.sensor_interval = std::chrono::hours(1)});
    ASSERT_EQ(channels.size(), size_t{kCards * kUnits * kSlots});
    const absl::Status status = Try(channels.front().get(), *model);
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(status.message(), AllOf(HasSubstr("xrt0.0.0"), HasSubstr(complaint)));
    EXPECT_EQ(Try(channels.back().get(), *model), absl::OkStatus()) << "the other card";
    Inject("");
    EXPECT_EQ(Try(channels.front().get(), *model), absl::OkStatus());
    EXPECT_EQ(Metric("ese_card_up", 0, "bdf=\"0000:01:00.1\""), 1);
  }
}

TEST_F(XrtCardsTest, SaysWhichFileOrCardIsMissing) {
  EXPECT_THAT(ErrorOf({.xclbin = "nowhere.xclbin"}), HasSubstr("no xclbin \"nowhere.xclbin\""));
  EXPECT_THAT(ErrorOf({.xclbin = xclbin_, .cards = {2}}), HasSubstr("no card 2; XRT finds 2"));
}

TEST_F(XrtCardsTest, RefusesOtherXclbins) {
  const std::string other = testing::TempDir() + "/other.xclbin";
  const auto error = [&](const emu::XclbinOptions& options) {
    EXPECT_TRUE(emu::WriteXclbin(options, other).ok());
    return ErrorOf({.xclbin = other});
  };
  EXPECT_THAT(error({.kernel = "vadd"}), HasSubstr("other.xclbin has no kernel ese_channel"));
  EXPECT_THAT(error({.interface_version = "2.0"}),
              AllOf(HasSubstr("with interface ese:kernel:ese_channel:2.0"),
                    HasSubstr("needs version 1.0")));
  EXPECT_THAT(error({.clock_megahertz = 0}), HasSubstr("clock is 0 MHz"));
  EXPECT_THAT(error({.clock_megahertz = 20000}), HasSubstr("clock is 20000 MHz"));
  std::ofstream(other) << "not an xclbin";
  EXPECT_THAT(ErrorOf({.xclbin = other}), HasSubstr("reading " + other));
}

TEST_F(XrtCardsTest, RefusesAModelThatExceedsTheCardsMemory) {
  // 2048 rows of 1024 entries of two bytes are 4 MiB.
  const auto model =
      RandomModel({.inputs = 512, .layers = {{.cells = 512, .projection = 512}}, .density = 1});
  auto cards = XrtCards::Open({.xclbin = xclbin_}, nullptr);
  ASSERT_TRUE(cards.ok()) << cards.status();
  const absl::Status status = (*cards)->MakeChannels(model).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_THAT(status.message(), HasSubstr("memory is full; serve fewer or smaller models"));
  EXPECT_TRUE((*cards)->MakeChannels(RandomModel({})).ok()) << "a smaller model fits";
}

TEST_F(XrtCardsTest, RefusesAModelThatLeavesNoRoomForItsBatches) {
  const auto model =
      RandomModel({.inputs = 1000, .layers = {{.cells = 512, .projection = 512}}, .density = 0.1});
  auto cards = XrtCards::Open({.xclbin = xclbin_}, nullptr);
  ASSERT_TRUE(cards.ok()) << cards.status();
  const absl::Status status = (*cards)->MakeChannels(model).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_THAT(status.message(), HasSubstr("memory for 6 batches of "));
}

TEST_F(XrtCardsTest, RefusesABatchWithoutLanes) {
  const auto model = RandomModel({});
  const auto channels = Create(model);
  ASSERT_FALSE(channels.empty());
  auto empty = std::make_unique<Batch>();
  EXPECT_EQ(channels.front()->Submit(&empty, [](auto, auto) {}).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_NE(empty, nullptr);
}

}  // namespace
}  // namespace ese
