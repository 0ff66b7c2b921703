// SPDX-License-Identifier: Apache-2.0
#include "metrics/energy_meter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "base/fake_clock.h"
#include "metrics/cost.h"
#include "metrics/registry.h"

namespace ese {
namespace {

using std::chrono::seconds;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::Pair;
using testing::UnorderedElementsAre;

// A folder like /sys/class/powercap.
class EnergyMeterTest : public testing::Test {
 protected:
  EnergyMeterTest() { std::filesystem::create_directories(options_.powercap = folder_); }
  ~EnergyMeterTest() override { std::filesystem::remove_all(folder_); }

  void Write(const std::string& zone, const std::string& file, const std::string& text) {
    std::filesystem::create_directories(folder_ + "/" + zone);
    std::ofstream(folder_ + "/" + zone + "/" + file) << text << '\n';
  }
  void SetEnergy(const std::string& zone, uint64_t microjoules) {
    Write(zone, "energy_uj", std::to_string(microjoules));
  }
  void AddZone(const std::string& zone, const std::string& name, uint64_t microjoules = 0) {
    Write(zone, "name", name);
    Write(zone, "max_energy_range_uj", "1000000000");
    SetEnergy(zone, microjoules);
  }
  void Start() {
    auto meter = EnergyMeter::Start(options_, &clock_);
    ASSERT_TRUE(meter.ok()) << meter.status();
    meter_ = *meter;
  }
  // The metric's value of each component.
  std::map<std::string, double> Values(const std::string& name) const {
    std::map<std::string, double> values;
    for (const auto& family : meter_->Collect()) {
      if (family.name != name) continue;
      for (const auto& metric : family.metric) {
        values[metric.label[0].value] = metric.gauge.value + metric.counter.value;
      }
    }
    return values;
  }
  auto Watts() const { return Values("ese_power_watts"); }
  auto Joules() const { return Values("ese_energy_joules_total"); }

