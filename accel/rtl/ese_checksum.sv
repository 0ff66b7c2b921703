// SPDX-License-Identifier: Apache-2.0
// Sums all 64-bit words of the results modulo 2^64. The status record carries the sum, so the host detects a
// bit that flips on the way.
module ese_checksum #(
  parameter int W = 512,  // a power of two, at least 64
  localparam int WORDS = W / 64,
  localparam int LEVELS = $clog2(WORDS)
) (
  input  logic         clk_i,
  input  logic         rst_i,
  input  logic         word_i,
  input  logic [W-1:0] data_i,
  output logic         settled_o,  // the sum includes every word given so far
  output logic [63:0]  sum_o
);
  logic [LEVELS:0] valid_q;
  // Level k of the adder tree has WORDS >> k sums.
  logic [63:0] sums_q [LEVELS+1] [WORDS];

  for (genvar k = 0; k < WORDS; k++) begin : g_word
    always_ff @(posedge clk_i) sums_q[0][k] <= data_i[64*k+:64];
  end
  for (genvar level = 1; level <= LEVELS; level++) begin : g_level
    for (genvar k = 0; k < WORDS >> level; k++) begin : g_sum
      always_ff @(posedge clk_i)
        sums_q[level][k] <= sums_q[level-1][2*k] + sums_q[level-1][2*k+1];
    end
    for (genvar k = WORDS >> level; k < WORDS; k++) begin : g_none
      assign sums_q[level][k] = '0;
    end
  end

  assign settled_o = valid_q == '0;
  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      valid_q <= '0;
      sum_o <= '0;
    end else begin
      valid_q <= (LEVELS + 1)'({valid_q, word_i});
      if (valid_q[LEVELS]) sum_o <= sum_o + sums_q[LEVELS][0];
    end
  end
endmodule
