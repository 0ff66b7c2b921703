// SPDX-License-Identifier: Apache-2.0
// Tests batches and faults of emulated cards, as a program sees them through the real XRT library.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "accel/card/card_model.h"
#include "accel/emu/batch_image.h"
#include "accel/emu/sensors.h"
#include "accel/emu/xclbin_writer.h"
#include "base/test_paths.h"
#include "model/testing.h"
#include "nlohmann/json.hpp"
#include "xrt/xrt_bo.h"
#include "xrt/xrt_device.h"
#include "xrt/xrt_kernel.h"

namespace ese::emu {
namespace {

using testing::HasSubstr;

constexpr size_t kBytes = 4096;
constexpr size_t kStatusOffset = 2048;

class EmulatedCardTest : public testing::Test {
 protected:
  // XRT loads its shim once per process.
  static void SetUpTestSuite() {
    setenv("XILINX_XRT", (BinaryDir() + "/emu").c_str(), 1);
    setenv("ESE_EMU_CARDS", "2", 1);
    setenv("ESE_EMU_MEMORY_MIB", "4", 1);
    fault_file_ = new std::string(testing::TempDir() + "/emulated_card_test_faults");
    setenv("ESE_EMU_FAULT_FILE", fault_file_->c_str(), 1);
    xclbin_ = new std::string(testing::TempDir() + "/emulated_card_test.xclbin");
    ASSERT_TRUE(WriteXclbin({.compute_units = 2}, *xclbin_).ok());
  }
  static void TearDownTestSuite() {
    delete xclbin_;
    delete fault_file_;
  }
  void TearDown() override { Inject(""); }
  // Replaces the file atomically, so that there is no moment without faults.
  static void Inject(const std::string& faults) {
    const std::string next = *fault_file_ + ".next";
    std::ofstream(next) << faults;
    std::rename(next.c_str(), fault_file_->c_str());
  }

  template <typename Call>
  static std::string ErrorOf(Call&& call) {
    try {
      call();
    } catch (const std::exception& error) {
      return error.what();
    }
    return "";
  }

  static inline std::string* xclbin_ = nullptr;
  static inline std::string* fault_file_ = nullptr;
};

// An open card with two units and a descriptor without lanes, which the kernel refuses.
struct InUse {
  explicit InUse(unsigned int index, const std::string& xclbin) : device(index) {
    const xrt::uuid uuid = device.load_xclbin(xclbin);
    for (const char* name : {"ese_channel:{ese_channel_1}", "ese_channel:{ese_channel_2}"}) {
      units.emplace_back(device, uuid, name);
    }
    memory = xrt::bo(device, kBytes, units.front().group_id(0));
    bytes = memory.map<uint8_t*>();
    std::memset(bytes, 0, kBytes);
    CardDescriptor descriptor;
    descriptor.at.status = memory.address() + kStatusOffset;
    StoreToCard(descriptor, bytes);
    memory.sync(XCL_BO_SYNC_BO_TO_DEVICE);
  }

  xrt::run Start(int unit) {
    xrt::run run(units[unit]);
    run.set_arg(0, memory);
    run.start();
    return run;
  }
  ert_cmd_state Run(int unit, int milliseconds = 5000) {
    return Start(unit).wait(std::chrono::milliseconds(milliseconds));
  }
  uint32_t StatusError() {
    memory.sync(XCL_BO_SYNC_BO_FROM_DEVICE);
    return LoadFromCard<CardStatus>(bytes + kStatusOffset).error;
  }

