// SPDX-License-Identifier: Apache-2.0
// Reads stretches of memory into a FIFO, in order. It requests as far ahead as the FIFO has room, so latency
// shows only at the start. A burst stays within BURST aligned beats, and so never crosses 4 KB.
//
// WAYS readers can share the same stretches: each then fetches every WAYS-th burst.
module ese_axi_read #(
  parameter int W = 512,
  parameter int DEPTH = 256,
  parameter int BURST = 16,
  parameter int WAYS = 1,
  parameter int WAY = 0
) (
  input  logic         clk_i,
  input  logic         rst_i,
  input  logic         stop_i,        // request nothing more, and drop what arrives
  // A stretch; taken when command_i and ready_o are both high.
  input  logic         command_i,
  input  logic [63:0]  addr_i,        // a multiple of W / 8
  input  logic [31:0]  beats_i,
  output logic         ready_o,
  // Words.
  output logic         valid_o,
  output logic [W-1:0] data_o,
  output logic         last_o,        // the last word of its burst
  input  logic         pop_i,
  output logic         idle_o,        // everything requested has arrived
  output logic         failed_o,      // pulse: a response other than OKAY
  output logic         beat_o,        // a transfer on either channel
  // AXI4.
  output logic [63:0]  m_araddr,
  output logic [7:0]   m_arlen,
  output logic         m_arvalid,
  input  logic         m_arready,
  input  logic [W-1:0] m_rdata,
  input  logic [1:0]   m_rresp,
  input  logic         m_rlast,
  input  logic         m_rvalid,
  output logic         m_rready
);
  localparam int BYTES_W = $clog2(W / 8);
  localparam int BW = $clog2(BURST);
  localparam int FW = $clog2(DEPTH) + 1;
  localparam int TW = WAYS > 1 ? $clog2(WAYS) : 1;

  logic [63:0] addr_q;
  logic [31:0] left_q;
  logic [FW-1:0] room_q, coming_q;
  logic [TW-1:0] turn_q;

  wire [BW:0] aligned = (BW + 1)'(BURST) - {1'b0, addr_q[BYTES_W+:BW]};
  wire [BW:0] burst = left_q < 32'(aligned) ? left_q[BW:0] : aligned;
  wire pending = left_q != '0 && !stop_i;
  wire mine = turn_q == TW'(WAY);
  wire request = pending && mine && room_q >= FW'(burst) && (!m_arvalid || m_arready);
  wire pass = pending && !mine;
  wire arrive = m_rvalid && m_rready;

  assign ready_o = left_q == '0 && !stop_i;
  assign m_rready = 1'b1;  // the request was made only with room in the FIFO
  assign failed_o = arrive && m_rresp != 2'b00;
  assign beat_o = arrive || (m_arvalid && m_arready);
  assign idle_o = !m_arvalid && coming_q == '0;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      left_q <= '0;
      room_q <= FW'(DEPTH);
      coming_q <= '0;
      turn_q <= '0;
      m_arvalid <= 1'b0;
    end else begin
      if (command_i && ready_o) left_q <= beats_i;
      else if (stop_i) left_q <= '0;
      else if (request || pass) left_q <= left_q - 32'(burst);
      if (request || pass) turn_q <= turn_q == TW'(WAYS - 1) ? '0 : turn_q + 1'b1;
      room_q <= room_q - (request ? FW'(burst) : '0) + FW'(pop_i);
      coming_q <= coming_q + (request ? FW'(burst) : '0) - FW'(arrive);
      if (request) m_arvalid <= 1'b1;
      else if (m_arready) m_arvalid <= 1'b0;
    end
    if (command_i && ready_o) addr_q <= addr_i;
    else if (request || pass) addr_q <= addr_q + (64'(burst) << BYTES_W);
    if (request) begin
      m_araddr <= addr_q;
      m_arlen <= 8'(burst) - 8'd1;
    end
  end

  ese_fifo #(.W(W + 1), .DEPTH(DEPTH)) u_fifo (
    .clk_i, .rst_i, .push_i(arrive && !stop_i), .data_i({m_rlast, m_rdata}), .valid_o,
    .data_o({last_o, data_o}), .pop_i);
endmodule
