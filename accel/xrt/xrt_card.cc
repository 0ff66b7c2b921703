#include "accel/xrt/xrt_card.h"

#include <boost/property_tree/ptree.hpp>
#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/strings/match.h"
#include "base/status.h"
#include "experimental/xrt_system.h"
#include "experimental/xrt_xclbin.h"
#include "spdlog/spdlog.h"

namespace xrt_core {
// Of libxrt_coreutil; XRT's public headers have no other way to ask for the version that runs.
void get_xrt_build_info(boost::property_tree::ptree&);
}  // namespace xrt_core

namespace ese {
namespace {

constexpr const char* kKernel = "ese_channel";
constexpr const char* kVersion = "2.13.";

absl::Status CheckVersion() {
  std::string version;
  ESE_RETURN_IF_ERROR(TranslateXrt("the version of XRT", [&] {
    boost::property_tree::ptree tree;
    xrt_core::get_xrt_build_info(tree);
    version = tree.get<std::string>("version", "unknown");
  }));
  if (absl::StartsWith(version, kVersion)) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("XRT is of version ", version, "; cards need ",
                                             kVersion, "x: install libxrt1 of Debian 12"));
}

absl::StatusOr<std::vector<std::string>> UnitsOf(const xrt::xclbin& xclbin,
                                                 const std::string& path) {
  std::vector<std::string> names;
  for (const xrt::xclbin::kernel& kernel : xclbin.get_kernels()) {
    if (kernel.get_name() != kKernel) continue;
    for (const xrt::xclbin::ip& unit : kernel.get_cus()) names.push_back(unit.get_name());
  }
  if (!names.empty()) return names;
  return absl::InvalidArgumentError(absl::StrCat(
      path, " has no kernel ", kKernel, "; build one from accel/rtl, or for emulated cards take ",
      "emu/ese_channel.xclbin of the build"));
}

}  // namespace

absl::StatusOr<std::vector<XrtCard>> ListXrtCards() {
  ESE_RETURN_IF_ERROR(CheckVersion());
  std::vector<XrtCard> cards;
  unsigned int count = 0;
  const absl::Status found =
      TranslateXrt("looking for cards", [&] { count = xrt::system::enumerate_devices(); });
  if (!found.ok()) {
    return absl::UnavailableError(absl::StrCat(
        found.message(), "; XILINX_XRT must name an installation of XRT (docs/cards.md)"));
  }
  for (unsigned int index = 0; index < count; ++index) {
    XrtCard card{.index = static_cast<int>(index), .name = {}};
    ESE_RETURN_IF_ERROR(TranslateXrt(absl::StrCat("card ", index), [&] {
      card.name = xrt::device(index).get_info<xrt::info::device::name>();
    }));
    cards.push_back(std::move(card));
  }
  return cards;
}

absl::StatusOr<std::shared_ptr<LoadedCard>> LoadCard(int index, std::shared_ptr<const Model> model,
                                                     const XrtOptions& options) {
  if (!std::filesystem::exists(options.xclbin)) {
    return absl::NotFoundError(absl::StrCat("there is no xclbin \"", options.xclbin,
                                            "\"; cards need one of ", kKernel, " (docs/cards.md)"));
  }
  auto card = std::make_shared<LoadedCard>();
  card->name = absl::StrCat("xrt", index);
  card->model = std::move(model);
  ESE_ASSIGN_OR_RETURN(card->packed, PackForCard(*card->model, CardShape{}));
  std::vector<std::string> units;
  absl::Status status;
  ESE_RETURN_IF_ERROR(TranslateXrt(absl::StrCat("reading ", options.xclbin), [&] {
    const xrt::xclbin xclbin(options.xclbin);
    auto names = UnitsOf(xclbin, options.xclbin);
    if (!names.ok()) {
      status = names.status();
    } else {
      units = *std::move(names);
    }
  }));
  ESE_RETURN_IF_ERROR(status);
  ESE_RETURN_IF_ERROR(TranslateXrt(absl::StrCat("card ", index), [&] {
    card->device = xrt::device(static_cast<unsigned int>(index));
    card->kernel = card->device.get_info<xrt::info::device::name>();
    const xrt::uuid uuid = card->device.load_xclbin(options.xclbin);
    for (const std::string& unit : units) {
      // "ese_channel:ese_channel_1" of the xclbin is "ese_channel:{ese_channel_1}" of XRT.
      const std::string instance = unit.substr(unit.find(':') + 1);
      card->units.emplace_back(card->device, uuid, absl::StrCat(kKernel, ":{", instance, "}"));
    }
    card->group = card->units.front().group_id(0);
    const std::vector<uint8_t>& bytes = card->packed.bytes;
    card->model_memory = xrt::bo(card->device, BufferSize(bytes.size()), card->group);
    std::memcpy(card->model_memory.map<uint8_t*>(), bytes.data(), bytes.size());
    card->model_memory.sync(XCL_BO_SYNC_BO_TO_DEVICE);
  }));
  spdlog::info("card {} ({}): {} compute units, {} bytes of model {}", index, card->kernel,
               card->units.size(), card->packed.bytes.size(), card->model->name);
  return card;
}

}  // namespace ese