  xrt::device device;
  std::vector<xrt::kernel> units;
  xrt::bo memory;
  uint8_t* bytes = nullptr;
};

TEST_F(EmulatedCardTest, BatchesHaveTheReferencesBits) {
  const auto model =
      RandomModel({.inputs = 13,
                   .layers = {{.cells = 40, .projection = 20, .peepholes = true}, {.cells = 33}},
                   .units = 40,
                   .density = 0.4});
  InUse card(0, *xclbin_);
  xrt::bo memory(card.device, 1 << 20, card.units.front().group_id(0));
  for (int unit = 0; unit < 2; ++unit) {
    BatchImage image(*model, {3, 1, 2, 3}, uint32_t(unit), memory.address());
    auto* const bytes = memory.map<uint8_t*>();
    ASSERT_LE(image.bytes().size(), memory.size());
    std::copy(image.bytes().begin(), image.bytes().end(), bytes);
    memory.sync(XCL_BO_SYNC_BO_TO_DEVICE);
    std::fill(bytes, bytes + memory.size(), uint8_t{0});
    xrt::run run(card.units[unit]);
    run.set_arg(0, memory);
    run.start();
    // The wait is long because the kernel may be simulated, on busy processors.
    ASSERT_EQ(run.wait(std::chrono::minutes(2)), ERT_CMD_STATE_COMPLETED);
    memory.sync(XCL_BO_SYNC_BO_FROM_DEVICE);
    image.ExpectReference(bytes);
  }
}

TEST_F(EmulatedCardTest, ACardMayRefuseToBeOpened) {
  Inject("1 permission");
  EXPECT_THAT(ErrorOf([] { xrt::device(1); }), HasSubstr("Permission denied"));
  EXPECT_EQ(ErrorOf([] { xrt::device(0); }), "");
  Inject("1 gone");
  EXPECT_THAT(ErrorOf([] { xrt::device(1); }), HasSubstr("No such device"));
}

TEST_F(EmulatedCardTest, ACardMayBeHeldByAnotherProgram) {
  Inject("0 busy");
  xrt::device device(0);
  EXPECT_THAT(ErrorOf([&] { device.load_xclbin(*xclbin_); }), HasSubstr("Device or resource busy"));
  Inject("");
  EXPECT_EQ(ErrorOf([&] { device.load_xclbin(*xclbin_); }), "");
}

TEST_F(EmulatedCardTest, FaultsOfAUnitDoNotAffectOtherUnits) {
  InUse card(0, *xclbin_), other(1, *xclbin_);
  Inject("0.1 error");
  EXPECT_EQ(card.Run(1), ERT_CMD_STATE_ERROR);
  EXPECT_EQ(card.Run(0), ERT_CMD_STATE_COMPLETED);
  EXPECT_EQ(other.Run(1), ERT_CMD_STATE_COMPLETED);
  Inject("0.1 hang");
  xrt::run hung = card.Start(1);
  EXPECT_EQ(hung.wait(std::chrono::milliseconds(50)), ERT_CMD_STATE_TIMEOUT);
  EXPECT_EQ(card.Run(0), ERT_CMD_STATE_COMPLETED);
  Inject("");
  EXPECT_EQ(hung.wait(std::chrono::seconds(5)), ERT_CMD_STATE_COMPLETED);
}

TEST_F(EmulatedCardTest, KernelErrorsAreInTheStatusRecordIfTheKernelLeavesOne) {
  InUse card(0, *xclbin_);
  Inject("0.0 kernel 8");
  EXPECT_EQ(card.Run(0), ERT_CMD_STATE_COMPLETED);
  EXPECT_EQ(card.StatusError(), 0u);
  Inject("0.0 kernel 5");
  EXPECT_EQ(card.Run(0), ERT_CMD_STATE_COMPLETED);
  EXPECT_EQ(card.StatusError(), 5u);
}

TEST_F(EmulatedCardTest, TransfersMayFail) {
  InUse card(0, *xclbin_);
  Inject("0 dma");
  const auto sync = [&] { card.memory.sync(XCL_BO_SYNC_BO_TO_DEVICE); };
  EXPECT_THAT(ErrorOf(sync), HasSubstr("Input/output error"));
  Inject("");
  EXPECT_EQ(ErrorOf(sync), "");
}

TEST_F(EmulatedCardTest, ACardThatComesBackIsEmpty) {
  {
    InUse card(0, *xclbin_), other(1, *xclbin_);
    Inject("0.0 hang");
    xrt::run run = card.Start(0);
    Inject("0.0 hang\n0 gone");
    // The wait ends although the batch does not.
    EXPECT_EQ(run.wait(std::chrono::seconds(5)), ERT_CMD_STATE_ABORT);
    const auto sync = [&] { card.memory.sync(XCL_BO_SYNC_BO_TO_DEVICE); };
    EXPECT_THAT(ErrorOf(sync), HasSubstr("No such device"));
    EXPECT_THAT(ErrorOf([&] { card.Start(1); }), HasSubstr("No such device"));
    EXPECT_THAT(ErrorOf([&] { card.device.get_info<xrt::info::device::name>(); }),
                HasSubstr("No such device"));
    EXPECT_EQ(other.Run(0), ERT_CMD_STATE_COMPLETED);
    Inject("");
    // The old session remains unusable, and its mapped memory remains accessible.
    EXPECT_THAT(ErrorOf(sync), HasSubstr("No such device"));
    EXPECT_THAT(ErrorOf([&] { card.Start(1); }), HasSubstr("No such device"));
    std::memset(card.bytes, 1, kBytes);
  }
  InUse again(0, *xclbin_);
  EXPECT_EQ(again.Run(0), ERT_CMD_STATE_COMPLETED);
  // All of its memory is free.
  EXPECT_EQ(ErrorOf([&] { xrt::bo(again.device, (4 << 20) - kBytes, 0); }), "");
}

TEST_F(EmulatedCardTest, SensorsFollowTheModelAndMayFail) {
  xrt::device device(0);
  const auto electrical = [&] {
    return nlohmann::json::parse(device.get_info<xrt::info::device::electrical>());
  };
  // Finds a sensor by name.
  const auto named = [](const nlohmann::json& sensors, const char* key, const char* name) {
    for (const nlohmann::json& sensor : sensors) {
      if (sensor[key] == name) return sensor;
    }
    return nlohmann::json();
  };
  const auto rail = [&] { return named(electrical()["power_rails"], "id", "12v_pex"); };
  const auto fpga = [&] {
    const auto thermal = nlohmann::json::parse(device.get_info<xrt::info::device::thermal>());
    return named(thermal["thermals"], "location_id", "fpga0");
  };
  EXPECT_NEAR(std::stod(std::string(electrical()["power_consumption_watts"])), kIdleWatts, 0.1);
  EXPECT_EQ(rail()["voltage"]["volts"], "12.000");
  EXPECT_EQ(rail()["current"]["is_present"], "true");
  EXPECT_EQ(fpga()["temp_C"], std::to_string(kDegrees));
  Inject("0 hot");
  EXPECT_EQ(fpga()["temp_C"], std::to_string(kDegreesWhenHot));
  Inject("0 sensor");
  EXPECT_EQ(electrical()["power_consumption_watts"], "N/A");
  EXPECT_EQ(rail()["voltage"]["is_present"], "false");
  EXPECT_EQ(fpga()["is_present"], "false");
}

}  // namespace
}  // namespace ese::emu
