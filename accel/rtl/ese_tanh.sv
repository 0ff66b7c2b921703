// SPDX-License-Identifier: Apache-2.0
// tanh and sigmoid, equations 4 to 6 of docs/arithmetic.md: one result a cycle, with a latency of 8 cycles.
//
//   cycle 0: magnitude  1: coefficients  2: c3 t  3: + c2  4: * t  5: + c1  6: * t  7: + c0  8: result
module ese_tanh (
  input  logic               clk_i,
  input  logic [14:0]        magnitude_i,  // Q3.12, min(|u|, 32767)
  input  logic               negative_i,
  input  logic               sigmoid_i,
  output logic signed [15:0] result_o
);
  `include "ese_tanh_rom.svh"

  // R(v, 15) of equation 3. The rounded products here fit 16 bits.
  function automatic logic signed [15:0] round15(input logic signed [31:0] v);
    logic signed [31:0] sum;
    sum = v + 32'sd16384;
    round15 = sum[30:15];
  endfunction

  logic [63:0] rom;
  assign rom = tanh_rom(magnitude_i[14:10]);

  logic signed [15:0] c0_q [1:6];
  logic signed [15:0] c1_q [1:4];
  logic signed [15:0] c2_q [1:2];
  logic signed [15:0] c3_q;
  logic signed [15:0] t_q [1:5];
  logic signed [31:0] m3_q, m2_q, m1_q;
  logic signed [15:0] a2_q, a1_q, value_q;
  logic [7:1] negative_q, sigmoid_q;

  wire signed [15:0] half = value_q >>> 1;

  always_ff @(posedge clk_i) begin
    c0_q[1] <= rom[15:0];
    c1_q[1] <= rom[31:16];
    c2_q[1] <= rom[47:32];
    c3_q <= rom[63:48];
    t_q[1] <= {1'b0, magnitude_i[9:0], 5'b0};
    for (int i = 2; i <= 6; i++) c0_q[i] <= c0_q[i-1];
    for (int i = 2; i <= 4; i++) c1_q[i] <= c1_q[i-1];
    c2_q[2] <= c2_q[1];
    for (int i = 2; i <= 5; i++) t_q[i] <= t_q[i-1];
    negative_q <= {negative_q[6:1], negative_i};
    sigmoid_q <= {sigmoid_q[6:1], sigmoid_i};

    m3_q <= c3_q * t_q[1];
    a2_q <= c2_q[2] + round15(m3_q);
    m2_q <= a2_q * t_q[3];
    a1_q <= c1_q[4] + round15(m2_q);
    m1_q <= a1_q * t_q[5];
    value_q <= c0_q[6] + round15(m1_q);

    if (sigmoid_q[7]) result_o <= negative_q[7] ? 16'sd16384 - half : 16'sd16384 + half;
    else result_o <= negative_q[7] ? -value_q : value_q;
  end
endmodule
