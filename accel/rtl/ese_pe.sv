// SPDX-License-Identifier: Apache-2.0
// A processing element: reads an activation column for each of its entries, sums rows for all lanes,
// and takes finished rows through gates, cell, projection or output.
//
//     entry ─► column ─► (activation memory) ─► ese_mac ─► ese_cell ─► result: a byte for each lane
module ese_pe #(
  parameter int LANES = 64,
  parameter int COLUMN_W = 11,
  parameter int SUM = 26,
  parameter int CELLS = 64,
  parameter int ROWS = 512,
  localparam int LW = $clog2(LANES),
  localparam int CW = $clog2(CELLS * LANES),
  localparam int RW = $clog2(ROWS)
) (
  input  logic                         clk_i,
  // An entry is decoded into the address register and held there until it is issued.
  input  logic [15:0]                  entry_i,
  input  ese_pkg::issue_t              issue_i,
  output logic                         decode_blocked_o,   // the entry that is decoded asks for a pending column
  output logic                         waiting_blocked_o,  // addr_o is a pending column
  output logic [COLUMN_W-1:0]          addr_o,
  input  logic [8*LANES-1:0]           column_i,           // one cycle after an issue
  // Rows' constants.
  input  logic                         row_write_i,
  input  logic [RW-1:0]                row_write_addr_i,
  input  logic [ese_pkg::ROW_BITS-1:0] row_write_data_i,
  // The row that is drained. Its sums are held four cycles after the issue of its last entry.
  input  ese_pkg::drain_t              drain_i,
  // c of the batch: see ese_cell.
  input  logic                         load_i,
  input  logic [CW-1:0]                load_addr_i,
  input  logic [15:0]                  load_data_i,
  // Results. Collected bytes of a row: y at p7 or m at p19.
  output logic [8*LANES-1:0]           collected_o,
  output logic [31:0]                  logit_p5_o,
  output logic [15:0]                  c_p20_o
);
  logic signed [6:0] weight_q, weight_issued_q;
  logic issued_q, issued_first_q;
  wire [COLUMN_W-1:0] addr = (issue_i.decode_first ? issue_i.decode_base[COLUMN_W-1:0] : addr_o) +
                             COLUMN_W'(entry_i[15:7]) + COLUMN_W'(!issue_i.decode_first);

  always_ff @(posedge clk_i) begin
    if (issue_i.decode) begin
      addr_o <= addr;
      weight_q <= entry_i[6:0];
    end
    issued_q <= issue_i.issue;
    issued_first_q <= issue_i.issue_first;
    weight_issued_q <= weight_q;
  end
  wire [COLUMN_W:0] decode_low = issue_i.decode_low[COLUMN_W:0];
  wire [COLUMN_W:0] decode_high = issue_i.decode_high[COLUMN_W:0];
  wire [COLUMN_W:0] waiting_low = issue_i.waiting_low[COLUMN_W:0];
  wire [COLUMN_W:0] waiting_high = issue_i.waiting_high[COLUMN_W:0];
  assign decode_blocked_o = {1'b0, addr} >= decode_low && {1'b0, addr} < decode_high;
  assign waiting_blocked_o = {1'b0, addr_o} >= waiting_low && {1'b0, addr_o} < waiting_high;

  logic [ese_pkg::ROW_BITS-1:0] rows [ROWS];
  logic [ese_pkg::ROW_BITS-1:0] row_q;
  always_ff @(posedge clk_i) begin
    if (row_write_i) rows[row_write_addr_i] <= row_write_data_i;
    row_q <= rows[drain_i.row_index[RW-1:0]];
  end

  logic signed [SUM-1:0] sum_p2;
  ese_mac #(.LANES(LANES), .SUM(SUM)) u_mac (
    .clk_i, .column_i, .weight_i(weight_issued_q), .valid_i(issued_q), .first_i(issued_first_q),
    .hold_i(drain_i.hold), .lane_i(drain_i.lane_p1[LW-1:0]), .sum_o(sum_p2));

  logic [7:0] y_p7, m_p19;
  ese_cell #(.LANES(LANES), .SUM(SUM), .CELLS(CELLS)) u_cell (
    .clk_i, .row_p2_i(row_q), .sum_p2_i(sum_p2), .cell_p0_i(drain_i.cell_p0[CW-1:0]),
    .y_shift_p5_i(drain_i.y_shift_p5), .m_shift_p18_i(drain_i.m_shift_p18),
    .tanh_p7_i(drain_i.tanh_p7), .lane_p15_i(drain_i.lane_p15[LW-1:0]),
    .lane_p16_i(drain_i.lane_p16[LW-1:0]), .i_p16_i(drain_i.i_p16), .f_p16_i(drain_i.f_p16),
    .update_p19_i(drain_i.update_p19), .active_p19_i(drain_i.active_p19),
    .cell_p19_i(drain_i.cell_p19[CW-1:0]), .lane_p28_i(drain_i.lane_p28[LW-1:0]),
    .h_p28_i(drain_i.h_p28), .load_i, .load_addr_i, .load_data_i, .logit_p5_o, .y_p7_o(y_p7),
    .m_p19_o(m_p19), .c_p20_o);

  wire [LW-1:0] collect_lane;
  logic [LW-1:0] lane_p17_q, lane_p18_q, lane_p19_q;
  always_ff @(posedge clk_i) begin
    lane_p17_q <= drain_i.lane_p16[LW-1:0];
    lane_p18_q <= lane_p17_q;
    lane_p19_q <= lane_p18_q;
  end
  assign collect_lane = drain_i.m_p19 ? lane_p19_q : drain_i.lane_p7[LW-1:0];
  always_ff @(posedge clk_i)
    for (int i = 0; i < LANES; i++)  // an enable for each byte, because an indexed write costs a mux for each bit
      if ((drain_i.m_p19 || drain_i.y_p7) && collect_lane == LW'(i))
        collected_o[8*i+:8] <= drain_i.m_p19 ? m_p19 : y_p7;

  wire unused = &{1'b0, issue_i, drain_i};
endmodule
