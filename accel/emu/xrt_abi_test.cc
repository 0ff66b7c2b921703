// SPDX-License-Identifier: Apache-2.0
// Checks that the declared virtual functions are where Debian's own shim has them.
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "accel/emu/xrt_core_abi.h"

namespace {

// Returns a virtual function's index in the vtable. In the Itanium ABI the pointer holds 1 + its
// offset.
template <typename Function>
size_t PlaceOf(Function function) {
  uintptr_t offset_and_one = 0;
  std::memcpy(&offset_and_one, &function, sizeof(offset_and_one));
  return (offset_and_one - 1) / sizeof(void*);
}

// Returns the mangled name at `index` of `table`, which begins with an offset and a typeinfo.
std::string NameAt(void* const* table, size_t index) {
  Dl_info info{};
  return dladdr(table[index + 2], &info) != 0 && info.dli_sname != nullptr ? info.dli_sname : "";
}

TEST(XrtAbi, VirtualFunctionsAreWhereTheNoopShimHasThem) {
  void* const noop = dlopen("libxrt_noop.so.2", RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(noop, nullptr) << dlerror();
  auto* const devices = static_cast<void* const*>(dlsym(noop, "_ZTVN8xrt_core4noop6deviceE"));
  auto* const systems = static_cast<void* const*>(dlsym(noop, "_ZTVN8xrt_core4noop6systemE"));
  ASSERT_NE(devices, nullptr);
  ASSERT_NE(systems, nullptr);
#define EXPECT_PLACE(table, type, function) \
  EXPECT_THAT(NameAt(table, PlaceOf(&xrt_core::type::function)), testing::HasSubstr(#function))
  EXPECT_PLACE(devices, device, close_device);
  EXPECT_PLACE(devices, device, open_context);
  EXPECT_PLACE(devices, device, close_context);
  EXPECT_PLACE(devices, device, free_bo);
  EXPECT_PLACE(devices, device, export_bo);
  EXPECT_PLACE(devices, device, copy_bo);
  EXPECT_PLACE(devices, device, sync_bo);
  EXPECT_PLACE(devices, device, map_bo);
  EXPECT_PLACE(devices, device, unmap_bo);
  EXPECT_PLACE(devices, device, get_bo_properties);
  EXPECT_PLACE(devices, device, reg_read);
  EXPECT_PLACE(devices, device, reg_write);
  EXPECT_PLACE(devices, device, exec_buf);
  EXPECT_PLACE(devices, device, exec_wait);
  EXPECT_PLACE(devices, device, load_axlf);
  EXPECT_PLACE(devices, device, user_reset);
  EXPECT_PLACE(devices, device, load_axlf_meta);
  EXPECT_PLACE(devices, device, get_device_handle);
  EXPECT_PLACE(devices, device, get_mgmt_handle);
  EXPECT_PLACE(devices, device, get_user_handle);
  EXPECT_PLACE(devices, device, is_userpf);
  EXPECT_PLACE(devices, device, lookup_query);
  EXPECT_PLACE(devices, device, get_info);
  EXPECT_PLACE(devices, device, open);
  EXPECT_PLACE(devices, device, close);
  EXPECT_PLACE(systems, system, get_device_id);
  EXPECT_PLACE(systems, system, get_total_devices);
  EXPECT_PLACE(systems, system, get_mgmtpf_device);
  EXPECT_PLACE(systems, system, mem_write);
#undef EXPECT_PLACE
  using Allocate = unsigned int (xrt_core::device::*)(size_t, unsigned int);
  EXPECT_THAT(NameAt(devices, PlaceOf(static_cast<Allocate>(&xrt_core::device::alloc_bo))),
              testing::HasSubstr("alloc_boEmj"));
}

}  // namespace
