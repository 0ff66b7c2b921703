// SPDX-License-Identifier: Apache-2.0
// The verilated ese_channel with its memory, and the steps of running a batch on it. Top is a class
// that Verilator generated from ese_channel.sv.
#pragma once

#include <verilated.h>

#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "accel/card/card_format.h"
#include "accel/card/card_model.h"
#include "accel/random_batch.h"
#include "accel/rtl/sim/axi_memory.h"

namespace ese {

struct NoCoverage {
  template <typename Top>
  static void Sample(const Top&) {}
};

// Calls Coverage::Sample with the kernel after every clock. One thread uses it.
template <typename Top, typename Coverage = NoCoverage>
class ChannelSim {
 public:
  ChannelSim(const CardShape& shape, const AxiMemoryOptions& memory, AxiMemory::Store store = {})
      : shape_(shape), memory_(shape.beat_bytes(), 3, memory, std::move(store)) {
    context_.randReset(2);  // registers without a reset start with random values
    context_.randSeed(static_cast<int>(memory.seed));
    context_.assertOn(false);  // before the reset, assertions need not hold
    top_ = std::make_unique<Top>(&context_);
    Reset();
    context_.assertOn(true);
  }
  ~ChannelSim() { top_->final(); }

  AxiMemory& memory() { return memory_; }
  // The port is called `interrupt`, which Verilator renames because it is reserved in C++.
  bool interrupt() const { return top_->__SYM__interrupt; }
  int64_t cycle() const { return cycle_; }

  void Reset() {
    top_->ap_rst_n = 0;
    top_->s_axi_control_awvalid = top_->s_axi_control_wvalid = top_->s_axi_control_arvalid = 0;
    memory_.Reset(true);
    for (int k = 0; k < 4; ++k) Cycle();
    memory_.Reset(false);
    top_->ap_rst_n = 1;
    Cycle();
  }

  void Cycle() {
    memory_.Drive();
    DriveRead(memory_.read(0), &top_->m_axi_gmem0_arready, &top_->m_axi_gmem0_rvalid,
              &top_->m_axi_gmem0_rlast, &top_->m_axi_gmem0_rresp, &top_->m_axi_gmem0_rdata);
    DriveRead(memory_.read(1), &top_->m_axi_gmem1_arready, &top_->m_axi_gmem1_rvalid,
              &top_->m_axi_gmem1_rlast, &top_->m_axi_gmem1_rresp, &top_->m_axi_gmem1_rdata);
    DriveRead(memory_.read(2), &top_->m_axi_gmem2_arready, &top_->m_axi_gmem2_rvalid,
              &top_->m_axi_gmem2_rlast, &top_->m_axi_gmem2_rresp, &top_->m_axi_gmem2_rdata);
    AxiMemory::WritePort& write = memory_.write();
    top_->m_axi_gmem2_awready = write.awready;
    top_->m_axi_gmem2_wready = write.wready;
    top_->m_axi_gmem2_bvalid = write.bvalid;
    top_->m_axi_gmem2_bresp = static_cast<uint8_t>(write.bresp);
    top_->ap_clk = 0;
    top_->eval();

    SampleRead(&memory_.read(0), top_->m_axi_gmem0_arvalid, top_->m_axi_gmem0_araddr,
               top_->m_axi_gmem0_arlen, top_->m_axi_gmem0_rready);
    SampleRead(&memory_.read(1), top_->m_axi_gmem1_arvalid, top_->m_axi_gmem1_araddr,
               top_->m_axi_gmem1_arlen, top_->m_axi_gmem1_rready);
    SampleRead(&memory_.read(2), top_->m_axi_gmem2_arvalid, top_->m_axi_gmem2_araddr,
               top_->m_axi_gmem2_arlen, top_->m_axi_gmem2_rready);
    write.awvalid = top_->m_axi_gmem2_awvalid;
    write.awaddr = top_->m_axi_gmem2_awaddr;
    write.awlen = top_->m_axi_gmem2_awlen;
    write.wvalid = top_->m_axi_gmem2_wvalid;
    write.wlast = top_->m_axi_gmem2_wlast;
    write.bready = top_->m_axi_gmem2_bready;
    if (write.wvalid && write.wready) {
      std::memcpy(write.wdata.data(), &top_->m_axi_gmem2_wdata, shape_.beat_bytes());
      for (int k = 0; k < shape_.beat_bytes(); ++k) {
        write.wstrb[k] = uint64_t{top_->m_axi_gmem2_wstrb} >> k & 1;
      }
    }
    memory_.Sample();
    top_->ap_clk = 1;
    top_->eval();
    ++cycle_;
    Coverage::Sample(*top_);
  }

