// SPDX-License-Identifier: Apache-2.0
// One replica of a bank of activations: columns of LANES bytes, for two PEs that each read a column of their
// own in every cycle. A write uses port A, and neither PE can read in that cycle.
module ese_act_mem #(
  parameter int LANES = 64,
  parameter int DEPTH = 1024,
  localparam int AW = $clog2(DEPTH),
  localparam int W = 8 * LANES
) (
  input  logic             clk_i,
  input  logic             write_i,
  input  logic [AW-1:0]    write_addr_i,
  input  logic [W-1:0]     write_data_i,
  input  logic [LANES-1:0] write_mask_i,
  input  logic             read_i,
  input  logic [AW-1:0]    a_addr_i,
  output logic [W-1:0]     a_data_o,
  input  logic [AW-1:0]    b_addr_i,
  output logic [W-1:0]     b_data_o
);
  logic [W-1:0] mem [DEPTH];
  wire [AW-1:0] a_addr = write_i ? write_addr_i : a_addr_i;

  always_ff @(posedge clk_i) begin
    if (write_i) begin
      for (int i = 0; i < LANES; i++)
        if (write_mask_i[i]) mem[a_addr][8*i+:8] <= write_data_i[8*i+:8];
    end else if (read_i) begin
      a_data_o <= mem[a_addr];
    end
  end

  always_ff @(posedge clk_i) if (read_i) b_data_o <= mem[b_addr_i];

`ifndef SYNTHESIS
  // ese_issue does not issue a read of this bank in the cycle of a write.
  assert property (@(posedge clk_i) !(write_i && read_i));
`endif
endmodule
