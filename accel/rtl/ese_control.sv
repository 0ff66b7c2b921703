// SPDX-License-Identifier: Apache-2.0
// The kernel's registers: an AXI4-Lite slave with the Vitis control protocol ap_ctrl_chain.
//
//   0x00 control   bit 0 ap_start (set; cleared when the batch is taken), 1 ap_done, 2 ap_idle,
//                  3 ap_ready, 4 ap_continue (write 1 to acknowledge the result)
//   0x04 global interrupt enable   0x08 interrupt enable (0 done, 1 ready)   0x0C interrupt status
//   0x10, 0x14 address of the descriptor
//   0x1C error code of the last batch   0x20 state   (read only)
module ese_control (
  input  logic        clk_i,
  input  logic        rst_i,
  input  logic [5:0]  s_awaddr,
  input  logic        s_awvalid,
  output logic        s_awready,
  input  logic [31:0] s_wdata,
  input  logic [3:0]  s_wstrb,
  input  logic        s_wvalid,
  output logic        s_wready,
  output logic [1:0]  s_bresp,
  output logic        s_bvalid,
  input  logic        s_bready,
  input  logic [5:0]  s_araddr,
  input  logic        s_arvalid,
  output logic        s_arready,
  output logic [31:0] s_rdata,
  output logic [1:0]  s_rresp,
  output logic        s_rvalid,
  input  logic        s_rready,
  output logic        interrupt_o,
  // The batch.
  output logic        start_o,
  output logic [63:0] descriptor_o,
  output logic        acknowledge_o,
  input  logic        idle_i,
  input  logic        done_i,
  input  logic [7:0]  error_i,
  input  logic [3:0]  state_i
);
  logic start_q, continue_q, global_q, done_before_q;
  logic [1:0] enable_q, status_q;
  logic [63:0] descriptor_q;

  // The address and the data of a write are taken in the same cycle.
  wire write = s_awvalid && s_wvalid && !s_bvalid;
  wire read = s_arvalid && !s_rvalid;
  assign s_awready = write;
  assign s_wready = write;
  assign s_arready = read;
  assign s_bresp = 2'b00;
  assign s_rresp = 2'b00;

  wire ready = done_i && !done_before_q;  // ap_ready: the next batch may be started

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      start_q <= 1'b0;
      continue_q <= 1'b0;
      global_q <= 1'b0;
      enable_q <= '0;
      status_q <= '0;
      descriptor_q <= '0;
      done_before_q <= 1'b0;
      s_bvalid <= 1'b0;
      s_rvalid <= 1'b0;
    end else begin
      s_bvalid <= write || (s_bvalid && !s_bready);
      s_rvalid <= read || (s_rvalid && !s_rready);
      done_before_q <= done_i;
      if (ready) start_q <= 1'b0;
      continue_q <= 1'b0;
      if (ready) status_q <= status_q | enable_q;
      if (write && s_wstrb[0]) begin
        case (s_awaddr[5:2])
          4'h0: begin
            if (s_wdata[0]) start_q <= 1'b1;
            continue_q <= s_wdata[4];
          end
          4'h1: global_q <= s_wdata[0];
          4'h2: enable_q <= s_wdata[1:0];
          4'h3: status_q <= status_q ^ s_wdata[1:0];  // writing 1 toggles a bit, as in Vitis
          default: ;
        endcase
      end
      for (int b = 0; b < 4; b++) begin
        if (write && s_wstrb[b] && s_awaddr[5:2] == 4'h4) descriptor_q[8*b+:8] <= s_wdata[8*b+:8];
        if (write && s_wstrb[b] && s_awaddr[5:2] == 4'h5)
          descriptor_q[32+8*b+:8] <= s_wdata[8*b+:8];
      end
    end
    if (read) begin
      case (s_araddr[5:2])
        4'h0: s_rdata <= {28'b0, done_i, idle_i, done_i, start_q};
        4'h1: s_rdata <= {31'b0, global_q};
        4'h2: s_rdata <= {30'b0, enable_q};
        4'h3: s_rdata <= {30'b0, status_q};
        4'h4: s_rdata <= descriptor_q[31:0];
        4'h5: s_rdata <= descriptor_q[63:32];
        4'h7: s_rdata <= {24'b0, error_i};
        4'h8: s_rdata <= {28'b0, state_i};
        default: s_rdata <= '0;
      endcase
    end
  end

  assign start_o = start_q;
  assign descriptor_o = descriptor_q;
  assign acknowledge_o = continue_q;
  assign interrupt_o = global_q && |status_q;

  wire unused = &{1'b0, s_awaddr[1:0], s_araddr[1:0]};
endmodule