  void WriteRegister(uint32_t address, uint32_t value) {
    top_->s_axi_control_awaddr = static_cast<uint8_t>(address);
    top_->s_axi_control_wdata = value;
    top_->s_axi_control_wstrb = 15;
    top_->s_axi_control_awvalid = top_->s_axi_control_wvalid = 1;
    top_->s_axi_control_bready = 1;
    Cycle();
    top_->s_axi_control_awvalid = top_->s_axi_control_wvalid = 0;
    Cycle();
  }

  uint32_t ReadRegister(uint32_t address) {
    top_->s_axi_control_araddr = static_cast<uint8_t>(address);
    top_->s_axi_control_arvalid = 1;
    top_->s_axi_control_rready = 1;
    Cycle();
    top_->s_axi_control_arvalid = 0;
    const uint32_t value = top_->s_axi_control_rdata;
    Cycle();
    return value;
  }

  void Start(uint64_t descriptor) {
    WriteRegister(kCardDescriptorRegister, static_cast<uint32_t>(descriptor));
    WriteRegister(kCardDescriptorRegister + sizeof(uint32_t),
                  static_cast<uint32_t>(descriptor >> 32));
    WriteRegister(kCardControlRegister, kCardControlStart);
  }

  // Runs until the kernel says done and returns true, or returns false after `limit` cycles.
  bool WaitDone(int64_t limit) {
    for (const int64_t end = cycle_ + limit; cycle_ < end;) {
      if (ReadRegister(kCardControlRegister) & kCardControlDone) return true;
      for (int k = 0; k < 8; ++k) Cycle();
    }
    return false;
  }
  void Continue() { WriteRegister(kCardControlRegister, kCardControlContinue); }

  // Place writes a model or a batch to memory. Start then runs the batch, and Fetch reads its
  // results.
  struct Placed {
    BatchAddresses addresses;
    uint64_t descriptor;
  };
  uint64_t Place(const CardModel& model) {
    const uint64_t address = memory_.Allocate(model.bytes.size());
    memory_.Write(address, model.bytes);
    return address;
  }
  Placed Place(const CardModel& model, uint64_t model_address, const std::vector<Lane>& lanes) {
    const std::vector<uint8_t> inputs = PackInputs(model, lanes), states = PackStates(model, lanes);
    const int frames = static_cast<int>(inputs.size() / model.input_bytes(1));
    Placed placed;
    BatchAddresses& at = placed.addresses;
    at.model = model_address;
    at.inputs = memory_.Allocate(inputs.size());
    at.state_in = memory_.Allocate(states.size());
    at.state_out = memory_.Allocate(states.size());
    at.outputs = memory_.Allocate(model.output_bytes(frames));
    at.status = memory_.Allocate(sizeof(CardStatus));
    const std::vector<uint8_t> descriptor = PackDescriptor(model, lanes, at);
    placed.descriptor = memory_.Allocate(descriptor.size());
    memory_.Write(placed.descriptor, descriptor);
    memory_.Write(at.inputs, inputs);
    memory_.Write(at.state_in, states);
    return placed;
  }
  CardStatus Fetch(const CardModel& model, const Placed& placed, std::vector<Lane>* lanes) {
    UnpackStates(model, memory_.At(placed.addresses.state_out), lanes);
    UnpackLogits(model, memory_.At(placed.addresses.outputs), lanes);
    return Status(placed);
  }
  CardStatus Status(const Placed& placed) {
    CardStatus status;
    std::memcpy(&status, memory_.At(placed.addresses.status), sizeof(status));
    return status;
  }

 private:
  template <typename Data>
  void DriveRead(const AxiMemory::ReadPort& port, uint8_t* arready, uint8_t* rvalid, uint8_t* rlast,
                 uint8_t* rresp, Data* rdata) {
    *arready = port.arready;
    *rvalid = port.rvalid;
    *rlast = port.rlast;
    *rresp = static_cast<uint8_t>(port.rresp);
    if (port.rvalid) std::memcpy(rdata, port.rdata.data(), shape_.beat_bytes());
  }
  void SampleRead(AxiMemory::ReadPort* port, bool arvalid, uint64_t araddr, int arlen,
                  bool rready) {
    port->arvalid = arvalid;
    port->araddr = araddr;
    port->arlen = arlen;
    port->rready = rready;
  }

  const CardShape shape_;
  VerilatedContext context_;
  AxiMemory memory_;
  std::unique_ptr<Top> top_;
  int64_t cycle_ = 0;
};

}  // namespace ese
