// SPDX-License-Identifier: Apache-2.0
// Processes a finished row of one PE, one lane a cycle: gates, cell and m; or y; or a logit. Numbers in
// brackets are the equations of docs/arithmetic.md. Suffix _pN: valid N cycles after the lane left ese_drain,
// which pipelines the controls.
//
//   p0 address of c  p2 c, sum, row  p3 << l, p c  p4 + B  p5 Z (7): logit  p6 rounded  p7 z (8), y (13)
//   p8 |z|  p16 gate (9): i and f stored; with g: f c, i g; with o: o h  p18 rounded  p19 c' (10), m (12)
//   p20 |4 c'|  p28 h (11) stored
//
// So an o row may follow its g row after 20 cycles at the earliest.
module ese_cell #(
  parameter int LANES = 64,
  parameter int SUM = 26,
  parameter int CELLS = 64,  // cells of a PE in all layers
  localparam int LW = $clog2(LANES),
  localparam int CW = $clog2(CELLS * LANES)
) (
  input  logic                  clk_i,
  // The row: {shift 5, peephole 16, bias 32}; at p2.
  input  logic [52:0]           row_p2_i,
  input  logic signed [SUM-1:0] sum_p2_i,
  // Controls.
  input  logic [CW-1:0]         cell_p0_i,
  input  logic [4:0]            y_shift_p5_i,  // 19 - q
  input  logic [3:0]            m_shift_p18_i,  // 15 - r
  input  logic                  tanh_p7_i,     // the row is g, and g is not a sigmoid
  input  logic [LW-1:0]         lane_p15_i,
  input  logic [LW-1:0]         lane_p16_i,
  input  logic                  i_p16_i,
  input  logic                  f_p16_i,
  input  logic                  update_p19_i,  // the row is g: c' is written
  input  logic                  active_p19_i,  // the lane has this frame; otherwise c stays
  input  logic [CW-1:0]         cell_p19_i,
  input  logic [LW-1:0]         lane_p28_i,
  input  logic                  h_p28_i,
  // c of the batch is loaded; never in a cycle of update_p19_i.
  input  logic                  load_i,
  input  logic [CW-1:0]         load_addr_i,
  input  logic [15:0]           load_data_i,
  // Results.
  output logic [31:0]           logit_p5_o,
  output logic [7:0]            y_p7_o,
  output logic [7:0]            m_p19_o,
  output logic [15:0]           c_p20_o
);
  function automatic logic signed [15:0] round15(input logic signed [31:0] v);  // (3)
    logic signed [31:0] sum;
    sum = v + 32'sd16384;
    round15 = sum[30:15];
  endfunction

  function automatic logic signed [15:0] saturate16(input logic signed [24:0] v);  // (2)
    if (v > 25'sd32767) saturate16 = 16'sh7FFF;
    else if (v < -25'sd32768) saturate16 = 16'sh8000;
    else saturate16 = v[15:0];
  endfunction

  // |v| as an unsigned 16-bit number.
  function automatic logic [15:0] magnitude(input logic signed [15:0] v);
    magnitude = v[15] ? 16'(-v) : v;
  endfunction

  // c before the step, at every stage that still needs it.
  logic signed [15:0] cells [CELLS * LANES];
  logic signed [15:0] c_p [1:19];
  logic signed [15:0] new_c_p19;
  wire signed [15:0] kept_c_p19 = active_p19_i ? new_c_p19 : c_p[19];
  wire cell_write = update_p19_i || load_i;
  wire [CW-1:0] cell_write_addr = update_p19_i ? cell_p19_i : load_addr_i;
  wire signed [15:0] cell_write_data = update_p19_i ? kept_c_p19 : load_data_i;

  always_ff @(posedge clk_i) begin
    if (cell_write) cells[cell_write_addr] <= cell_write_data;
    c_p[1] <= cells[cell_p0_i];
    for (int k = 2; k <= 19; k++) c_p[k] <= c_p[k-1];
  end

  // Row sum to pre-activation, y or logit.
  logic signed [31:0] shifted_p3, product_p3, biased_p4, z_p5;
  logic signed [31:0] bias_p3;
  logic signed [28:0] peephole_p4;
  logic signed [23:0] rounded_p6;
  logic signed [19:0] y_rounded_p6;
  logic signed [15:0] z_p7;
  logic [14:0] magnitude_p8;
  logic negative_p8, sigmoid_p8;
  wire signed [31:0] peephole_sum_p3 = product_p3 + 32'sd4;
  wire signed [31:0] rounding_sum_p5 = z_p5 + 32'sd128;
  wire signed [31:0] y_sum_p5 = z_p5 + (32'sd1 <<< (y_shift_p5_i - 5'd1));
  wire signed [31:0] y_shifted_p5 = y_sum_p5 >>> y_shift_p5_i;
  wire [15:0] magnitude_p7 = magnitude(z_p7);

  always_ff @(posedge clk_i) begin
    shifted_p3 <= 32'(sum_p2_i) <<< row_p2_i[52:48];
    product_p3 <= c_p[2] * $signed(row_p2_i[47:32]);
    bias_p3 <= row_p2_i[31:0];
    biased_p4 <= shifted_p3 + bias_p3;
    peephole_p4 <= peephole_sum_p3[31:3];
    z_p5 <= biased_p4 + 32'(peephole_p4);
    rounded_p6 <= rounding_sum_p5[31:8];
    y_rounded_p6 <= y_shifted_p5[19:0];  // at least 12 places
    z_p7 <= saturate16(25'(rounded_p6));
    if (y_rounded_p6 > 20'sd127) y_p7_o <= 8'h7F;
    else if (y_rounded_p6 < -20'sd128) y_p7_o <= 8'h80;
    else y_p7_o <= y_rounded_p6[7:0];

    // Sigmoid takes |z| and tanh takes 2 |z|, both at most 32767.
    if (tanh_p7_i) magnitude_p8 <= |magnitude_p7[15:14] ? 15'h7FFF : {magnitude_p7[13:0], 1'b0};
    else magnitude_p8 <= magnitude_p7[15] ? 15'h7FFF : magnitude_p7[14:0];
    negative_p8 <= z_p7[15];
    sigmoid_p8 <= !tanh_p7_i;
  end
  assign logit_p5_o = z_p5;

  logic signed [15:0] gate_p16;
  ese_tanh u_gate (
    .clk_i, .magnitude_i(magnitude_p8), .negative_i(negative_p8), .sigmoid_i(sigmoid_p8),
    .result_o(gate_p16));

  // The gates of a cell wait here for its other gates, with a place for each lane.
  logic signed [15:0] i_mem [LANES];
  logic signed [15:0] f_mem [LANES];
  logic signed [15:0] h_mem [LANES];
  logic signed [15:0] i_p16, f_p16, h_p16, h_p28;
  logic signed [31:0] fc_p17, ig_p17, oh_p17;
  logic signed [15:0] fc_p18, ig_p18, oh_p18;
  wire signed [16:0] ig_sum_p18 = 17'(ig_p18) + 17'sd16;
  wire signed [16:0] oh_sum_p18 = 17'(oh_p18) + (17'sd1 <<< (m_shift_p18_i - 4'd1));
  wire signed [16:0] m_wide_p18 = oh_sum_p18 >>> m_shift_p18_i;
  wire signed [24:0] new_c_wide_p18 = 25'(fc_p18) + 25'($signed(ig_sum_p18[16:5]));

  always_ff @(posedge clk_i) begin
    if (i_p16_i) i_mem[lane_p16_i] <= gate_p16;
    if (f_p16_i) f_mem[lane_p16_i] <= gate_p16;
    if (h_p28_i) h_mem[lane_p28_i] <= h_p28;
    i_p16 <= i_mem[lane_p15_i];
    f_p16 <= f_mem[lane_p15_i];
    h_p16 <= h_mem[lane_p15_i];
    fc_p17 <= f_p16 * c_p[16];
    ig_p17 <= i_p16 * gate_p16;
    oh_p17 <= gate_p16 * h_p16;
    fc_p18 <= round15(fc_p17);
    ig_p18 <= round15(ig_p17);
    oh_p18 <= round15(oh_p17);
    new_c_p19 <= saturate16(new_c_wide_p18);
    if (m_wide_p18 > 17'sd127) m_p19_o <= 8'h7F;
    else if (m_wide_p18 < -17'sd128) m_p19_o <= 8'h80;
    else m_p19_o <= m_wide_p18[7:0];
  end

  // tanh of the new cell.
  logic [14:0] magnitude_p20;
  logic negative_p20;
  wire [15:0] c_magnitude_p19 = magnitude(new_c_p19);
  always_ff @(posedge clk_i) begin
    magnitude_p20 <= |c_magnitude_p19[15:13] ? 15'h7FFF : {c_magnitude_p19[12:0], 2'b0};
    negative_p20 <= new_c_p19[15];
    c_p20_o <= kept_c_p19;
  end
  ese_tanh u_tanh (
    .clk_i, .magnitude_i(magnitude_p20), .negative_i(negative_p20), .sigmoid_i(1'b0),
    .result_o(h_p28));

`ifndef SYNTHESIS
  assert property (@(posedge clk_i) !(update_p19_i && load_i));
`endif
endmodule
