// SPDX-License-Identifier: Apache-2.0
#include "accel/xrt/xclbin_file.h"

#include <boost/property_tree/ptree.hpp>
#include <boost/property_tree/xml_parser.hpp>
#include <filesystem>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "accel/xrt/xrt_error.h"
#include "base/status.h"
#include "xclbin.h"

namespace ese {
namespace {

constexpr const char* kRemedy =
    "; build one from accel/rtl/vitis, or for emulated cards use emu/ese_channel.xclbin in the "
    "build directory";
// The version in kernel.xml (accel/rtl/vitis/describe.py). It changes with the layout of models and
// batches in the card's memory.
constexpr const char* kInterfaceVersion = "1.0";
// The kernel is made for 200 MHz. A clock outside this range is a mistake, such as hertz for
// megahertz.
constexpr int kLeastMegahertz = 20;
constexpr int kMostMegahertz = 600;

absl::Status FindUnits(XclbinFile* file) {
  for (const xrt::xclbin::kernel& kernel : file->xclbin.get_kernels()) {
    if (kernel.get_name() != kCardKernel) continue;
    for (const xrt::xclbin::ip& unit : kernel.get_cus()) {
      // The xclbin has it as "ese_channel:ese_channel_1".
      const std::string name = unit.get_name();
      file->units.push_back(absl::StrCat(kCardKernel, ":{", name.substr(name.find(':') + 1), "}"));
    }
  }
  if (!file->units.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(file->path, " has no kernel ", kCardKernel, kRemedy));
}

// Returns an empty view if the file lacks the section or part of it.
absl::string_view Section(const xrt::xclbin& xclbin, axlf_section_kind kind) {
  const axlf* file = xclbin.get_axlf();
  const axlf_section_header* section = xclbin::get_axlf_section(file, kind);
  if (section == nullptr || section->m_sectionOffset > file->m_header.m_length ||
      section->m_sectionSize > file->m_header.m_length - section->m_sectionOffset) {
    return {};
  }
  return {reinterpret_cast<const char*>(file) + section->m_sectionOffset, section->m_sectionSize};
}

// Checks the version in the VLNV (such as "ese:kernel:ese_channel:1.0") of the kernel's XML
// description.
absl::Status CheckInterface(const XclbinFile& file) {
  std::istringstream text(std::string(Section(file.xclbin, EMBEDDED_METADATA)));
  boost::property_tree::ptree tree;
  boost::property_tree::read_xml(text, tree);
  std::string vlnv = "none";
  for (const auto& [tag, node] : tree.get_child("project.platform.device.core")) {
    if (tag == "kernel" && node.get("<xmlattr>.name", "") == kCardKernel) {
      vlnv = node.get("<xmlattr>.vlnv", vlnv);
    }
  }
  const std::vector<std::string> parts = absl::StrSplit(vlnv, ':');
  if (parts.size() == 4 && parts[3] == kInterfaceVersion) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(file.path, " has ", kCardKernel,
                                                 " with interface ", vlnv, ", but this program ",
                                                 "needs version ", kInterfaceVersion, kRemedy));
}

absl::Status FindClock(XclbinFile* file) {
  const absl::string_view section = Section(file->xclbin, CLOCK_FREQ_TOPOLOGY);
  const auto* clocks = reinterpret_cast<const clock_freq_topology*>(section.data());
  for (int k = 0; !section.empty() && k < clocks->m_count; ++k) {
    if (clocks->m_clock_freq[k].m_type != CT_DATA) continue;
    file->clock_megahertz = clocks->m_clock_freq[k].m_freq_Mhz;
    if (file->clock_megahertz >= kLeastMegahertz && file->clock_megahertz <= kMostMegahertz) break;
    return absl::InvalidArgumentError(absl::StrCat(
        file->path, " says that its kernels' clock is ", file->clock_megahertz,
        " MHz, which is not between ", kLeastMegahertz, " and ", kMostMegahertz, " MHz", kRemedy));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<XclbinFile> ReadXclbin(const std::string& path) {
  if (!std::filesystem::is_regular_file(path)) {
    return absl::NotFoundError(absl::StrCat("there is no xclbin \"", path, "\"; cards need one of ",
                                            kCardKernel, " (docs/cards.md)"));
  }
  XclbinFile file{.path = path, .xclbin = {}, .units = {}, .uuid = {}};
  absl::Status checked;
  const absl::Status read = TranslateXrt(absl::StrCat("reading ", path), [&] {
    file.xclbin = xrt::xclbin(path);
    file.uuid = file.xclbin.get_uuid().to_string();
    checked = FindUnits(&file);
    if (checked.ok()) checked = CheckInterface(file);
    if (checked.ok()) checked = FindClock(&file);
  });
  ESE_RETURN_IF_ERROR(checked);
  if (!read.ok()) return absl::InvalidArgumentError(absl::StrCat(read.message(), kRemedy));
  return file;
}

}  // namespace ese
