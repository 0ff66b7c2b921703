// SPDX-License-Identifier: Apache-2.0
// What the masters are to read for a batch, stretch by stretch, in the order in which it is needed:
//
//     entries   header ─► tables ─► first ─► rest ─► (first ─► output ─► rest)* ─► output    (ese_issue.sv)
//     data      descriptor ─► y ─► x of the first frame ─► c ─► x of all others
//
// The array cannot start before y and x are here, so they are requested before the first entries.
module ese_fetch #(
  parameter int PES = 32,
  parameter int LANES = 64,
  parameter int CELLS = 64,
  localparam int W = 16 * PES,
  localparam int LW = $clog2(LANES),
  localparam int CLW = $clog2(CELLS)
) (
  input  logic         clk_i,
  input  logic         rst_i,              // between batches
  // What is known: the descriptor's address; what it says; what the model's header says.
  input  logic         start_i,
  input  logic         described_i,
  input  logic         sized_i,
  input  logic [63:0]  descriptor_i,
  input  logic [63:0]  model_i,
  input  logic [63:0]  inputs_addr_i,
  input  logic [63:0]  state_in_i,
  input  logic [15:0]  frames_i,
  input  logic [31:0]  table_beats_i,
  input  logic [31:0]  entry_beats_i,      // of a step; of these
  input  logic [31:0]  first_beats_i,      // of its first pass
  input  logic [31:0]  output_beats_i,     // and of its output passes
  input  logic [15:0]  inputs_i,
  input  logic [15:0]  y_columns_i,
  input  logic [CLW:0] cells_i,
  // To the masters.
  output logic         entries_command_o,
  output logic [63:0]  entries_addr_o,
  output logic [31:0]  entries_beats_o,
  input  logic         entries_ready_i,
  output logic         data_command_o,
  output logic [63:0]  data_addr_o,
  output logic [31:0]  data_beats_o,
  input  logic         data_ready_i
);
  localparam int RECORD = 512 / W;  // beats
  localparam int BYTES_W = $clog2(W / 8);

  typedef enum logic [2:0] {HEADER, TABLES, FIRST, OUTPUT, REST, ALL_ENTRIES} entries_e;
  typedef enum logic [2:0] {DESCRIPTOR, Y, X, C, OTHER_X, ALL_DATA} data_e;
  entries_e entries_q;
  data_e data_q;
  logic [15:0] frame_q;
  logic [63:0] entries_base_q, y_bytes_q;
  logic [31:0] others_beats_q, before_output_q, rest_beats_q;

  wire loads_asked = data_q == C || data_q == OTHER_X || data_q == ALL_DATA;
  wire no_frame_left = frame_q == frames_i;

  always_comb begin
    entries_command_o = sized_i && loads_asked;
    entries_addr_o = entries_base_q;
    entries_beats_o = first_beats_i;
    case (entries_q)
      HEADER: begin
        entries_command_o = described_i;
        entries_addr_o = model_i;
        entries_beats_o = 32'(RECORD);
      end
      TABLES: begin
        entries_command_o = sized_i;
        entries_addr_o = model_i + 64'd64;
        entries_beats_o = table_beats_i;
      end
      FIRST: ;
      OUTPUT: begin
        entries_addr_o = entries_base_q + (64'(before_output_q) << BYTES_W);
        entries_beats_o = output_beats_i;
      end
      REST: begin
        entries_addr_o = entries_base_q + (64'(first_beats_i) << BYTES_W);
        entries_beats_o = rest_beats_q;
      end
      default: entries_command_o = 1'b0;
    endcase

    data_command_o = sized_i;
    data_addr_o = state_in_i;
    data_beats_o = 32'(y_columns_i);
    case (data_q)
      DESCRIPTOR: begin
        data_command_o = start_i;
        data_addr_o = descriptor_i;
        data_beats_o = 32'(RECORD + 2);
      end
      Y: ;
      X: begin
        data_addr_o = inputs_addr_i;
        data_beats_o = 32'(inputs_i);
      end
      C: begin
        data_addr_o = state_in_i + y_bytes_q;
        data_beats_o = 32'(cells_i) << LW;
      end
      OTHER_X: begin
        data_addr_o = inputs_addr_i + (64'(inputs_i) << BYTES_W);
        data_beats_o = others_beats_q;
      end
      default: data_command_o = 1'b0;
    endcase
  end

  always_ff @(posedge clk_i) begin
    entries_base_q <= model_i + 64'd64 + (64'(table_beats_i) << BYTES_W);
    y_bytes_q <= 64'(y_columns_i) << BYTES_W;
    others_beats_q <= 32'(inputs_i) * (32'(frames_i) - 32'd1);
    before_output_q <= entry_beats_i - output_beats_i;
    rest_beats_q <= before_output_q - first_beats_i;
    if (rst_i) begin
      entries_q <= HEADER;
      data_q <= DESCRIPTOR;
      frame_q <= '0;
    end else begin
      if (entries_command_o && entries_ready_i) begin
        case (entries_q)
          HEADER: entries_q <= TABLES;
          TABLES: entries_q <= FIRST;
          FIRST: entries_q <= frame_q == '0 ? REST : OUTPUT;
          OUTPUT: entries_q <= no_frame_left ? ALL_ENTRIES : REST;
          default: begin
            entries_q <= frame_q == frames_i - 16'd1 ? OUTPUT : FIRST;
            frame_q <= frame_q + 16'd1;
          end
        endcase
      end
      if (data_command_o && data_ready_i) begin
        case (data_q)
          DESCRIPTOR: data_q <= Y;
          Y: data_q <= X;
          X: data_q <= C;
          C: data_q <= frames_i == 16'd1 ? ALL_DATA : OTHER_X;
          default: data_q <= ALL_DATA;
        endcase
      end
    end
  end
endmodule
