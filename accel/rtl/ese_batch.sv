// SPDX-License-Identifier: Apache-2.0
// Takes one batch from start to done: reads the descriptor and the model's header and tables, refuses
// those that the kernel cannot run, runs the array, and writes the status. ese_fetch decides what is read
// and when.
//
//   IDLE ► DESCRIPTOR ► HEADER ► TABLES ► RUN ► STATUS ► DONE ► IDLE
//             └──────────┴─────────┴───────┴─► ABORT (masters finish what they began) ► CLEAR ► STATUS or DONE
module ese_batch #(
  parameter int PES = 32,
  parameter int LANES = 64,
  parameter int V_DEPTH = 2048,
  parameter int M_DEPTH = 1024,
  parameter int CELLS = 64,
  parameter int ROWS = 512,
  parameter int PASSES = 32,
  parameter int WATCHDOG = 65536,  // cycles in which nothing moves
  localparam int W = 16 * PES,
  localparam int LW = $clog2(LANES),
  localparam int RW = $clog2(ROWS),
  localparam int CLW = $clog2(CELLS),
  localparam int PW = $clog2(PASSES)
) (
  input  logic                clk_i,
  input  logic                rst_i,
  // Control registers.
  input  logic                start_i,
  input  logic [63:0]         descriptor_i,
  output logic                idle_o,
  output logic                done_o,          // until acknowledged
  input  logic                acknowledge_i,
  output ese_pkg::error_e     error_o,
  output ese_pkg::batch_state_e state_o,
  // Masters: entries and data in, results out.
  output logic                masters_rst_o,
  output logic                stop_o,
  output logic                entries_command_valid_o,
  output ese_pkg::read_command_t entries_command_o,
  input  logic                entries_ready_i,
  input  logic                entries_valid_i,
  input  logic [W-1:0]        entries_i,
  output logic                entries_pop_o,
  output logic                data_command_valid_o,
  output ese_pkg::read_command_t data_command_o,
  input  logic                data_ready_i,
  input  logic                data_valid_i,
  input  logic [W-1:0]        data_i,
  output logic                data_pop_o,
  output logic                out_command_valid_o,
  output ese_pkg::write_command_t out_command_o,
  output logic                out_word_o,
  output logic [W-1:0]        out_data_o,
  input  logic                read_idle_i,
  input  logic                write_idle_i,    // and checksum_i covers all words
  input  logic                read_failed_i,
  input  logic                write_failed_i,
  input  logic                moving_i,        // any transfer, or the array at work
  input  logic                working_i,
  input  logic [63:0]         checksum_i,      // of all words written except the status
  // Array and loader.
  output logic                array_rst_o,
  output logic                loader_rst_o,    // the loader also runs while the tables are read
  output ese_pkg::batch_t     batch_o,
  output logic [16*LANES-1:0] lane_frames_o,
  output logic                pass_write_o,
  output logic [PW-1:0]       pass_addr_o,
  output ese_pkg::pass_t      pass_data_o,
  output logic [PES-1:0]      row_write_o,
  output logic [RW-1:0]       row_addr_o,
  input  logic                frames_done_i
);
  localparam int BITS = ese_pkg::RECORD_BITS;
  localparam int RECORD = BITS / W;  // beats
  localparam int BYTES_W = $clog2(W / 8);

  ese_pkg::batch_state_e state_q;
  assign state_o = state_q;

  // ---- A record is collected beat by beat, the first at the bottom.
  logic [BITS-1:0] record_q;
  logic [3:0] beat_q;
  logic [BITS-1:0] next_record;
  wire [W-1:0] next_beat = state_q == ese_pkg::BATCH_DESCRIPTOR ? data_i : entries_i;
  if (W == BITS) begin : g_whole
    assign next_record = next_beat;
  end else begin : g_parts
    assign next_record = {next_beat, record_q[BITS-1:W]};
  end
  wire last_beat = beat_q == 4'(RECORD - 1);

  // ---- The batch.
  ese_pkg::descriptor_t descriptor;
  assign descriptor = record_q;
  logic [63:0] model_q, inputs_addr_q, state_in_q, status_q;
  logic [15:0] lanes_q;
  logic [31:0] entry_beats_q, first_beats_q, output_beats_q;
  logic [15:0] passes_q, rows_q;
  logic [31:0] table_beats_q;
  logic second_q;            // second half of the lanes' frames, and second cycle of CHECK_BATCH
  logic unaligned_q;

  // ---- Progress.
  logic [15:0] index_q;      // of the pass, then of the row
  logic in_rows_q;
  logic [1:0] part_q;        // which of a row's four beats
  logic [31:0] idle_cycles_q;
  logic [63:0] cycles_q, words_q;
  logic [3:0] status_beat_q;
  logic dead_q, status_wanted_q;

  wire take_data = state_q == ese_pkg::BATCH_DESCRIPTOR && data_valid_i;
  wire in_tables = state_q == ese_pkg::BATCH_TABLES;
  wire take_entries = (state_q == ese_pkg::BATCH_HEADER || in_tables) && entries_valid_i;
  assign data_pop_o = take_data;
  assign entries_pop_o = take_entries;

  ese_fetch #(.PES(PES), .LANES(LANES), .CELLS(CELLS)) u_fetch (
    .clk_i, .rst_i(rst_i || state_q == ese_pkg::BATCH_IDLE), 
    .start_i(state_q == ese_pkg::BATCH_DESCRIPTOR), .described_i(state_q == ese_pkg::BATCH_HEADER),
    .sized_i(in_tables || state_q == ese_pkg::BATCH_RUN), .descriptor_i,
    .model_i(model_q), .inputs_addr_i(inputs_addr_q), .state_in_i(state_in_q), .batch_i(batch_o),
    .table_beats_i(table_beats_q), .entry_beats_i(entry_beats_q), .first_beats_i(first_beats_q),
    .output_beats_i(output_beats_q), .entries_command_valid_o, .entries_command_o, .entries_ready_i,
    .data_command_valid_o, .data_command_o, .data_ready_i);

  // ---- Tables to the array.
  wire pass_done = in_tables && take_entries && !in_rows_q && last_beat;
  wire row_beat = in_tables && take_entries && in_rows_q;
  assign pass_write_o = pass_done;
  assign pass_addr_o = index_q[PW-1:0];
  assign pass_data_o = next_record[ese_pkg::PASS_BITS-1:0];
  assign row_addr_o = index_q[RW-1:0];
  for (genvar p = 0; p < PES; p++) begin : g_row_write
    assign row_write_o[p] = row_beat && part_q == 2'(p / (PES / 4));
  end

  // ---- What is refused.
  ese_pkg::header_t header;
  assign header = record_q;
  ese_pkg::error_e header_error;
  always_comb begin
    header_error = ese_pkg::ERROR_NONE;
    if (header.magic != ese_pkg::PACKED_MAGIC) header_error = ese_pkg::ERROR_BAD_MODEL;
    else if (header.pes != 16'(PES) || header.version != ese_pkg::PACKED_VERSION)
      header_error = ese_pkg::ERROR_OTHER_SHAPE;
    else if (header.passes == 0 || header.rows == 0 || header.entry_beats == 0 || header.inputs == 0 ||
             header.y_columns == 0 || header.cell_count == 0 || header.first_output < 2 ||
             header.first_output >= header.passes) header_error = ese_pkg::ERROR_BAD_MODEL;
    else if (header.passes > 32'(PASSES) || header.rows > 32'(ROWS) || header.inputs > 32'(V_DEPTH) ||
             header.y_columns > 32'(V_DEPTH) || header.inputs + header.y_columns > 32'(V_DEPTH) ||
             header.cell_count > 32'(CELLS)) header_error = ese_pkg::ERROR_TOO_LARGE;
  end

  wire [16:0] target_end = {1'b0, pass_data_o.target} + {1'b0, pass_data_o.count};
  wire gates = pass_data_o.kind == ese_pkg::PASS_GATES;
  wire to_v = pass_data_o.kind == ese_pkg::PASS_PROJECTION || pass_data_o.kind == ese_pkg::PASS_COPY;
  ese_pkg::error_e pass_error;
  always_comb begin
    pass_error = ese_pkg::ERROR_NONE;
    if (pass_data_o.entries == 0 || pass_data_o.rows == 0 || pass_data_o.count == 0)
      pass_error = ese_pkg::ERROR_BAD_PASS;
    else if (gates && pass_data_o.rows[1:0] != 0) pass_error = ese_pkg::ERROR_BAD_PASS;
    else if ((gates && target_end > 17'(M_DEPTH)) || (to_v && target_end > 17'(V_DEPTH)))
      pass_error = ese_pkg::ERROR_TOO_LARGE;
  end

  wire bad_batch = lanes_q == 0 || lanes_q > 16'(LANES) || batch_o.frames == 0 || unaligned_q;
  wire [PW-1:0] last_pass = PW'(header.passes - 32'd1);
  wire stalled = idle_cycles_q == 32'(WATCHDOG);
  ese_pkg::status_t status;
  always_comb begin
    status = '0;
    status.error = 32'(error_o);
    status.cycles = cycles_q;
    status.working = words_q;
    status.checksum = checksum_i;
  end
  assign out_word_o = state_q == ese_pkg::BATCH_STATUS;
  assign out_data_o = W'(status >> (W * status_beat_q));
  assign out_command_valid_o = state_q == ese_pkg::BATCH_STATUS && status_beat_q == '0;
  always_comb begin
    out_command_o.addr = status_q;
    out_command_o.words = 16'(RECORD);
    out_command_o.pairs = 1'b0;
  end

  assign idle_o = state_q == ese_pkg::BATCH_IDLE;
  assign done_o = state_q == ese_pkg::BATCH_DONE;
  // With a dead bus the masters keep what they have offered until a reset.
  assign stop_o = state_q == ese_pkg::BATCH_ABORT || dead_q;
  assign masters_rst_o = rst_i || (idle_o && !dead_q) || state_q == ese_pkg::BATCH_CLEAR;
  assign array_rst_o = state_q != ese_pkg::BATCH_RUN;
  assign loader_rst_o = array_rst_o && !in_tables;

  wire at_work = !idle_o && !done_o;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      state_q <= ese_pkg::BATCH_IDLE;
      error_o <= ese_pkg::ERROR_NONE;
      dead_q <= 1'b0;
      idle_cycles_q <= '0;
      status_wanted_q <= 1'b0;
    end else begin
      idle_cycles_q <= moving_i || !at_work ? '0 : idle_cycles_q + 32'd1;
      if (at_work) cycles_q <= cycles_q + 64'd1;
      if (working_i) words_q <= words_q + 64'd1;

      case (state_q)
        ese_pkg::BATCH_IDLE: if (start_i) begin
          state_q <= dead_q ? ese_pkg::BATCH_DONE : ese_pkg::BATCH_DESCRIPTOR;
          error_o <= dead_q ? ese_pkg::ERROR_STALLED : ese_pkg::ERROR_NONE;
          beat_q <= '0;
          cycles_q <= '0;
          words_q <= '0;
          second_q <= 1'b0;
          status_wanted_q <= 1'b0;
        end

        ese_pkg::BATCH_DESCRIPTOR: if (take_data) begin
          if (beat_q < 4'(RECORD)) begin
            record_q <= next_record;
            beat_q <= beat_q + 4'd1;
          end else begin
            lane_frames_o <= {data_i, lane_frames_o[16*LANES-1:W]};
            second_q <= 1'b1;
            if (second_q) state_q <= ese_pkg::BATCH_CHECK_BATCH;
          end
        end

        ese_pkg::BATCH_CHECK_BATCH: begin
          // The first cycle takes the record's fields, the second checks them.
          model_q <= descriptor.model;
          inputs_addr_q <= descriptor.inputs;
          state_in_q <= descriptor.state_in;
          batch_o.y_out <= descriptor.state_out;
          batch_o.outputs <= descriptor.outputs;
          status_q <= descriptor.status;
          lanes_q <= descriptor.lanes[31:16] == 0 ? descriptor.lanes[15:0] : '0;
          batch_o.lanes <= 16'(descriptor.lanes[LW:0]);
          batch_o.frames <= descriptor.frames[31:16] == 0 ? descriptor.frames[15:0] : '0;
          unaligned_q <= |{descriptor.model[5:0], descriptor.inputs[5:0], descriptor.state_in[5:0],
                           descriptor.state_out[5:0], descriptor.outputs[5:0], descriptor.status[5:0]};
          beat_q <= '0;
          second_q <= 1'b0;
          if (!second_q) begin
            if (bad_batch) begin
              state_q <= ese_pkg::BATCH_ABORT;
              error_o <= ese_pkg::ERROR_BAD_BATCH;
            end else begin
              state_q <= ese_pkg::BATCH_HEADER;
              status_wanted_q <= 1'b1;
            end
          end
        end

        ese_pkg::BATCH_HEADER: if (take_entries) begin
          record_q <= next_record;
          beat_q <= last_beat ? '0 : beat_q + 4'd1;
          if (last_beat) state_q <= ese_pkg::BATCH_CHECK_HEADER;
        end

        ese_pkg::BATCH_CHECK_HEADER: begin
          passes_q <= header.passes[15:0];
          batch_o.last_pass <= 16'(last_pass);
          rows_q <= header.rows[15:0];
          entry_beats_q <= header.entry_beats;
          first_beats_q <= header.first_beats;
          batch_o.first_output <= 16'(header.first_output[PW-1:0]);
          output_beats_q <= header.output_beats;
          batch_o.inputs <= header.inputs[15:0];
          batch_o.y_columns <= header.y_columns[15:0];
          batch_o.cell_count <= 16'(header.cell_count[CLW:0]);
          table_beats_q <= header.passes * 32'(RECORD) + (header.rows << 2);
          index_q <= '0;
          in_rows_q <= 1'b0;
          part_q <= '0;
          if (header_error != ese_pkg::ERROR_NONE) begin
            state_q <= ese_pkg::BATCH_ABORT;
            error_o <= header_error;
          end else begin
            state_q <= ese_pkg::BATCH_TABLES;
          end
        end

        ese_pkg::BATCH_TABLES: begin
          if (take_entries) begin
            record_q <= next_record;
            if (!in_rows_q) begin
              beat_q <= last_beat ? '0 : beat_q + 4'd1;
              if (last_beat) begin
                in_rows_q <= index_q == passes_q - 16'd1;
                index_q <= index_q == passes_q - 16'd1 ? '0 : index_q + 16'd1;
                if (pass_error != ese_pkg::ERROR_NONE) begin
                  state_q <= ese_pkg::BATCH_ABORT;
                  error_o <= pass_error;
                end
              end
            end else begin
              part_q <= part_q + 2'd1;
              if (part_q == 2'd3) begin
                index_q <= index_q + 16'd1;
                if (index_q == rows_q - 16'd1) state_q <= ese_pkg::BATCH_RUN;
              end
            end
          end
          batch_o.c_out <= batch_o.y_out + (64'(batch_o.y_columns) << BYTES_W);
        end

        ese_pkg::BATCH_RUN: begin
          status_beat_q <= '0;
          if (frames_done_i && write_idle_i) state_q <= ese_pkg::BATCH_STATUS;
        end

        ese_pkg::BATCH_STATUS: begin
          status_beat_q <= status_beat_q + 4'd1;
          if (status_beat_q == 4'(RECORD - 1)) state_q <= ese_pkg::BATCH_FLUSH;
        end

        ese_pkg::BATCH_FLUSH: if (write_idle_i) state_q <= ese_pkg::BATCH_DONE;

        ese_pkg::BATCH_ABORT: begin
          status_beat_q <= '0;
          if (read_idle_i && write_idle_i) state_q <= ese_pkg::BATCH_CLEAR;
        end

        ese_pkg::BATCH_CLEAR: state_q <= status_wanted_q ? ese_pkg::BATCH_STATUS : ese_pkg::BATCH_DONE;

        ese_pkg::BATCH_DONE: if (acknowledge_i) state_q <= ese_pkg::BATCH_IDLE;

        default: state_q <= ese_pkg::BATCH_IDLE;
      endcase

      if (at_work && state_q != ese_pkg::BATCH_ABORT) begin
        if (stalled || read_failed_i || write_failed_i) begin
          state_q <= ese_pkg::BATCH_ABORT;
          error_o <= stalled ? ese_pkg::ERROR_STALLED :
                     read_failed_i ? ese_pkg::ERROR_READ_FAILED : ese_pkg::ERROR_WRITE_FAILED;
          status_wanted_q <= 1'b0;
          idle_cycles_q <= '0;
        end
      end else if (state_q == ese_pkg::BATCH_ABORT && stalled) begin
        // The bus does not even finish what was begun, so only a reset helps.
        state_q <= ese_pkg::BATCH_DONE;
        dead_q <= 1'b1;
      end
    end
  end

  wire unused = &{1'b0, header, descriptor};
endmodule