  const std::string folder_ = testing::TempDir() + "/energy_meter_test";
  FakeClock clock_;
  PowerOptions options_;
  std::shared_ptr<EnergyMeter> meter_;
};

TEST_F(EnergyMeterTest, CountsPackagesAndMemoryOnceAndNotTheirParts) {
  const char* zones[][2] = {{"intel-rapl:0", "package-0"}, {"intel-rapl:0:0", "core"},
                            {"intel-rapl:0:1", "dram"},    {"intel-rapl:1", "package-1"},
                            {"intel-rapl:2", "psys"},      {"intel-rapl-mmio:0", "package-0"}};
  for (const auto& [zone, name] : zones) AddZone(zone, name);
  Start();
  EXPECT_THAT(Watts(), testing::IsEmpty()) << "nothing is known yet";
  for (const auto& [zone, name] : zones) SetEnergy(zone, 50'000'000);
  clock_.Advance(seconds(1));
  EXPECT_THAT(Watts(), UnorderedElementsAre(Pair("package-0", 50), Pair("dram-0", 50),
                                            Pair("package-1", 50)));
}

TEST_F(EnergyMeterTest, ACounterThatStartsAgainFromZeroAddsNoJump) {
  AddZone("intel-rapl:0", "package-0", 990'000'000);
  Start();
  SetEnergy("intel-rapl:0", 20'000'000);
  clock_.Advance(seconds(1));
  EXPECT_THAT(Joules(), UnorderedElementsAre(Pair("package-0", testing::DoubleEq(30))));
}

TEST_F(EnergyMeterTest, ACounterThatIsAlwaysZeroIsAbsent) {
  AddZone("intel-rapl:0", "package-0", 0);
  Start();
  clock_.Advance(seconds(5));
  EXPECT_THAT(meter_->Collect(), testing::IsEmpty());
}

TEST_F(EnergyMeterTest, ACounterThatStandsStillHasNoWatts) {
  AddZone("intel-rapl:0", "package-0", 0);
  Start();
  SetEnergy("intel-rapl:0", 1'000'000);
  clock_.Advance(seconds(1));
  EXPECT_EQ(Watts().size(), 1);
  clock_.Advance(seconds(60));
  EXPECT_EQ(Watts().size(), 0);
  EXPECT_EQ(Joules()["package-0"], 1);
}

TEST_F(EnergyMeterTest, ASensorThatFailsMidwayIsAbsentAndTheGapAddsNothing) {
  AddZone("intel-rapl:0", "package-0", 0);
  Start();
  SetEnergy("intel-rapl:0", 5'000'000);
  clock_.Advance(seconds(1));
  Write("intel-rapl:0", "energy_uj", "no number");
  clock_.Advance(seconds(1));
  EXPECT_EQ(Watts().size(), 0);
  EXPECT_EQ(Joules()["package-0"], 5);
  SetEnergy("intel-rapl:0", 900'000'000);
  clock_.Advance(seconds(1));
  EXPECT_EQ(Joules()["package-0"], 5) << "nobody knows what happened in between";
  SetEnergy("intel-rapl:0", 907'000'000);
  clock_.Advance(seconds(1));
  EXPECT_EQ(Watts()["package-0"], 7);
  EXPECT_EQ(Joules()["package-0"], 12);
}

TEST_F(EnergyMeterTest, TheModelAddsBusyProcessorsToIdleWatts) {
  double cpu = 100;
  options_.source = "model";
  options_.idle_watts = 20;
  options_.core_watts = 4;
  options_.cpu_seconds = [&] { return cpu; };
  Start();
  cpu += 3;
  clock_.Advance(seconds(1));
  EXPECT_THAT(Watts(), UnorderedElementsAre(Pair("server", 32)));
  clock_.Advance(seconds(1));
  EXPECT_THAT(Watts(), UnorderedElementsAre(Pair("server", 20)));
  EXPECT_THAT(Joules(), UnorderedElementsAre(Pair("server", 52)));
}

TEST_F(EnergyMeterTest, WithoutCountersNothingIsShownAndRaplIsRefused) {
  EXPECT_EQ(*EnergyMeter::Start(options_, &clock_), nullptr);
  options_.powercap = folder_ + "/missing";
  EXPECT_EQ(*EnergyMeter::Start(options_, &clock_), nullptr);
  options_.source = "rapl";
  EXPECT_THAT(EnergyMeter::Start(options_, &clock_).status().message(),
              AllOf(HasSubstr("only root"), HasSubstr("--power model")));
  options_.source = "none";
  EXPECT_EQ(*EnergyMeter::Start(options_, &clock_), nullptr);
}

TEST_F(EnergyMeterTest, RefusesAModelWithoutWattsAndUnknownSources) {
  options_.source = "model";
  EXPECT_THAT(EnergyMeter::Start(options_, &clock_).status().message(),
              HasSubstr("--power-core-watts"));
  options_.source = "ipmi";
  EXPECT_THAT(EnergyMeter::Start(options_, &clock_).status().message(),
              HasSubstr("auto, rapl, model or none"));
}

TEST_F(EnergyMeterTest, ThePageHasOneFamilyForAllSources) {
  AddZone("intel-rapl:0", "package-0", 0);
  Start();
  SetEnergy("intel-rapl:0", 5'000'000);
  clock_.Advance(seconds(1));
  MetricsRegistry registry;
  registry.Show(meter_);
  registry
      .GetCounter("ese_energy_joules_total", kEnergyHelp,
                  {{"component", "card-0"}, {"source", "xrt"}})
      ->Increment(3);
  const std::string page = registry.Render();
  const std::string type = "# TYPE ese_energy_joules_total counter";
  EXPECT_EQ(page.find(type), page.rfind(type));
  EXPECT_THAT(
      page,
      AllOf(HasSubstr("ese_energy_joules_total{component=\"card-0\",source=\"xrt\"} 3\n"),
            HasSubstr("ese_energy_joules_total{component=\"package-0\",source=\"rapl\"} 5\n")));
}

TEST(CostTest, ShowsOnlyWhatIsKnown) {
  MetricsRegistry none;
  ShowCost({}, &none);
  EXPECT_THAT(none.Render(), Not(HasSubstr("ese_cost")));
  MetricsRegistry some;
  ShowCost({.server_price = 9000, .tariff = 0.1}, &some);
  EXPECT_THAT(some.Render(), AllOf(HasSubstr("\nese_cost_server_price_dollars 9000\n"),
                                   HasSubstr("\nese_cost_server_life_years 6\n"),
                                   HasSubstr("\nese_cost_tariff_dollars_per_kwh 0.1"),
                                   HasSubstr("\nese_cost_machine_share_ratio 1\n"),
                                   Not(HasSubstr("ese_cost_card"))));
}

}  // namespace
}  // namespace ese
