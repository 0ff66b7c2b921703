// SPDX-License-Identifier: Apache-2.0
// How channels behave when something goes wrong with their card.
#include "accel/xrt/card_test_rig.h"

namespace ese {
namespace {

using std::chrono::milliseconds;
using testing::AllOf;
using testing::HasSubstr;

class CardRecoveryTest : public CardTest {
 protected:
  // Short, but long enough for a busy machine.
  static constexpr milliseconds kWatchdog{500};

  void SetUp() override {
    channels_ = Create(model_, {.watchdog = kWatchdog, .sensor_interval = std::chrono::hours(1)});
    ASSERT_EQ(channels_.size(), size_t{kCards * kUnits * kSlots});
  }
  void TearDown() override {
    CardTest::TearDown();
    channels_.clear();
  }

  Channel* At(int card, int unit, int slot) {
    return channels_[(card * kUnits + unit) * kSlots + slot].get();
  }
  absl::Status Try(int card, int unit, int slot) { return ese::Try(At(card, unit, slot), *model_); }
  // Retries until a batch succeeds, as a scheduler would.
  bool Works(int card, int unit, int slot) {
    return Eventually([&] { return Try(card, unit, slot).ok(); });
  }

  const std::shared_ptr<const Model> model_ = RandomModel({});
  std::vector<std::unique_ptr<Channel>> channels_;
};

TEST_F(CardRecoveryTest, AFaultFailsTheBatchAndTheUnitComesBack) {
  for (const auto& [fault, kind, code] :
       {std::tuple("0.0 flip", "checksum", absl::StatusCode::kDataLoss),
        std::tuple("0.0 error", "error_state", absl::StatusCode::kInternal),
        std::tuple("0.0 kernel 5", "kernel", absl::StatusCode::kInternal),
        std::tuple("0.0 kernel 7", "kernel", absl::StatusCode::kInternal),
        std::tuple("0 dma", "transfer", absl::StatusCode::kUnavailable),
        std::tuple("0.0 hang", "hang", absl::StatusCode::kDeadlineExceeded)}) {
    const double before = Faults(0, kind);
    Inject(fault);
    const absl::Status status = Try(0, 0, 0);
    EXPECT_EQ(status.code(), code) << fault << ": " << status;
    EXPECT_THAT(status.message(), HasSubstr("channel xrt0.0.0: "));
    EXPECT_EQ(Faults(0, kind), before + 1) << fault;
    Inject("");
    EXPECT_TRUE(Works(0, 0, 0)) << fault;
  }
  EXPECT_EQ(Metric("ese_card_opens_total", 0), 1)
      << "none of these faults is a reason to open the card again";
}

// At that time it is not known whether the unit or the whole card is at fault.
TEST_F(CardRecoveryTest, AfterAFaultTheOtherSlotsOfTheCardRefuseOneBatch) {
  Inject("0.0 error");
  EXPECT_FALSE(Try(0, 0, 0).ok());
  Inject("");
  for (const auto& [unit, slot] : {std::pair(0, 1), std::pair(2, 0)}) {
    const absl::Status status = Try(0, unit, slot);
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(status.message(), HasSubstr("must be tested first"));
    EXPECT_EQ(Try(0, unit, slot), absl::OkStatus());
  }
  EXPECT_EQ(Try(0, 0, 0), absl::OkStatus()) << "it has failed its batch, so this batch is its test";
  EXPECT_EQ(Try(1, 0, 0), absl::OkStatus()) << "another card";
}

TEST_F(CardRecoveryTest, ASlotThatKeepsFailingDoesNotDisturbTheOthers) {
  Inject("0.0 error");
  EXPECT_FALSE(Try(0, 0, 0).ok());
  EXPECT_FALSE(Try(0, 1, 0).ok());
  for (int k = 0; k < 3; ++k) {
    EXPECT_FALSE(Try(0, 0, 0).ok());
    EXPECT_EQ(Try(0, 1, 0), absl::OkStatus()) << k;
  }
}

TEST_F(CardRecoveryTest, AHungUnitTakesNoBatchesInItsOtherSlotEither) {
  Inject("0.1 hang");
  EXPECT_EQ(Try(0, 1, 0).code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(Try(0, 1, 1).message(), HasSubstr("must be tested first"));
  for (const int slot : {0, 1}) {
    const absl::Status status = Try(0, 1, slot);
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(status.message(), AllOf(HasSubstr("has not ended an earlier batch"),
                                        HasSubstr("resetting the card")));
  }
  EXPECT_TRUE(Works(0, 0, 0)) << "another unit of the card";
  EXPECT_EQ(Faults(0, "hang"), 1);
  Inject("");
  for (const int slot : {0, 1}) EXPECT_TRUE(Works(0, 1, slot));
}

TEST_F(CardRecoveryTest, ALostCardIsOpenedAgainWhenItComesBack) {
  for (int card = 0; card < kCards; ++card) EXPECT_EQ(Try(card, 0, 0), absl::OkStatus());
  for (int losses = 1; losses <= 3; ++losses) {
    Inject("0 gone");
    EXPECT_EQ(Try(0, 0, 0).code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(Try(0, 2, 1).message(), HasSubstr("must be tested first"));
    EXPECT_THAT(Try(0, 2, 1).message(), HasSubstr("No such device"));
    EXPECT_EQ(Metric("ese_card_up", 0), 0);
    EXPECT_EQ(Faults(0, "gone"), losses);
    EXPECT_EQ(Try(1, 0, 0), absl::OkStatus()) << "another card";
    Inject("");
    for (int unit = 0; unit < kUnits; ++unit) {
      for (int slot = 0; slot < kSlots; ++slot) EXPECT_TRUE(Works(0, unit, slot));
    }
    EXPECT_EQ(Metric("ese_card_up", 0), 1);
    EXPECT_EQ(Metric("ese_card_opens_total", 0), 1 + losses);
  }
  EXPECT_GT(Faults(0, "open"), 0);
  EXPECT_EQ(Faults(1, "gone"), 0);
}

// The batch never ended, so its memory must not be used again.
TEST_F(CardRecoveryTest, WorksAgainAfterACardIsLostWhileAUnitHangs) {
  Inject("0.0 hang");
  const auto under_way = Start(At(0, 0, 0), *model_, {1}, 1);
  Inject("0 gone");
  EXPECT_FALSE(under_way->done.get().ok());
  Inject("");
  EXPECT_TRUE(Works(0, 0, 0));
  EXPECT_TRUE(Works(0, 0, 1));
}

// The card may have lost its model, for example.
TEST_F(CardRecoveryTest, ACardOnWhichNothingWorksIsOpenedAgain) {
  Inject("0 kernel 2");
  for (int k = 0; k < 3; ++k) EXPECT_EQ(Try(0, 0, 0).code(), absl::StatusCode::kInternal);
  EXPECT_EQ(Faults(0, "gone"), 1);
  Inject("");
  EXPECT_TRUE(Works(0, 0, 0));
  EXPECT_EQ(Metric("ese_card_opens_total", 0), 2);
}

class CardSensingTest : public CardTest {
 protected:
  void SetUp() override {
    channels_ = Create(model_, {.sensor_interval = milliseconds(20)});
    ASSERT_FALSE(channels_.empty());
    for (int card = 0; card < kCards; ++card) ASSERT_TRUE(Shows("ese_power_watts", card, 20));
  }
  void TearDown() override {
    CardTest::TearDown();
    channels_.clear();
  }

  // Waits until the metric reaches `least`. It may be absent at first, because old sensor readings
  // are not shown.
  bool Shows(const std::string& name, int card, double least, const std::string& label = "") {
    return Eventually([&] { return Metric(name, card, label) >= least; });
  }
  bool ShowsNot(const std::string& name, int card) {
    return Eventually([&] { return Metric(name, card) == -1; });
  }

  const std::shared_ptr<const Model> model_ = RandomModel({});
  std::vector<std::unique_ptr<Channel>> channels_;
};

TEST_F(CardSensingTest, SensorReadingsOfEmulatedCardsAreMarkedAsAModel) {
  EXPECT_TRUE(Shows("ese_power_watts", 0, 20, "source=\"model\""));
  EXPECT_TRUE(Shows("ese_card_celsius", 1, 45, "sensor=\"fpga0\""));
  EXPECT_TRUE(Shows("ese_card_volts", 0, 12, "rail=\"12v_pex\""));
  EXPECT_EQ(Metric("ese_card_volts", 0, "rail=\"12v_aux\""), -1) << "there is no such rail";
  EXPECT_TRUE(Shows("ese_energy_joules_total", 0, 1));
}

TEST_F(CardSensingTest, AFailedSensorIsCountedAndNotShown) {
  Inject("0 sensor");
  EXPECT_TRUE(Eventually([&] { return Faults(0, "sensor") > 0; }));
  EXPECT_TRUE(ShowsNot("ese_power_watts", 0));
  EXPECT_TRUE(Shows("ese_power_watts", 1, 20)) << "another card";
  EXPECT_EQ(Try(channels_[0].get(), *model_), absl::OkStatus()) << "it still computes";
  Inject("");
  EXPECT_TRUE(Shows("ese_power_watts", 0, 20));
}

TEST_F(CardSensingTest, ACardThatIsTooHotGetsNoBatches) {
  Inject("0 hot");
  ASSERT_TRUE(Shows("ese_card_too_hot", 0, 1));
  const absl::Status status = Try(channels_[0].get(), *model_);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr("too hot"));
  EXPECT_EQ(Try(channels_.back().get(), *model_), absl::OkStatus()) << "another card";
  EXPECT_EQ(Faults(0, "hot"), 1);
  Inject("");
  EXPECT_TRUE(Eventually([&] { return Metric("ese_card_too_hot", 0) == 0; }));
  EXPECT_EQ(Try(channels_[0].get(), *model_), absl::OkStatus());
}

// The thread that reads the sensors notices the loss, because nothing else uses an idle card.
TEST_F(CardSensingTest, ALostIdleCardIsNoticedAndOpenedAgain) {
  Inject("1 gone");
  EXPECT_TRUE(Eventually([&] { return Metric("ese_card_up", 1) == 0; }));
  EXPECT_TRUE(ShowsNot("ese_power_watts", 1));
  EXPECT_EQ(Faults(1, "gone"), 1);
  EXPECT_EQ(Faults(1, "sensor"), 0) << "its sensors are not to blame";
  Inject("");
  EXPECT_TRUE(Eventually([&] { return Metric("ese_card_up", 1) == 1; }));
  EXPECT_TRUE(Eventually([&] { return Try(channels_.back().get(), *model_).ok(); }));
}

}  // namespace
}  // namespace ese
