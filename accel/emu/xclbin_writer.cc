// SPDX-License-Identifier: Apache-2.0
#include "accel/emu/xclbin_writer.h"

#include <cstring>
#include <fstream>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "accel/card/card_format.h"
#include "base/crc32c.h"
#include "xclbin.h"

namespace ese::emu {
namespace {

using Bytes = std::vector<char>;

// Where the registers of the units lie in the card's address space.
constexpr uint64_t kFirstUnit = 0x1000000;
constexpr uint64_t kUnitRange = 0x10000;

template <typename T>
void Append(Bytes* bytes, const T& value) {
  bytes->resize(bytes->size() + sizeof(T));
  std::memcpy(bytes->data() + bytes->size() - sizeof(T), &value, sizeof(T));
}

template <size_t kSize, typename Char>
void SetName(Char (&field)[kSize], const std::string& name) {
  std::memcpy(field, name.data(), std::min(name.size(), kSize - 1));
}

// A section that holds a count and then, after `header` bytes, records.
template <typename Count, typename Record>
Bytes Section(size_t header, const std::vector<Record>& records) {
  Bytes bytes;
  Append(&bytes, static_cast<Count>(records.size()));
  bytes.resize(header);
  for (const Record& record : records) Append(&bytes, record);
  return bytes;
}

std::string UnitName(const XclbinOptions& options, int unit) {
  return absl::StrCat(options.kernel, "_", unit + 1);
}

uint64_t UnitAddress(int unit) { return kFirstUnit + static_cast<uint64_t>(unit) * kUnitRange; }

Bytes Metadata(const XclbinOptions& options) {
  std::string instances;
  for (int unit = 0; unit < options.compute_units; ++unit) {
    absl::StrAppend(&instances, "<instance name=\"", UnitName(options, unit),
                    "\"><addrRemap base=\"0x", absl::Hex(UnitAddress(unit)), "\" range=\"0x",
                    absl::Hex(kUnitRange), "\" port=\"S_AXI_CONTROL\"/></instance>");
  }
  const std::string xml = absl::StrCat(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?><project name=\"", options.kernel,
      "\"><platform vendor=\"ese\" boardid=\"emulated\" name=\"emulated_ese_card\"><device "
      "name=\"fpga0\">"
      "<core name=\"OCL_REGION_0\" target=\"bitstream\" type=\"clc_region\">"
      "<kernelClocks><clock port=\"KERNEL_CLK\" frequency=\"",
      options.clock_megahertz, "MHz\"/></kernelClocks><kernel name=\"", options.kernel,
      "\" language=\"ip_c\" vlnv=\"ese:kernel:", options.kernel, ":", options.interface_version,
      "\" attributes=\"\" preferredWorkGroupSizeMultiple=\"0\" workGroupSize=\"1\" "
      "interrupt=\"true\" hwControlProtocol=\"ap_ctrl_chain\">"
      "<port name=\"M_AXI\" mode=\"master\" range=\"0xFFFFFFFFFFFFFFFF\" dataWidth=\"512\" "
      "portType=\"addressable\" base=\"0x0\"/>"
      "<port name=\"S_AXI_CONTROL\" mode=\"slave\" range=\"0x1000\" dataWidth=\"32\" "
      "portType=\"addressable\" base=\"0x0\"/>"
      "<arg name=\"descriptor\" addressQualifier=\"1\" id=\"0\" port=\"M_AXI\" size=\"0x8\" "
      "offset=\"0x",
      absl::Hex(kCardDescriptorRegister), "\" hostOffset=\"0x0\" hostSize=\"0x8\" type=\"void*\"/>",
      instances, "</kernel></core></device></platform></project>");
  return Bytes(xml.begin(), xml.end());
}

std::vector<std::pair<axlf_section_kind, Bytes>> Sections(const XclbinOptions& options) {
  mem_data memory{};
  memory.m_type = MEM_DDR4;
  memory.m_used = 1;
  memory.m_size = static_cast<uint64_t>(options.memory_mebibytes) << 10;
  memory.m_base_address = uint64_t{1} << 38;
  SetName(memory.m_tag, "DDR[0]");
  std::vector<ip_data> units;
  std::vector<connection> connections;
  for (int unit = 0; unit < options.compute_units; ++unit) {
    ip_data ip{};
    ip.m_type = IP_KERNEL;
    ip.properties = static_cast<uint32_t>(AP_CTRL_CHAIN) << IP_CONTROL_SHIFT | IP_INT_ENABLE_MASK;
    ip.m_base_address = UnitAddress(unit);
    SetName(ip.m_name, absl::StrCat(options.kernel, ":", UnitName(options, unit)));
    units.push_back(ip);
    connections.push_back({.arg_index = 0, .m_ip_layout_index = unit, .mem_data_index = 0});
  }
  clock_freq clock{};
  clock.m_freq_Mhz = static_cast<uint16_t>(options.clock_megahertz);
  clock.m_type = CT_DATA;
  SetName(clock.m_name, "KERNEL_CLK");
  return {
      {EMBEDDED_METADATA, Metadata(options)},
      {MEM_TOPOLOGY, Section<int32_t>(offsetof(mem_topology, m_mem_data), std::vector{memory})},
      {CONNECTIVITY, Section<int32_t>(offsetof(connectivity, m_connection), connections)},
      {IP_LAYOUT, Section<int32_t>(offsetof(ip_layout, m_ip_data), units)},
      {CLOCK_FREQ_TOPOLOGY,
       Section<int16_t>(offsetof(clock_freq_topology, m_clock_freq), std::vector{clock})},
  };
}

}  // namespace

absl::Status WriteXclbin(const XclbinOptions& options, const std::string& path) {
  const auto sections = Sections(options);
  axlf header{};
  std::memcpy(header.m_magic, "xclbin2", 8);
  header.m_signature_length = -1;
  std::memset(header.reserved, 0xFF, sizeof(header.reserved));
  header.m_header.m_versionMajor = 2;
  header.m_header.m_mode = XCLBIN_FLAT;
  SetName(header.m_header.m_platformVBNV, "emulated_ese_card");
  header.m_header.m_numSections = static_cast<uint32_t>(sections.size());

  Bytes body;
  std::vector<axlf_section_header> index;
  const size_t begin = offsetof(axlf, m_sections) + sections.size() * sizeof(axlf_section_header);
  uint32_t checksum = 0;
  for (const auto& [kind, bytes] : sections) {
    body.resize((begin + body.size() + 7) / 8 * 8 - begin);
    axlf_section_header section{};
    section.m_sectionKind = kind;
    section.m_sectionOffset = begin + body.size();
    section.m_sectionSize = bytes.size();
    index.push_back(section);
    body.insert(body.end(), bytes.begin(), bytes.end());
    checksum = Crc32c(bytes.data(), bytes.size(), checksum);
  }
  header.m_header.m_length = begin + body.size();
  std::memcpy(header.m_header.uuid, &checksum, sizeof(checksum));

  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(&header), offsetof(axlf, m_sections));
  file.write(reinterpret_cast<const char*>(index.data()),
             static_cast<std::streamsize>(index.size() * sizeof(index[0])));
  file.write(body.data(), static_cast<std::streamsize>(body.size()));
  file.flush();
  if (file) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat("cannot write ", path));
}

}  // namespace ese::emu
