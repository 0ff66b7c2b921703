// SPDX-License-Identifier: Apache-2.0
// Writes stretches of memory. A command announces each stretch, and its words follow in order. The command's
// strobe selects the bytes of each word that are written. In a stretch of pairs two words come in a cycle,
// and the lower one comes first in memory.
module ese_axi_write #(
  parameter int W = 512,
  parameter int DEPTH = 512,    // words
  parameter int COMMANDS = 16,
  parameter int BURST = 16
) (
  input  logic           clk_i,
  input  logic           rst_i,
  input  logic           stop_i,     // finish the burst that was begun, with all bytes masked
  input  logic           command_i,
  input  logic [63:0]    addr_i,
  input  logic [15:0]    words_i,
  input  logic           pairs_i,
  input  logic [W/8-1:0] strobe_i,
  output logic           ready_o,
  input  logic           word_i,
  input  logic [W-1:0]   data_i,
  input  logic           pair_i,     // upper_i follows data_i
  input  logic [W-1:0]   upper_i,
  output logic           popped_o,   // a word or a pair has left the FIFO
  output logic           idle_o,     // everything is written and all responses have arrived
  output logic           failed_o,
  output logic           beat_o,
  // AXI4.
  output logic [63:0]    m_awaddr,
  output logic [7:0]     m_awlen,
  output logic           m_awvalid,
  input  logic           m_awready,
  output logic [W-1:0]   m_wdata,
  output logic [W/8-1:0] m_wstrb,
  output logic           m_wlast,
  output logic           m_wvalid,
  input  logic           m_wready,
  input  logic [1:0]     m_bresp,
  input  logic           m_bvalid,
  output logic           m_bready
);
  localparam int BYTES_W = $clog2(W / 8);
  localparam int CW = $clog2(COMMANDS) + 1;

  logic [CW-1:0] commands_q;
  logic command_valid, command_pop;
  logic [80+W/8:0] command;
  ese_fifo #(.W(81 + W / 8), .DEPTH(COMMANDS)) u_commands (
    .clk_i, .rst_i, .push_i(command_i), .data_i({strobe_i, pairs_i, words_i, addr_i}),
    .valid_o(command_valid), .data_o(command), .pop_i(command_pop));

  logic pairs_q, half_q, pop;
  logic lower_valid, upper_valid;
  logic [W-1:0] lower, upper;
  ese_fifo #(.W(W), .DEPTH(DEPTH)) u_lower (
    .clk_i, .rst_i, .push_i(word_i), .data_i, .valid_o(lower_valid), .data_o(lower),
    .pop_i(pop && !half_q));
  ese_fifo #(.W(W), .DEPTH(DEPTH)) u_upper (
    .clk_i, .rst_i, .push_i(word_i && pair_i), .data_i(upper_i), .valid_o(upper_valid),
    .data_o(upper), .pop_i(pop && half_q));
  wire word_valid = half_q ? upper_valid : lower_valid;
  assign m_wdata = half_q ? upper : lower;

  typedef enum logic [1:0] {FETCH, ADDRESS, DATA} state_e;
  state_e state_q;
  logic [63:0] addr_q;
  logic [15:0] left_q;
  logic [7:0] beats_q;
  logic [7:0] responses_q;
  logic [W/8-1:0] strobe_q;
  logic masked_q;

  wire [12-BYTES_W:0] page = (13 - BYTES_W)'(4096 >> BYTES_W) - {1'b0, addr_q[11:BYTES_W]};
  wire [15:0] by_page = 16'(page) < left_q ? 16'(page) : left_q;
  wire [7:0] burst = by_page < 16'(BURST) ? 8'(by_page) : 8'(BURST);
  wire begun = m_awvalid && m_awready;
  wire sent = m_wvalid && m_wready;
  wire answered = m_bvalid && m_bready;

  assign ready_o = commands_q != CW'(COMMANDS);
  assign command_pop = state_q == FETCH && command_valid && !stop_i;
  assign m_awaddr = addr_q;
  assign m_awlen = burst - 8'd1;
  // AXI forbids changing an offer, so offers stay as they are even after stop_i.
  assign m_awvalid = state_q == ADDRESS;
  assign m_wvalid = state_q == DATA && (word_valid || masked_q);
  assign m_wstrb = masked_q ? '0 : strobe_q;
  assign m_wlast = beats_q == 8'd1;
  assign m_bready = 1'b1;
  assign pop = sent && word_valid;
  assign popped_o = pop && half_q == pairs_q;
  assign failed_o = answered && m_bresp != 2'b00;
  assign beat_o = begun || sent || answered;
  assign idle_o = state_q == FETCH && (!command_valid || stop_i) && commands_q == '0 && responses_q == '0;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      state_q <= FETCH;
      commands_q <= '0;
      responses_q <= '0;
      left_q <= '0;
      masked_q <= 1'b0;
      pairs_q <= 1'b0;
      half_q <= 1'b0;
    end else begin
      if (!m_wvalid || m_wready) masked_q <= stop_i;
      commands_q <= stop_i ? '0 : commands_q + CW'(command_i) - CW'(command_pop);
      responses_q <= responses_q + 8'(begun) - 8'(answered);
      if (pop) half_q <= pairs_q && !half_q;
      case (state_q)
        FETCH: if (command_pop) begin
          state_q <= ADDRESS;
          left_q <= command[79:64];
          pairs_q <= command[80];
          strobe_q <= command[81+:W/8];
        end
        ADDRESS: if (begun) begin
          state_q <= DATA;
          left_q <= left_q - 16'(burst);
        end
        DATA: if (sent && m_wlast) state_q <= left_q == '0 || stop_i ? FETCH : ADDRESS;
        default: state_q <= FETCH;
      endcase
    end
    if (command_pop) addr_q <= command[63:0];
    else if (begun) addr_q <= addr_q + (64'(burst) << BYTES_W);
    if (begun) beats_q <= burst;
    else if (sent) beats_q <= beats_q - 8'd1;
  end
endmodule
