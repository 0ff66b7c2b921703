// SPDX-License-Identifier: Apache-2.0
// Puts the words of a batch where they belong: first y and the x of the first frame, before the array
// starts; then c, a few cells ahead of its use (no sooner, because the entries need the memory more); then
// the x of each further frame, once the layer that reads x has finished with the one before.
module ese_loader #(
  parameter int LANES = 64,
  parameter int V_DEPTH = 2048,
  parameter int CELLS = 64,
  parameter int AHEAD = 4,  // cells
  localparam int VW = $clog2(V_DEPTH),
  localparam int LW = $clog2(LANES),
  localparam int CLW = $clog2(CELLS)
) (
  input  logic              clk_i,
  input  logic              rst_i,
  input  ese_pkg::batch_t   batch_i,
  input  logic              valid_i,       // a word has come
  output logic              pop_o,
  output logic              x_loaded_o,
  input  logic              x_release_i,
  output logic [CLW:0]      cells_loaded_o,
  input  logic [CLW-1:0]    cell_i,        // that the array works on; per PE
  output logic              v_load_o,
  output logic [VW-1:0]     v_load_addr_o,
  input  logic              v_load_ready_i,
  output logic              cell_load_o,
  output logic [CLW+LW-1:0] cell_load_addr_o,
  input  logic              cell_load_ready_i
);
  typedef enum logic [1:0] {LOAD_Y, LOAD_X, LOAD_C} state_e;
  state_e state_q;
  logic cells_done_q;
  logic [15:0] index_q;
  logic [LW-1:0] lane_q;

  wire last_y = index_q == batch_i.y_columns - 16'd1;
  wire last_x = index_q == batch_i.inputs - 16'd1;
  wire last_lane = &lane_q;

  assign v_load_o = valid_i && v_load_ready_i && (state_q == LOAD_Y || (state_q == LOAD_X && !x_loaded_o));
  assign v_load_addr_o = VW'(state_q == LOAD_Y ? batch_i.inputs + index_q : index_q);
  wire soon = cells_loaded_o < (CLW + 1)'(cell_i) + (CLW + 1)'(AHEAD);
  assign cell_load_o = valid_i && cell_load_ready_i && state_q == LOAD_C && soon;
  assign cell_load_addr_o = {cells_loaded_o[CLW-1:0], lane_q};
  assign pop_o = v_load_o || cell_load_o;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      state_q <= LOAD_Y;
      cells_done_q <= 1'b0;
      index_q <= '0;
      lane_q <= '0;
      x_loaded_o <= 1'b0;
      cells_loaded_o <= '0;
    end else begin
      if (x_release_i) x_loaded_o <= 1'b0;
      case (state_q)
        LOAD_Y: if (v_load_o) begin
          index_q <= last_y ? '0 : index_q + 16'd1;
          if (last_y) state_q <= LOAD_X;
        end
        LOAD_X: if (v_load_o) begin
          index_q <= last_x ? '0 : index_q + 16'd1;
          if (last_x) begin
            x_loaded_o <= 1'b1;
            if (!cells_done_q) state_q <= LOAD_C;
          end
        end
        LOAD_C: if (cell_load_o) begin
          lane_q <= lane_q + 1'b1;
          if (last_lane) begin
            cells_loaded_o <= cells_loaded_o + 1'b1;
            if (cells_loaded_o == batch_i.cell_count[CLW:0] - 1'b1) begin
              cells_done_q <= 1'b1;
              state_q <= LOAD_X;
            end
          end
        end
        default: state_q <= LOAD_Y;
      endcase
    end
  end

  wire unused = &{1'b0, batch_i};
endmodule
