// SPDX-License-Identifier: Apache-2.0
// A first-word-fall-through FIFO in block RAM. The next word is in the memory's output register.
module ese_fifo #(
  parameter int W = 8,
  parameter int DEPTH = 16  // a power of two
) (
  input  logic         clk_i,
  input  logic         rst_i,
  input  logic         push_i,
  input  logic [W-1:0] data_i,
  output logic         valid_o,
  output logic [W-1:0] data_o,
  input  logic         pop_i
);
  localparam int AW = $clog2(DEPTH);

  logic [W-1:0] mem [DEPTH];
  logic [AW:0] head_q, tail_q;
  wire fetch = head_q != tail_q && (!valid_o || pop_i);

  always_ff @(posedge clk_i) begin
    if (push_i) mem[head_q[AW-1:0]] <= data_i;
    if (fetch) data_o <= mem[tail_q[AW-1:0]];
  end

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      head_q  <= '0;
      tail_q  <= '0;
      valid_o <= 1'b0;
    end else begin
      if (push_i) head_q <= head_q + 1'b1;
      if (fetch) tail_q <= tail_q + 1'b1;
      valid_o <= fetch || (valid_o && !pop_i);
    end
  end

`ifndef SYNTHESIS
  // The user counts the free places, so it never pushes into a full FIFO or pops an empty one.
  assert property (@(posedge clk_i) disable iff (rst_i)
                   !(push_i && (head_q - tail_q) == (AW + 1)'(DEPTH)));
  assert property (@(posedge clk_i) disable iff (rst_i) !(pop_i && !valid_o));
`endif
endmodule
