// SPDX-License-Identifier: Apache-2.0
#include "accel/xrt/card_sensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <latch>
#include <memory>
#include <string>

namespace ese {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::Not;
using testing::Pair;
using testing::UnorderedElementsAre;

// XRT 2.13 writes JSON like this.
constexpr const char* kElectrical = R"({
  "power_rails": [
    {"id": "12v_pex", "description": "12 Volts PCI Express",
     "voltage": {"volts": "12.051", "is_present": "true"},
     "current": {"amps": "1.874", "is_present": "true"}},
    {"id": "12v_aux", "description": "12 Volts Auxillary",
     "voltage": {"error_msg": "no such key", "volts": "0.000", "is_present": "false"},
     "current": {"amps": "0.000", "is_present": "false"}}],
  "power_consumption_max_watts": "225",
  "power_consumption_watts": "22.581",
  "power_consumption_warning": "false"})";
constexpr const char* kThermal = R"({"thermals": [
  {"location_id": "pcb_top_front", "description": "PCB Top Front", "temp_C": "0",
   "is_present": "false"},
  {"location_id": "fpga0", "description": "FPGA", "temp_C": "45", "is_present": "true"}]})";

TEST(ParseSensorsTest, ReturnsTheSensorsThatArePresent) {
  const auto readings = ParseSensors(kElectrical, kThermal);
  ASSERT_TRUE(readings.ok()) << readings.status();
  EXPECT_EQ(readings->watts, 22.581);
  EXPECT_THAT(readings->volts, UnorderedElementsAre(Pair("12v_pex", 12.051)));
  EXPECT_THAT(readings->celsius, UnorderedElementsAre(Pair("fpga0", 45)));
}

TEST(ParseSensorsTest, MissingSensorsAreAbsentInsteadOfZero) {
  const auto readings = ParseSensors(R"({"power_consumption_watts": "N/A"})", "{}");
  ASSERT_TRUE(readings.ok()) << readings.status();
  EXPECT_EQ(readings->watts, std::nullopt);
  EXPECT_TRUE(readings->volts.empty() && readings->celsius.empty());
}

TEST(ParseSensorsTest, RejectsTextThatIsNotJson) {
  EXPECT_EQ(ParseSensors("no sensors", "{}").status().code(), absl::StatusCode::kDataLoss);
}

class CardSensorsTest : public testing::Test {
 protected:
  void Take(std::optional<double> watts, std::optional<double> fpga) {
    SensorReadings readings{.watts = watts, .celsius = {{"pcb", 120}}, .volts = {}};
    if (fpga) readings.celsius["fpga0"] = *fpga;
    sensors_.Take(readings, now_ += seconds(1));
  }
  std::string Metrics() const { return registry_.Render(); }

  MetricsRegistry registry_;
  CardMetrics metrics_{&registry_,
                       {.index = 3, .bdf = "0000:04:00.1", .name = "u250", .serial = {}}};
  CardSensors sensors_{"card 3", {.interval = seconds(1), .hot_celsius = 90}, &metrics_};
  TimePoint now_{seconds(100)};
};

TEST_F(CardSensorsTest, IsTooHotUntilItIsMoreThanFiveDegreesCooler) {
  for (const auto& [celsius, hot] :
       {std::pair(89, false), std::pair(90, true), std::pair(89, true), std::pair(85, true),
        std::pair(84, false), std::pair(89, false)}) {
    Take({}, celsius);
    EXPECT_EQ(sensors_.too_hot(), hot) << celsius;
  }
  EXPECT_THAT(Metrics(), HasSubstr("kind=\"hot\"} 1\n"));
}

TEST_F(CardSensorsTest, StaysTooHotWithoutANewReading) {
  Take({}, 95);
  Take({}, {});
  sensors_.Take(absl::UnavailableError("no answer"), now_);
  EXPECT_TRUE(sensors_.too_hot());
}

TEST_F(CardSensorsTest, ASensorThatDisappearsHasFailed) {
  Take({}, 45);
  EXPECT_THAT(Metrics(), HasSubstr("kind=\"sensor\"} 0\n")) << "it has no power sensor";
  Take({}, {});
  EXPECT_THAT(Metrics(), HasSubstr("kind=\"sensor\"} 1\n"));
  EXPECT_FALSE(sensors_.Latest(now_).celsius.contains("fpga0"));
  sensors_.Take(absl::UnavailableError("no answer"), now_);
  EXPECT_THAT(Metrics(), HasSubstr("kind=\"sensor\"} 3\n")) << "fpga0 and pcb";
}

TEST_F(CardSensorsTest, EnergyIsPowerOverTimeWithoutGaps) {
  Take(20, {});
  Take(40, {});
  Take(40, {});
  EXPECT_THAT(Metrics(), HasSubstr("source=\"xrt\"} 70\n"));
  Take({}, {});
  Take(40, {});
  EXPECT_THAT(Metrics(), HasSubstr("source=\"xrt\"} 70\n"));
  now_ += seconds(60);
  Take(40, {});
  EXPECT_THAT(Metrics(), HasSubstr("source=\"xrt\"} 70\n"));
}

TEST_F(CardSensorsTest, OldReadingsAreNotShown) {
  Take(20, 45);
  EXPECT_EQ(sensors_.Latest(now_ + seconds(3)).watts, 20);
  EXPECT_EQ(sensors_.Latest(now_ + seconds(3) + milliseconds(1)).watts, std::nullopt);
}

TEST(CardMetricsTest, IdentifyReplacesTheLabels) {
  MetricsRegistry registry;
  CardMetrics metrics(&registry, {.index = 0, .serial = {}});
  EXPECT_THAT(registry.Render(), HasSubstr("ese_card_up{bdf=\"unknown\",card=\"0\"} 0"));
  metrics.Identify({.index = 0, .bdf = "0000:01:00.1", .name = "emulated_ese_card", .serial = {}});
  metrics.Opened();
  metrics.AddJoules(2);
  EXPECT_THAT(registry.Render(), HasSubstr("ese_card_up{bdf=\"0000:01:00.1\",card=\"0\"} 1"));
  EXPECT_THAT(registry.Render(), HasSubstr("source=\"model\"} 2"));
  EXPECT_THAT(registry.Render(), Not(HasSubstr("unknown")));
}

TEST(SensorSamplerTest, ReadsRepeatedly) {
  std::latch three{3};
  SensorSampler sampler(
      milliseconds(1), [] { return SensorReadings{.watts = 1, .celsius = {}, .volts = {}}; },
      [&, left = 3](const absl::StatusOr<SensorReadings>& readings) mutable {
        EXPECT_EQ(readings->watts, 1);
        if (left-- > 0) three.count_down();
      });
  three.wait();
}

// If a driver does not answer, the destructor gives up on it, and `take` is not called any more.
TEST(SensorSamplerTest, TheDestructorAbandonsAReadingThatDoesNotEnd) {
  auto begun = std::make_shared<std::latch>(1);
  auto end = std::make_shared<std::latch>(1);
  auto over = std::make_shared<std::latch>(1);
  {
    SensorSampler sampler(
        milliseconds(1),
        [begun, end,
         guard = std::shared_ptr<void>(nullptr, [over](void*) { over->count_down(); })] {
          begun->count_down();
          end->wait();
          return SensorReadings();
        },
        [](const absl::StatusOr<SensorReadings>&) { ADD_FAILURE() << "its owner is gone"; });
    begun->wait();
  }
  end->count_down();
  over->wait();  // the thread destroys `read` only when the reading has ended
}

}  // namespace
}  // namespace ese
