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
  input  logic                clk_i,
  // Entries: decoded into the address register, held there until they are issued.
  input  logic [15:0]         entry_i,
  input  logic                decode_i,
  input  logic                first_i,        // of a row
  input  logic [COLUMN_W-1:0] base_i,
  // Columns [low, high) are pending: of the bank of the entry that is decoded, and of the one before.
  input  logic [COLUMN_W:0]   decode_low_i,
  input  logic [COLUMN_W:0]   decode_high_i,
  input  logic [COLUMN_W:0]   waiting_low_i,
  input  logic [COLUMN_W:0]   waiting_high_i,
  input  logic                issue_i,
  input  logic                issue_first_i,
  output logic                decode_blocked_o,   // what is decoded would ask for one of them
  output logic                waiting_blocked_o,  // addr_o asks for one
  output logic [COLUMN_W-1:0] addr_o,
  input  logic [8*LANES-1:0]  column_i,       // a cycle after issue_i
  input  logic                hold_i,         // four cycles after the issue of a row's last entry
  // Rows' constants.
  input  logic                row_write_i,
  input  logic [RW-1:0]       row_write_addr_i,
  input  logic [52:0]         row_write_data_i,
  input  logic [RW-1:0]       row_i,          // the row that is drained
  // See ese_cell.
  input  logic [CW-1:0]       cell_p0_i,
  input  logic [LW-1:0]       lane_p1_i,
  input  logic [4:0]          y_shift_p5_i,
  input  logic [3:0]          m_shift_p18_i,
  input  logic                tanh_p7_i,
  input  logic [LW-1:0]       lane_p15_i,
  input  logic [LW-1:0]       lane_p16_i,
  input  logic                i_p16_i,
  input  logic                f_p16_i,
  input  logic                update_p19_i,
  input  logic                active_p19_i,
  input  logic [CW-1:0]       cell_p19_i,
  input  logic [LW-1:0]       lane_p28_i,
  input  logic                h_p28_i,
  input  logic                load_i,
  input  logic [CW-1:0]       load_addr_i,
  input  logic [15:0]         load_data_i,
  // Collected bytes of a row, y at p7 or m at p19.
  input  logic                y_p7_i,
  input  logic [LW-1:0]       lane_p7_i,
  input  logic                m_p19_i,
  output logic [8*LANES-1:0]  collected_o,
  output logic [31:0]         logit_p5_o,
  output logic [15:0]         c_p20_o
);
  logic signed [6:0] weight_q, weight_issued_q;
  logic issued_q, issued_first_q;
  wire [COLUMN_W-1:0] addr = (first_i ? base_i : addr_o) + COLUMN_W'(entry_i[15:7]) + COLUMN_W'(!first_i);

  always_ff @(posedge clk_i) begin
    if (decode_i) begin
      addr_o <= addr;
      weight_q <= entry_i[6:0];
    end
    issued_q <= issue_i;
    issued_first_q <= issue_first_i;
    weight_issued_q <= weight_q;
  end
  assign decode_blocked_o = {1'b0, addr} >= decode_low_i && {1'b0, addr} < decode_high_i;
  assign waiting_blocked_o = {1'b0, addr_o} >= waiting_low_i && {1'b0, addr_o} < waiting_high_i;

  logic [52:0] rows [ROWS];
  logic [52:0] row_q;
  always_ff @(posedge clk_i) begin
    if (row_write_i) rows[row_write_addr_i] <= row_write_data_i;
    row_q <= rows[row_i];
  end

  logic signed [SUM-1:0] sum_p2;
  ese_mac #(.LANES(LANES), .SUM(SUM)) u_mac (
    .clk_i, .column_i, .weight_i(weight_issued_q), .valid_i(issued_q), .first_i(issued_first_q),
    .hold_i, .lane_i(lane_p1_i), .sum_o(sum_p2));

  logic [7:0] y_p7, m_p19;
  ese_cell #(.LANES(LANES), .SUM(SUM), .CELLS(CELLS)) u_cell (
    .clk_i, .row_p2_i(row_q), .sum_p2_i(sum_p2), .cell_p0_i, .y_shift_p5_i, .m_shift_p18_i, .tanh_p7_i,
    .lane_p15_i, .lane_p16_i, .i_p16_i, .f_p16_i, .update_p19_i, .active_p19_i, .cell_p19_i,
    .lane_p28_i, .h_p28_i, .load_i, .load_addr_i, .load_data_i, .logit_p5_o, .y_p7_o(y_p7),
    .m_p19_o(m_p19), .c_p20_o);

  wire [LW-1:0] collect_lane;
  logic [LW-1:0] lane_p17_q, lane_p18_q, lane_p19_q;
  always_ff @(posedge clk_i) begin
    lane_p17_q <= lane_p16_i;
    lane_p18_q <= lane_p17_q;
    lane_p19_q <= lane_p18_q;
  end
  assign collect_lane = m_p19_i ? lane_p19_q : lane_p7_i;
  always_ff @(posedge clk_i)
    for (int i = 0; i < LANES; i++)  // an enable for each byte; an indexed write would cost a mux a bit
      if ((m_p19_i || y_p7_i) && collect_lane == LW'(i)) collected_o[8*i+:8] <= m_p19_i ? m_p19 : y_p7;
endmodule
