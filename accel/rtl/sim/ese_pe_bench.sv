// SPDX-License-Identifier: Apache-2.0
// ese_pe for pe_test: the fields of its orders that the test drives are ports, because Verilator gives C++
// a packed struct as one number. The test drains no gates, so the fields that only they use are 0.
module ese_pe_bench #(
  parameter int LANES = 4,
  parameter int COLUMN_W = 11,
  parameter int SUM = 26,
  parameter int CELLS = 2,
  parameter int ROWS = 4,
  localparam int LW = $clog2(LANES),
  localparam int RW = $clog2(ROWS)
) (
  input  logic                         clk_i,
  input  logic [15:0]                  entry_i,
  input  logic                         decode_i,
  input  logic                         first_i,
  input  logic [COLUMN_W-1:0]          base_i,
  input  logic [COLUMN_W:0]            decode_low_i,
  input  logic [COLUMN_W:0]            decode_high_i,
  input  logic [COLUMN_W:0]            waiting_low_i,
  input  logic [COLUMN_W:0]            waiting_high_i,
  input  logic                         issue_i,
  input  logic                         issue_first_i,
  output logic                         decode_blocked_o,
  output logic                         waiting_blocked_o,
  output logic [COLUMN_W-1:0]          addr_o,
  input  logic [8*LANES-1:0]           column_i,
  input  logic                         row_write_i,
  input  logic [RW-1:0]                row_write_addr_i,
  input  logic [ese_pkg::ROW_BITS-1:0] row_write_data_i,
  input  logic                         hold_i,
  input  logic [RW-1:0]                row_i,
  input  logic [LW-1:0]                lane_p1_i,
  input  logic [4:0]                   y_shift_p5_i,
  input  logic                         y_p7_i,
  input  logic [LW-1:0]                lane_p7_i,
  output logic [8*LANES-1:0]           collected_o,
  output logic [31:0]                  logit_p5_o
);
  ese_pkg::issue_t issue;
  ese_pkg::drain_t drain;
  always_comb begin
    issue.decode = decode_i;
    issue.decode_first = first_i;
    issue.decode_base = 16'(base_i);
    issue.decode_low = 16'(decode_low_i);
    issue.decode_high = 16'(decode_high_i);
    issue.waiting_low = 16'(waiting_low_i);
    issue.waiting_high = 16'(waiting_high_i);
    issue.issue = issue_i;
    issue.issue_first = issue_first_i;
    drain = '0;
    drain.hold = hold_i;
    drain.row_index = 16'(row_i);
    drain.lane_p1 = 8'(lane_p1_i);
    drain.y_shift_p5 = y_shift_p5_i;
    drain.y_p7 = y_p7_i;
    drain.lane_p7 = 8'(lane_p7_i);
  end

  logic [15:0] c_p20;
  ese_pe #(.LANES(LANES), .COLUMN_W(COLUMN_W), .SUM(SUM), .CELLS(CELLS), .ROWS(ROWS)) u_pe (
    .clk_i, .entry_i, .issue_i(issue), .decode_blocked_o, .waiting_blocked_o, .addr_o, .column_i,
    .row_write_i, .row_write_addr_i, .row_write_data_i, .drain_i(drain), .load_i(1'b0),
    .load_addr_i('0), .load_data_i('0), .collected_o, .logit_p5_o, .c_p20_o(c_p20));
  wire unused = &{1'b0, c_p20};
endmodule
