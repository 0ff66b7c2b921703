// SPDX-License-Identifier: Apache-2.0
// The two classes of XRT 2.13 that a shim (libxrt_core) derives from. Debian ships no header for
// them, so their virtual functions are declared here in the order of the vtables of Debian's own
// shims; xrt_abi_test compares that order with libxrt_noop's. Functions that an emulated card does
// not serve are declared without their arguments, only to keep the order.
#pragma once

#include <boost/any.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "xclbin.h"
#include "xrt.h"

namespace xrt_core {

class device;

namespace query {

enum class key_type : int {};

struct request {
  virtual ~request() = default;
  virtual boost::any get(const device*) const { throw std::runtime_error("needs an argument"); }
};

// XRT tolerates queries that a device does not know. It recognises these types by name.
class exception : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};
class no_such_key : public exception {
 public:
  explicit no_such_key(key_type key)
      : exception("the emulated card has no value for query " +
                  std::to_string(static_cast<int>(key))),
        key_(key) {}

 private:
  [[maybe_unused]] key_type key_;
};

}  // namespace query

class device {
 public:
  explicit device(unsigned int id);

  virtual void close_device() = 0;
  virtual void open_context(const unsigned char* xclbin, unsigned int cu, bool shared) = 0;
  virtual void close_context(const unsigned char* xclbin, unsigned int cu) = 0;
  virtual unsigned int alloc_bo(size_t size, unsigned int flags) = 0;
  virtual unsigned int alloc_bo(void* host, size_t size, unsigned int flags) = 0;
  virtual void free_bo(unsigned int handle) = 0;
  virtual int export_bo(unsigned int) const { throw NotServed("BO export"); }
  virtual unsigned int import_bo(int) { throw NotServed("BO import"); }
  virtual void close_export_handle(int) { throw NotServed("BO export"); }
  virtual unsigned int import_bo(int, int) { throw NotServed("BO import"); }
  virtual void copy_bo(unsigned int, unsigned int, size_t, size_t, size_t) {
    throw NotServed("BO copy");
  }
  virtual void sync_bo(unsigned int handle, xclBOSyncDirection, size_t size, size_t offset) = 0;
  virtual void* map_bo(unsigned int handle, bool write) = 0;
  virtual void unmap_bo(unsigned int handle, void* address) = 0;
  virtual void get_bo_properties(unsigned int handle, xclBOProperties*) const = 0;
  virtual void reg_read(uint32_t, uint32_t, uint32_t*) const { throw NotServed("registers"); }
  virtual void reg_write(uint32_t, uint32_t, uint32_t) { throw NotServed("registers"); }
  virtual void xread() const { throw NotServed("xread"); }
  virtual void xwrite() { throw NotServed("xwrite"); }
  virtual void unmgd_pread() { throw NotServed("unmanaged reads"); }
  virtual void unmgd_pwrite() { throw NotServed("unmanaged writes"); }
  virtual void exec_buf(unsigned int handle) = 0;
  virtual int exec_wait(int timeout_ms) const = 0;
  virtual void load_axlf(const axlf*) = 0;
  virtual void reclock() { throw NotServed("another clock"); }
  virtual void p2p_enable() { throw NotServed("P2P"); }
  virtual void p2p_disable() { throw NotServed("P2P"); }
  virtual void set_cma() { throw NotServed("CMA"); }
  virtual void update_scheduler_status() {}
  virtual void user_reset() { throw NotServed("reset"); }
  virtual void open_ip_interrupt_notify() { throw NotServed("IP interrupts"); }
  virtual void close_ip_interrupt_notify() { throw NotServed("IP interrupts"); }
  virtual void enable_ip_interrupt() { throw NotServed("IP interrupts"); }
  virtual void disable_ip_interrupt() { throw NotServed("IP interrupts"); }
  virtual void wait_ip_interrupt() { throw NotServed("IP interrupts"); }
  virtual void wait_ip_interrupt(int) { throw NotServed("IP interrupts"); }
  virtual void open_graph() { throw NotServed("graphs"); }
  virtual void close_graph() { throw NotServed("graphs"); }
  virtual void reset_graph() { throw NotServed("graphs"); }
  virtual void get_timestamp() { throw NotServed("graphs"); }
  virtual void run_graph() { throw NotServed("graphs"); }
  virtual void wait_graph_done() { throw NotServed("graphs"); }
  virtual void wait_graph() { throw NotServed("graphs"); }
  virtual void suspend_graph() { throw NotServed("graphs"); }
  virtual void resume_graph() { throw NotServed("graphs"); }
  virtual void end_graph() { throw NotServed("graphs"); }
  virtual void update_graph_rtp() { throw NotServed("graphs"); }
  virtual void read_graph_rtp() { throw NotServed("graphs"); }
  virtual void open_aie_context() { throw NotServed("AI engines"); }
  virtual void sync_aie_bo() { throw NotServed("AI engines"); }
  virtual void reset_aie() { throw NotServed("AI engines"); }
  virtual void sync_aie_bo_nb() { throw NotServed("AI engines"); }
  virtual void wait_gmio() { throw NotServed("AI engines"); }
  virtual void start_profiling() { throw NotServed("profiling"); }
  virtual void read_profiling() { throw NotServed("profiling"); }
  virtual void stop_profiling() { throw NotServed("profiling"); }
  virtual void load_axlf_meta() { throw NotServed("AI engines"); }
  virtual ~device();  // takes two entries of the vtable
  virtual void* get_device_handle() const = 0;
  virtual void* get_mgmt_handle() const { return nullptr; }
  virtual void* get_user_handle() const { return get_device_handle(); }
  virtual bool is_userpf() const { return true; }
  virtual const query::request& lookup_query(query::key_type) const = 0;
  virtual void get_info() const { throw NotServed("device trees"); }
  virtual void read() const { throw NotServed("BAR reads"); }
  virtual void write() const { throw NotServed("BAR writes"); }
  virtual void reset() const { throw NotServed("reset"); }
  virtual void xclmgmt_load_xclbin() const { throw NotServed("the management function"); }
  virtual int open(const std::string&, int) const { throw NotServed("sub-devices"); }
  virtual void close(int) const { throw NotServed("sub-devices"); }

  // A shim must call this after it has loaded an xclbin.
  void register_axlf(const axlf*);

 private:
  static std::runtime_error NotServed(const char* what) {
    return std::runtime_error(std::string("an emulated card does not serve ") + what);
  }

  // Room for the base class's own members, which are at most 0x78 bytes, because libxrt_swemu's
  // whole device has 0x80.
  alignas(8) unsigned char members_[248];
};

class system {
 protected:
  system();  // registers this object as the only system

 public:
  virtual void get_xrt_info() {}
  virtual void get_os_info() {}
  virtual void get_devices() const {}
  virtual unsigned int get_device_id(const std::string& bdf_or_index) const;
  virtual std::pair<unsigned int, unsigned int> get_total_devices(bool user) const = 0;
  virtual std::shared_ptr<device> get_userpf_device(unsigned int id) const = 0;
  virtual std::shared_ptr<device> get_userpf_device(void* handle, unsigned int id) const = 0;
  virtual std::shared_ptr<device> get_mgmtpf_device(unsigned int id) const = 0;
  virtual int get_monitor_access_type() const { return 0; }
  virtual void program_plp() const {}
  virtual void mem_read() const {}
  virtual void mem_write() const {}
};

// Wraps a shim's handle in its device and remembers the pair.
std::shared_ptr<device> get_userpf_device(void* handle, unsigned int id);

}  // namespace xrt_core
