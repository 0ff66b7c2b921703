// SPDX-License-Identifier: Apache-2.0
// Reads the packed model over two ports, a burst from each in turn. A port moves at most one word a cycle, which
// is also what the array consumes. With only one port the array would lose the time of every refresh of the
// memory; two ports use the memory's spare bandwidth to refill the FIFOs.
module ese_entry_reader #(
  parameter int W = 512,
  parameter int DEPTH = 256  // words of each port's FIFO
) (
  input  logic              clk_i,
  input  logic              rst_i,
  input  logic              stop_i,
  input  logic              command_i,
  input  logic [63:0]       addr_i,
  input  logic [31:0]       beats_i,
  output logic              ready_o,
  output logic              valid_o,
  output logic [W-1:0]      data_o,
  input  logic              pop_i,
  output logic              idle_o,
  output logic              failed_o,
  output logic              beat_o,
  // AXI4; the first port is in the lower bits.
  output logic [127:0]      m_araddr,
  output logic [15:0]       m_arlen,
  output logic [1:0]        m_arvalid,
  input  logic [1:0]        m_arready,
  input  logic [2*W-1:0]    m_rdata,
  input  logic [3:0]        m_rresp,
  input  logic [1:0]        m_rlast,
  input  logic [1:0]        m_rvalid,
  output logic [1:0]        m_rready
);
  logic way_q;
  logic [1:0] ready, valid, last, idle, failed, beat;
  logic [2*W-1:0] data;

  assign ready_o = &ready;
  assign valid_o = valid[way_q];
  assign data_o = way_q ? data[W+:W] : data[0+:W];
  assign idle_o = &idle;
  assign failed_o = |failed;
  assign beat_o = |beat;

  always_ff @(posedge clk_i) begin
    if (rst_i) way_q <= 1'b0;
    else if (pop_i && last[way_q]) way_q <= !way_q;
  end

  for (genvar k = 0; k < 2; k++) begin : g_way
    ese_axi_read #(.W(W), .DEPTH(DEPTH), .WAYS(2), .WAY(k)) u_read (
      .clk_i, .rst_i, .stop_i, .command_i(command_i && ready_o), .addr_i, .beats_i,
      .ready_o(ready[k]), .valid_o(valid[k]), .data_o(data[W*k+:W]), .last_o(last[k]),
      .pop_i(pop_i && way_q == 1'(k)), .idle_o(idle[k]), .failed_o(failed[k]), .beat_o(beat[k]),
      .m_araddr(m_araddr[64*k+:64]), .m_arlen(m_arlen[8*k+:8]), .m_arvalid(m_arvalid[k]),
      .m_arready(m_arready[k]), .m_rdata(m_rdata[W*k+:W]), .m_rresp(m_rresp[2*k+:2]),
      .m_rlast(m_rlast[k]), .m_rvalid(m_rvalid[k]), .m_rready(m_rready[k]));
  end
endmodule
