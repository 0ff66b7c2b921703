// SPDX-License-Identifier: Apache-2.0
#include <dlfcn.h>

#include <filesystem>
#include <stdexcept>
#include <string>

#include "accel/emu/rtl_unit.h"

namespace ese::emu {
namespace {

RtlUnitFactory* LoadFactory() {
  Dl_info here{};
  dladdr(reinterpret_cast<void*>(&LoadFactory), &here);
  const auto path = std::filesystem::path(here.dli_fname).replace_filename("libese_rtl_unit.so");
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  void* const factory = library == nullptr ? nullptr : dlsym(library, kRtlUnitFactory);
  if (factory != nullptr) return reinterpret_cast<RtlUnitFactory*>(factory);
  throw std::runtime_error(
      std::string("ESE_EMU_FIDELITY=rtl needs the verilated kernel; build the target ese_rtl_unit "
                  "(it needs Verilator, and a build without sanitizers): ") +
      dlerror());
}

}  // namespace

std::unique_ptr<Unit> CreateRtlUnit() {
  static RtlUnitFactory* const factory = LoadFactory();
  return std::unique_ptr<Unit>(factory());
}

}  // namespace ese::emu
