// SPDX-License-Identifier: Apache-2.0
// Tells the masters what to read for a batch, stretch by stretch, in the order in which it is needed:
//
//     entries   header ─► tables ─► first ─► rest ─► (first ─► output ─► rest)* ─► output    (ese_issue.sv)
//     data      descriptor ─► y ─► x of the first frame ─► c ─► x of all others
//
// The array cannot start before y and x have come, so they are requested before the first entries.
module ese_fetch #(
  parameter int PES = 32,
  parameter int LANES = 64,
  parameter int CELLS = 64,
  localparam int W = 16 * PES,
  localparam int LW = $clog2(LANES),
  localparam int CLW = $clog2(CELLS)
) (
  input  logic                   clk_i,
  input  logic                   rst_i,            // between batches
  // Each is set once its facts are known: the descriptor's address; its content; the model's header.
  input  logic                   start_i,
  input  logic                   described_i,
  input  logic                   sized_i,
  input  logic [63:0]            descriptor_i,
  input  logic [63:0]            model_i,
  input  logic [63:0]            inputs_addr_i,
  input  logic [63:0]            state_in_i,
  input  ese_pkg::batch_t        batch_i,
  input  logic [31:0]            table_beats_i,
  input  logic [31:0]            entry_beats_i,    // beats of entries of a step
  input  logic [31:0]            first_beats_i,    // of these, in its first pass
  input  logic [31:0]            output_beats_i,   // and in its output passes
  // To the masters. A command is taken when it is valid and the master is ready.
  output logic                   entries_command_valid_o,
  output ese_pkg::read_command_t entries_command_o,
  input  logic                   entries_ready_i,
  output logic                   data_command_valid_o,
  output ese_pkg::read_command_t data_command_o,
  input  logic                   data_ready_i
);
  localparam int RECORD = ese_pkg::RECORD_BITS / W;  // beats
  localparam int BYTES_W = $clog2(W / 8);

  ese_pkg::entry_read_e entries_q;
  ese_pkg::data_read_e data_q;
  logic [15:0] frame_q;
  logic [63:0] entries_base_q, y_bytes_q;
  logic [31:0] others_beats_q, before_output_q, rest_beats_q;

  wire loads_asked = data_q == ese_pkg::READ_C || data_q == ese_pkg::READ_OTHER_X ||
                     data_q == ese_pkg::READ_ALL_DATA;
  wire no_frame_left = frame_q == batch_i.frames;
  wire last_frame = frame_q == batch_i.frames - 16'd1;

  always_comb begin
    entries_command_valid_o = sized_i && loads_asked;
    entries_command_o.addr = entries_base_q;
    entries_command_o.beats = first_beats_i;
    case (entries_q)
      ese_pkg::READ_HEADER: begin
        entries_command_valid_o = described_i;
        entries_command_o.addr = model_i;
        entries_command_o.beats = 32'(RECORD);
      end
      ese_pkg::READ_TABLES: begin
        entries_command_valid_o = sized_i;
        entries_command_o.addr = model_i + 64'(ese_pkg::RECORD_BYTES);
        entries_command_o.beats = table_beats_i;
      end
      ese_pkg::READ_FIRST: ;
      ese_pkg::READ_OUTPUT: begin
        entries_command_o.addr = entries_base_q + (64'(before_output_q) << BYTES_W);
        entries_command_o.beats = output_beats_i;
      end
      ese_pkg::READ_REST: begin
        entries_command_o.addr = entries_base_q + (64'(first_beats_i) << BYTES_W);
        entries_command_o.beats = rest_beats_q;
      end
      default: entries_command_valid_o = 1'b0;
    endcase

    data_command_valid_o = sized_i;
    data_command_o.addr = state_in_i;
    data_command_o.beats = 32'(batch_i.y_columns);
    case (data_q)
      ese_pkg::READ_DESCRIPTOR: begin
        data_command_valid_o = start_i;
        data_command_o.addr = descriptor_i;
        data_command_o.beats = 32'(RECORD + 2);
      end
      ese_pkg::READ_Y: ;
      ese_pkg::READ_X: begin
        data_command_o.addr = inputs_addr_i;
        data_command_o.beats = 32'(batch_i.inputs);
      end
      ese_pkg::READ_C: begin
        data_command_o.addr = state_in_i + y_bytes_q;
        data_command_o.beats = 32'(batch_i.cell_count[CLW:0]) << LW;
      end
      ese_pkg::READ_OTHER_X: begin
        data_command_o.addr = inputs_addr_i + (64'(batch_i.inputs) << BYTES_W);
        data_command_o.beats = others_beats_q;
      end
      default: data_command_valid_o = 1'b0;
    endcase
  end

  always_ff @(posedge clk_i) begin
    entries_base_q <= model_i + 64'(ese_pkg::RECORD_BYTES) + (64'(table_beats_i) << BYTES_W);
    y_bytes_q <= 64'(batch_i.y_columns) << BYTES_W;
    others_beats_q <= 32'(batch_i.inputs) * (32'(batch_i.frames) - 32'd1);
    before_output_q <= entry_beats_i - output_beats_i;
    rest_beats_q <= before_output_q - first_beats_i;
    if (rst_i) begin
      entries_q <= ese_pkg::READ_HEADER;
      data_q <= ese_pkg::READ_DESCRIPTOR;
      frame_q <= '0;
    end else begin
      if (entries_command_valid_o && entries_ready_i) begin
        case (entries_q)
          ese_pkg::READ_HEADER: entries_q <= ese_pkg::READ_TABLES;
          ese_pkg::READ_TABLES: entries_q <= ese_pkg::READ_FIRST;
          ese_pkg::READ_FIRST: entries_q <= frame_q == '0 ? ese_pkg::READ_REST : ese_pkg::READ_OUTPUT;
          ese_pkg::READ_OUTPUT:
            entries_q <= no_frame_left ? ese_pkg::READ_ALL_ENTRIES : ese_pkg::READ_REST;
          default: begin
            entries_q <= last_frame ? ese_pkg::READ_OUTPUT : ese_pkg::READ_FIRST;
            frame_q <= frame_q + 16'd1;
          end
        endcase
      end
      if (data_command_valid_o && data_ready_i) begin
        case (data_q)
          ese_pkg::READ_DESCRIPTOR: data_q <= ese_pkg::READ_Y;
          ese_pkg::READ_Y: data_q <= ese_pkg::READ_X;
          ese_pkg::READ_X: data_q <= ese_pkg::READ_C;
          ese_pkg::READ_C:
            data_q <= batch_i.frames == 16'd1 ? ese_pkg::READ_ALL_DATA : ese_pkg::READ_OTHER_X;
          default: data_q <= ese_pkg::READ_ALL_DATA;
        endcase
      end
    end
  end

  wire unused = &{1'b0, batch_i};
endmodule
