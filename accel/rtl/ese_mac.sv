// SPDX-License-Identifier: Apache-2.0
// The products and sums of one PE: in every cycle, one weight times a column of LANES activations.
//
//     a column, L x 8 ─┐  1        2            3               4             5
//     weight, 7 ───────┴► inputs ► L/2 products ► L sums (first: =, else +) ► held for the drain
//
// Two lanes share a product (one DSP48E2): (hi 2^18 + lo) w. The lower 18 bits are lo w, for
// |lo w| <= 2^13; the upper field is hi w, less one where lo w is negative.
module ese_mac #(
  parameter int LANES = 64,  // even
  parameter int SUM = 26     // bits of a sum; 14 + log2(the most entries of a row) suffice
) (
  input  logic                     clk_i,
  input  logic [8*LANES-1:0]       column_i,  // cycle 0
  input  logic signed [6:0]        weight_i,
  input  logic                     valid_i,
  input  logic                     first_i,   // the row's first entry
  input  logic                     hold_i,    // cycle 3: the sums of a row are complete; keep them
  input  logic [$clog2(LANES)-1:0] lane_i,
  output logic signed [SUM-1:0]    sum_o      // the held sum of lane_i of the cycle before
);
  localparam int PAIRS = LANES / 2;

  logic [8*LANES-1:0] column_q;
  logic signed [6:0] weight_q;
  logic [2:1] valid_q, first_q;
  logic signed [33:0] product_q [PAIRS];
  logic signed [SUM-1:0] sum_q [LANES];
  logic signed [SUM-1:0] held_q [LANES];

  always_ff @(posedge clk_i) begin
    column_q <= column_i;
    weight_q <= weight_i;
    valid_q <= {valid_q[1], valid_i};
    first_q <= {first_q[1], first_i};
  end

  for (genvar p = 0; p < PAIRS; p++) begin : g_pair
    wire signed [7:0] lo = column_q[16*p+:8];
    wire signed [7:0] hi = column_q[16*p+8+:8];
    wire signed [26:0] packed_lanes = (27'(hi) <<< 18) + 27'(lo);
    wire signed [17:0] lo_product = product_q[p][17:0];
    wire signed [15:0] hi_product = product_q[p][33:18] + {15'b0, product_q[p][17]};

    always_ff @(posedge clk_i) begin
      product_q[p] <= packed_lanes * weight_q;
      if (valid_q[2]) begin
        sum_q[2*p]   <= (first_q[2] ? '0 : sum_q[2*p]) + SUM'(lo_product);
        sum_q[2*p+1] <= (first_q[2] ? '0 : sum_q[2*p+1]) + SUM'(hi_product);
      end
      if (hold_i) begin
        held_q[2*p]   <= sum_q[2*p];
        held_q[2*p+1] <= sum_q[2*p+1];
      end
    end
  end

  always_ff @(posedge clk_i) sum_o <= held_q[lane_i];
endmodule
